import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { create } from 'socketcluster-client'
import { startProgram } from '../helpers/program.js'
import { startNats, startRedis } from '../helpers/servers.js'
import { patience, until } from '../helpers/waiting.js'

for (const engine of ['redis', 'nats'] as const) {
  t.test(`examples/cluster-${engine}: two processes behind one port`, async (t) => {
    const server = await (engine === 'redis' ? startRedis(t) : startNats(t))
    if (server === null) return t.plan(0, `${engine}-server is not installed`)
    const script = fileURLToPath(new URL(`../../examples/cluster-${engine}/server.js`, import.meta.url))
    const program = await startProgram(t, [script], /2 processes serve ws:\/\/127\.0\.0\.1:(\d+)\//, {
      PORT: '0',
      REDIS_URL: `redis://127.0.0.1:${server.port}`,
      NATS_SERVERS: `127.0.0.1:${server.port}`,
      SC_AUTH_KEY: 'a secret of tests that has more than thirty-two bytes'
    })
    const port = Number(program.line[1])
    const http = async (path: string, method = 'GET'): Promise<any> => (await fetch(`http://127.0.0.1:${port}${path}`, { method })).json()

    const got: string[][] = []
    const clients = await Promise.all(Array.from({ length: 6 }, async (_, i) => {
      const socket = create({ hostname: '127.0.0.1', port, autoReconnectOptions: { initialDelay: 50, randomness: 50, multiplier: 1, maxDelay: 100 } })
      t.teardown(() => socket.disconnect())
      ;(async () => { for await (const { error } of socket.listener('error')) t.comment(error.message) })()
      await socket.listener('connect').once(patience)
      const channel = socket.subscribe('room/1')
      got[i] = []
      ;(async () => { for await (const data of channel) got[i]!.push(data) })()
      if (channel.state !== 'subscribed') await channel.listener('subscribe').once(patience)
      return { socket, who: await socket.invoke('whoami') }
    }))
    t.equal(new Set(clients.map(({ who }) => who.pid)).size, 2, 'both processes have clients')

    const reaches = async (text: string, all = got) => {
      await until(`${text} to reach everybody`, () => all.every((list) => list.includes(text)))
      t.pass(text)
    }
    await clients[0]!.socket.invokePublish('room/1', 'first')
    await reaches('first')

    await until('both processes in the cluster', async () => (await http('/cluster')).nodes.length === 2)
    t.match(await http('/cluster'), { nodes: [{ channels: 1 }, { channels: 1 }], clients: 6, missing: [] })

    const [first, ...others] = clients
    const other = others.find(({ who }) => who.pid !== first!.who.pid)!
    t.strictSame(await Promise.all(clients.map(({ who }) => http(`/rooms/1/kick/${who.socketId}`, 'POST'))), clients.map(() => ({ kicked: 1 })), 'on whichever process the request and the client are')
    await first!.socket.invokePublish('room/1', 'second')
    await sleep(100)
    t.ok(got.every((list) => !list.includes('second')))
    for (const { socket } of clients) await socket.subscribe('room/1').listener('subscribe').once(patience)

    process.kill(other.who.pid, 'SIGKILL')
    await other.socket.listener('connect').once(patience)
    const channel = other.socket.channel('room/1')
    if (channel.state !== 'subscribed') await channel.listener('subscribe').once(patience)
    for (const { socket } of clients) {
      if (socket.state !== 'open') await socket.listener('connect').once(patience)
      const channel = socket.channel('room/1')
      if (channel.state !== 'subscribed') await channel.listener('subscribe').once(patience)
    }
    await first!.socket.invokePublish('room/1', 'third')
    await reaches('third')

    for (const { socket } of clients) socket.disconnect()
    t.equal(await program.stop(), 0, 'it ends by itself when asked to')
  })
}
