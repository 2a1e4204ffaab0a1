import t from 'tap'
import type { ScServerSocket } from '../../lib/index.js'
import type { Session } from '../../lib/socket/session.js'
import { lonelySession } from '../helpers/session.js'

/** What SocketCluster 20 calls the methods of each kind of stream, and how such a stream is written to. */
const kinds = {
  Listener: (session: Session, name: string, value: string) => session.fireLocal(name as 'raw', value),
  Receiver: (session: Session, name: string, value: string) => session.activeReceiver(name)?.write(value, value),
  Procedure: (session: Session, name: string, value: string) => session.activeProcedure(name)?.write(value as never, value)
}

for (const [kind, write] of Object.entries(kinds)) {
  /** Two streams with two loops over the first and one over the second. */
  const setUp = () => {
    const { session } = lonelySession()
    const socket = session.socket as ScServerSocket & Record<string, (...args: unknown[]) => any>
    const stream = (name: string): AsyncIterable<unknown> => socket[kind.toLowerCase()]!(name)
    const loops = ['raw', 'raw', 'message'].map((name) => stream(name)[Symbol.asyncIterator]())
    /** A method by the name it has for this kind. */
    const call = (name: string, ...args: unknown[]): unknown => socket[name.replace('#', kind)]!(...args)
    return { session, socket, stream, loops, call, write: (name: string, value: string): void => { write(session, name, value) } }
  }
  const rest = async (loop: AsyncIterator<unknown>): Promise<number> => {
    for (let count = 0; ; count++) if ((await loop.next()).done === true) return count
  }

  t.test(`${kind}: what waits, and for whom`, async (t) => {
    const { call, write, loops } = setUp()
    write('raw', 'a')
    write('raw', 'b')
    write('message', 'c')
    await loops[0]!.next()
    t.strictSame([call('get#Backpressure', 'raw'), call('get#Backpressure', 'message'), call('get#Backpressure', 'none'), call('getAll#sBackpressure')], [2, 1, 0, 2])
    t.strictSame([1, 2, 3, 4].map((id) => call('get#ConsumerBackpressure', id)), [1, 2, 1, 0])
    t.strictSame(call('get#ConsumerStats', 2), { id: 2, backpressure: 2, stream: 'raw' })
    t.equal(call('get#ConsumerStats', 4), undefined)
    t.strictSame(call('get#ConsumerStatsList', 'message'), [{ id: 3, backpressure: 1, stream: 'message' }])
    t.strictSame((call('getAll#sConsumerStatsList') as Array<{ id: number }>).map(({ id }) => id), [1, 2, 3])
    t.strictSame([call('has#Consumer', 'raw', 1), call('has#Consumer', 'raw', 3), call('has#Consumer', 'none', 1), call('hasAny#Consumer', 3), call('hasAny#Consumer', 4)], [true, false, false, true, false])
  })

  t.test(`${kind}: loops that are closed read what waits for them, those that are killed do not`, async (t) => {
    for (const [method, args, expected] of [
      ['close#', ['raw'], [2, 2, null]], ['closeAll#s', [], [2, 2, 1]], ['kill#', ['raw'], [0, 0, null]], ['killAll#s', [], [0, 0, 0]], ['kill#Consumer', [2], [null, 0, null]]
    ] as const) {
      const { call, write, loops, stream } = setUp()
      write('raw', 'a')
      write('raw', 'b')
      write('message', 'c')
      call(method, ...args)
      for (const [at, count] of expected.entries()) {
        if (count !== null) t.equal(await rest(loops[at]!), count, `${method.replace('#', kind)}: loop ${at + 1}`)
        else t.ok(call('hasAny#Consumer', at + 1), `${method.replace('#', kind)}: loop ${at + 1} goes on`)
      }
      const later = stream('raw')[Symbol.asyncIterator]()
      write('raw', 'd')
      t.match(await later.next(), { done: false }, 'a loop that begins later gets what comes then')
    }
  })

  t.test(`${kind}: the name of a stream is text`, async (t) => {
    const { stream } = setUp()
    t.throws(() => stream(5 as never), { name: 'InvalidArgumentsError', message: new RegExp(`^${kind.toLowerCase()} expects the event to be a string, got number`) })
  })
}

t.test('SocketCluster 20 counts the loops over listeners only', async (t) => {
  const { socket } = lonelySession()
  for (const name of ['raw', 'raw', 'message'] as const) socket.listener(name)[Symbol.asyncIterator]()
  t.strictSame([socket.getListenerConsumerCount('raw'), socket.getListenerConsumerCount('message'), socket.getListenerConsumerCount('none'), socket.getAllListenersConsumerCount()], [2, 1, 0, 3])
})
