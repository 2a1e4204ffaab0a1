import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { create as create20 } from 'socketcluster-client'
import client14 from 'socketcluster-client-14'
import { engineBroker } from '../chaos/scenario.js'
import { startNats, startRedis } from '../helpers/servers.js'
import { startApp, type ClusterNode } from './node.js'
import { Stopwatch } from '../helpers/stopwatch.js'
import { patience, until } from '../helpers/waiting.js'

/** A node in a process of its own, which can be killed. */
class NodeProcess implements ClusterNode {
  port = 0
  #nextId = 1

  constructor (readonly child: ChildProcess) {}

  async call (call: string, ...args: unknown[]): Promise<any> {
    const id = this.#nextId++
    this.child.send({ id, call, args })
    while (true) {
      const [answer] = await once(this.child, 'message', { signal: AbortSignal.timeout(patience) }) as [{ id: number, value?: unknown }]
      if (answer.id === id) return answer.value
    }
  }

  async kill (): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exit = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await exit
  }
}

async function startProcess (t: Test, engine: string, enginePort: number): Promise<NodeProcess> {
  const node = new NodeProcess(fork(fileURLToPath(new URL('node-process.ts', import.meta.url)), [engine, String(enginePort)]))
  t.teardown(() => node.kill())
  const [hello] = await once(node.child, 'message', { signal: AbortSignal.timeout(60_000) }) as [{ port: number }]
  node.port = hello.port
  return node
}

async function startHere (t: Test, engine: string, enginePort: number, port?: number): Promise<ClusterNode> {
  const node = await startApp(engine, enginePort, port)
  t.teardown(() => node.call('close'))
  return node
}

/** What the tests do with a client, whatever its version. */
interface AnyClient {
  readonly got: unknown[]
  readonly log: string[]
  id (): string
  subscribe (channel: string): Promise<void>
  publish (channel: string, data: unknown): Promise<void>
  close (): void
}

const reconnecting = { initialDelay: 50, randomness: 50, multiplier: 1, maxDelay: 100 }

async function connect14 (t: Test, port: number): Promise<AnyClient> {
  const socket = client14.create({ hostname: '127.0.0.1', port, multiplex: false, autoReconnectOptions: reconnecting })
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  await once(socket, 'connect', { signal: AbortSignal.timeout(patience) })
  const watched = new Set<string>()
  const client: AnyClient = {
    got: [],
    log: [],
    id: () => socket.id,
    async subscribe (name) {
      const channel = socket.subscribe(name)
      if (!watched.has(name)) {
        channel.watch((data: unknown) => client.got.push(data))
        channel.on('kickOut', (message: string) => client.log.push(`kicked: ${message}`))
      }
      watched.add(name)
      if (channel.state !== 'subscribed') await once(channel, 'subscribe', { signal: AbortSignal.timeout(patience) })
    },
    publish: (name, data) => new Promise((resolve, reject) => socket.publish(name, data, (err: Error | null) => { err ? reject(err) : resolve() })),
    close: () => socket.destroy()
  }
  socket.on('disconnect', (code: number) => client.log.push(`disconnect ${code}`))
  return client
}

async function connect20 (t: Test, port: number): Promise<AnyClient> {
  const socket = create20({ hostname: '127.0.0.1', port, path: '/socketcluster/', autoReconnectOptions: reconnecting })
  const stop = (): void => { socket.disconnect() }
  t.teardown(stop)
  const watched = new Set<string>()
  const client: AnyClient = {
    got: [],
    log: [],
    id: () => socket.id!,
    async subscribe (name) {
      const channel = socket.subscribe(name)
      if (!watched.has(name)) {
        read(channel, (data) => client.got.push(data))
        read(channel.listener('kickOut'), ({ message }: any) => client.log.push(`kicked: ${message}`))
      }
      watched.add(name)
      if (channel.state !== 'subscribed') await channel.listener('subscribe').once(patience)
    },
    publish: (name, data) => socket.invokePublish(name, data),
    close: stop
  }
  read(socket.listener('error'), () => {})
  read(socket.listener('disconnect'), ({ code }: any) => client.log.push(`disconnect ${code}`))
  await socket.listener('connect').once(patience)
  return client
}

async function read (stream: AsyncIterable<any>, each: (value: any) => void): Promise<void> {
  for await (const value of stream) each(value)
}

