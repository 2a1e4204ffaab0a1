import { PassThrough } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Watch } from '../../lib/server/undecided.js'

async function send (count: number, size: number): Promise<{ socket: PassThrough, watch: Watch }> {
  const socket = new PassThrough()
  const watch = new Watch(socket, () => {})
  for (let i = 0; i < count && !socket.destroyed; i++) {
    socket.write(Buffer.alloc(size, 'x'))
    await turn()
  }
  return { socket, watch }
}

t.test('what comes before an upgrade is decided is kept', async (t) => {
  for (const [count, size] of [[1, 60_000], [50, 1_000], [100, 1]] as const) {
    const { socket, watch } = await send(count, size)
    t.notOk(socket.destroyed)
    t.equal(Buffer.concat(watch.stop()).length, count * size)
  }
})

t.test('too much of it ends the connection, be it in large or in small pieces', async (t) => {
  for (const [count, size] of [[2, 40_000], [70, 1_000], [600, 1]] as const) {
    const { socket } = await send(count, size)
    t.ok(socket.destroyed, `${count} of ${size}`)
  }
})