t.jobs = 2
for (const engine of ['redis', 'nats'] as const) {
  t.test(engine, { buffered: true }, async (t) => {
    const whole = t
    const server = await (engine === 'redis' ? startRedis(t) : startNats(t))
    if (server === null) return t.plan(0, `${engine}-server is not installed`)
    const a = await startHere(t, engine, server.port)
    const doomed = await startProcess(t, engine, server.port)
    let b: ClusterNode = doomed
    const clients = await Promise.all([connect14(t, a.port), connect20(t, a.port), connect14(t, b.port), connect20(t, b.port)])
    const [a14, a20, b14, b20] = clients as [AnyClient, AnyClient, AnyClient, AnyClient]

    await t.test('both client versions on both nodes see every publication, in the order that the engine promises; each is acked', async (t) => {
      for (const client of clients) await client.subscribe('room/1')
      const publishes: Array<Promise<void>> = []
      for (let i = 0; i < 200; i++) {
        for (const [c, client] of clients.entries()) publishes.push(client.publish('room/1', { c, i }))
        if (i % 20 === 0) await sleep(1)
      }
      publishes.push(a.call('publish', 'room/1', { c: 4, i: 0 }))
      await Promise.all(publishes)
      await until('801 publications at each client', () => clients.every(({ got }) => got.length >= 801))
      for (const { got } of clients) {
        t.equal(got.length, 801)
        for (const c of clients.keys()) t.strictSame((got as any[]).filter((data) => data.c === c).map(({ i }) => i), Array.from({ length: 200 }, (_, i) => i), 'the order of the publisher')
      }
      t.strictSame(a20.got, a14.got, 'one order in one process')
      t.strictSame(b20.got, b14.got, 'one order in the other process')
      if (engineBroker(engine, server.port, {}).order === 'channel') t.strictSame(b14.got, a14.got, 'one order of the channel')
    })

    await t.test('statistics of the whole cluster', async (t) => {
      await until('both nodes', async () => (await a.call('nodes')).length === 2)
      const stats = await a.call('stats')
      t.equal(stats.nodes.length, 2)
      t.match(stats.total, { clients: 4, subscriptions: 4, channels: 2 })
      t.strictSame(stats.missing, [])
    })

    await t.test('kicked out and disconnected from the other node', async (t) => {
      t.equal(await a.call('kickOut', { socketId: b14.id() }, 'room/1', 'bye'), 1)
      t.equal(await a.call('kickOut', { socketId: b20.id() }, 'room/1', 'bye'), 1)
      await until('both kick-outs', () => b14.log.length === 1 && b20.log.length === 1)
      t.strictSame([b14.log, b20.log, a14.log, a20.log], [['kicked: bye'], ['kicked: bye'], [], []])
      for (const { got } of clients) got.length = 0
      await b14.publish('room/1', 'after')
      await until('the publication at node A', () => a14.got.length === 1 && a20.got.length === 1)
      t.strictSame([b14.got, b20.got], [[], []])
      await Promise.all([b14.subscribe('room/1'), b20.subscribe('room/1')])
      const id = b14.id()
      t.equal(await a.call('disconnectSockets', { socketId: id }, 4999, 'out'), 1)
      await until('the disconnect', () => b14.log.length === 2)
      t.equal(b14.log[1], 'disconnect 4999')
    })

    await t.test('a node killed with -9: the other goes on, its clients come back to a new one', async (t) => {
      await doomed.kill()
      a14.got.length = a20.got.length = b20.got.length = 0
      await a14.publish('room/1', 'alone')
      await until('the publication at node A', () => a14.got.length === 1 && a20.got.length === 1)
      const watch = new Stopwatch()
      const stats = await a.call('stats')
      t.ok(watch.stop() < 2_500, 'statistics do not wait for the dead')
      t.equal(stats.nodes.length, 1)
      await until('the dead node left out', async () => (await a.call('nodes')).length === 1)

      b = await startHere(whole, engine, server.port, b.port)
      await until('the client of node B back in its channel', async () => {
        await a20.publish('room/1', 'again').catch(() => {})
        return b20.got.length > 0
      })
    })

    await t.test('the engine killed and back: publishes fail at once, then everything goes on by itself', async (t) => {
      await server.kill()
      await until('the state down on both nodes', async () => (await a.call('events')).includes('down') && (await b.call('events')).includes('down'))
      for (const client of [a14, a20, b20]) await t.rejects(client.publish('room/1', 'lost'), { name: 'BrokerError' })
      await server.restart()
      await until('a gap on both nodes', async () => (await a.call('events')).includes('gap') && (await b.call('events')).includes('gap'))
      for (const { got } of clients) got.length = 0
      await b20.publish('room/1', 'well')
      await until('the publication everywhere', () => [a14, a20, b20].every(({ got }) => got.length > 0))
      t.strictSame([a14.got, a20.got, b20.got], [['well'], ['well'], ['well']])
    })

    await t.test('a node that closes says goodbye', async (t) => {
      const watch = new Stopwatch()
      await b.call('close')
      await until('one node', async () => (await a.call('nodes')).length === 1)
      t.ok(watch.stop() < 5_000, 'long before its lease is over')
    })
  })
}
