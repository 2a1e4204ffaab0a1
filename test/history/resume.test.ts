// Clients that read too slowly, and subscriptions that were suspended, get what they missed from the history.
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { recovering } from '../../lib/client/index.js'
import type { ScChannelContract, ScPluginOptions } from '../../lib/index.js'
import { type Client, generations } from '../helpers/app.js'
import { TcpProxy } from '../helpers/proxy.js'
import { serve } from '../helpers/serve.js'
import { startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'

const history = { size: 20_000, ttl: 600_000 }
const maxBufferedBytes = 65_536
const text = 'x'.repeat(1_000)
const count = 6_000
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

function start (t: Test, contract: ScChannelContract<any, any, any>, options: ScPluginOptions = {}) {
  return serve(t, { maxBufferedBytes, inboundRate: 0, authenticateRate: 0, pingTimeout: 60_000, ...options }, (app) => { app.scChannel('room', contract) })
}

/** Connects a client, and notes the numbers of its messages and what it is told, in order. */
async function join (t: Test, connect: (typeof generations)[number][1], port: number, options = {}) {
  const proxy = await new TcpProxy(port).listen()
  t.teardown(() => proxy.close())
  const client = await connect(t, { port: proxy.port }, { codecEngine: recovering(), ackTimeout: 60_000, pingTimeout: 60_000, pingTimeoutDisabled: true, ...options })
  const events: unknown[] = []
  client.on('recovery', ({ recovered, reason }) => events.push(recovered === true ? 'recovered' : `told: ${reason}`))
  await client.subscribe('room')
  watch(client, events)
  return { client, events, pause: () => proxy.stall(), resume: () => proxy.flow() }
}

/** Notes the numbers of the messages. */
function watch ({ generation, raw }: Client, events: unknown[]): void {
  if (generation === 14) {
    raw.channel('room').watch(({ n }: { n: number }) => events.push(n))
    return
  }
  const read = async (): Promise<void> => { for await (const { n } of raw.channel('room')) events.push(n) }
  read()
}

/** Publishes messages, some in one turn. */
async function publish (sc: { exchange: { publish (channel: string, data: unknown): Promise<void> } }, from: number, to: number): Promise<void> {
  const all: Array<Promise<void>> = []
  for (let n = from; n <= to; n++) {
    all.push(sc.exchange.publish('room', { n, text }))
    if (n % 20 === 0) await turn()
  }
  await Promise.all(all)
}

async function later (turns: number): Promise<void> { for (let i = 0; i < turns; i++) await turn() }

for (const [generation, connect] of generations) {
  for (const [what, contract, expected] of [
    ['plain', {}, numbers(1, count + 10)],
    ['hooks that answer at once', { deliver: ({ data }: any) => { if (data.n % 7 === 0) throw new Error('left out') } }, numbers(1, count + 10).filter((n) => n % 7 !== 0)],
    ['slow hooks', { deliver: async ({ data }: any) => { await later(data.n % 2) } }, numbers(1, count + 10)]
  ] as const) {
    t.test(`client ${generation}, ${what}: a client that stops reading gets everything when it goes on`, async (t) => {
      const { port, sc, nextSocket } = await start(t, { history, recover: true, ...contract })
      const connection = nextSocket()
      const { events, pause, resume } = await join(t, connect, port)
      const socket = await connection
      pause()
      await publish(sc, 1, count)
      await until('a full backlog', () => sc.stats().slowConsumers === 1)
      t.ok(socket.bufferedAmount <= maxBufferedBytes * 1.5, `${socket.bufferedAmount} bytes wait for it`)
      resume()
      await until(() => `all messages, got ${events.length}`, () => events.includes(count % 7 === 0 ? count - 1 : count))
      await publish(sc, count + 1, count + 10)
      await until('the last message', () => events.includes(expected.at(-1)))
      t.strictSame(events, expected)
      t.equal(sc.stats().dropped, 0)
    })
  }

  t.test(`client ${generation}: one that stops reading for too long is told, and goes on`, async (t) => {
    const { port, sc } = await start(t, { history: { size: 100 }, recover: true })
    const { events, pause, resume } = await join(t, connect, port)
    pause()
    await publish(sc, 1, count)
    resume()
    await until('the notice', () => events.includes('told: trimmed'))
    await publish(sc, count + 1, count + 10)
    await until('the last message', () => events.includes(count + 10))
    // Client 20 does not keep the order of different events.
    const messages = events.filter((event) => typeof event === 'number')
    const last = messages.at(-11) as number
    t.ok(last < count && events.length === last + 11, `it got ${last} messages, a notice, and what followed`)
    t.strictSame(messages, [...numbers(1, last), ...numbers(count + 1, count + 10)])
  })

  t.test(`client ${generation}: a suspended subscription goes on where it was, if the client may see it again`, async (t) => {
    const recover = { limit: 50 }
    const { port, sc, nextSocket } = await start(t, { history, recover, subscribe: ({ socket }: any) => { if (socket.authToken?.role !== 'member') throw new Error('members only') } }, { revalidate: 'suspend' })
    sc.on('handshake', (socket) => { socket.on('become', async (role: any, res: any) => { res(await socket.setAuthToken({ role }) as never) }) })
    const connection = nextSocket()
    const first = await connect(t, { port }, { codecEngine: recovering() })
    const socket = await connection
    const become = async (role: string): Promise<void> => {
      await socket.setAuthToken({ role })
      await later(5)
    }
    const events: unknown[] = []
    first.on('recovery', ({ recovered, reason }) => events.push(recovered === true ? 'recovered' : `told: ${reason}`))
    await become('member')
    await first.subscribe('room')
    watch(first, events)
    await publish(sc, 1, 5)
    await until('5 messages', () => events.length === 5)
    await become('guest')
    await publish(sc, 6, 30)
    await become('member')
    await publish(sc, 31, 32)
    await until('32 messages', () => events.length === 32)
    t.strictSame(events, numbers(1, 32))
    // More than a client gets after a lost connection.
    await become('guest')
    await publish(sc, 33, 100)
    await become('member')
    await publish(sc, 101, 102)
    await until('what follows', () => events.includes(102))
    t.strictSame(events.slice(32).sort(), [101, 102, 'told: limit'])
    // The role is taken away for good.
    await become('guest')
    await publish(sc, 103, 110)
    await become('stranger')
    await publish(sc, 111, 112)
    t.equal(await first.call('become', 'guest').then(() => 'answered', () => 'answered'), 'answered')
    t.strictSame(events.slice(35), [], 'nothing of what it may not see')
  })
}

t.test('a slow client of a channel in Redis gets everything', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const broker = () => redisBroker({ url: `redis://127.0.0.1:${redis.port}` })
  const contract = { history, recover: true }
  const [a, b] = [await start(t, contract, { broker: broker() }), await start(t, contract, { broker: broker() })]
  const joined = await Promise.all([0, 1, 0].map((at) => join(t, generations[at]![1], b.port)))
  for (const { pause } of joined.slice(1)) pause()
  await publish(a.sc, 1, count)
  await until('the message for the quick one', () => joined[0]!.events.includes(count))
  for (const { resume } of joined) resume()
  for (const { events } of joined) {
    await until(() => `all messages, got ${events.length}`, () => events.length >= count)
    t.strictSame(events, numbers(1, count))
  }
})

t.test('clients that are slow at the same time share what is read from Redis', { timeout: 90_000 }, async (t) => {
  const server = await startRedis(t)
  if (server === null) return t.plan(0, 'redis-server is not installed')
  const { port, sc } = await start(t, { history: { size: 100_000 }, recover: true }, { broker: redisBroker({ url: `redis://127.0.0.1:${server.port}` }) })
  const [, connect] = generations.at(-1)!
  const clients = await Promise.all([1, 2, 3].map(() => join(t, connect, port)))
  for (const { pause } of clients) pause()
  const total = 45_000
  for (let n = 1; n <= total; n++) {
    const published = sc.exchange.publish('room', { n, text: text.slice(0, 150) })
    if (n % 60 === 0) await published
  }
  await until('three full backlogs', () => sc.stats().slowConsumers === 3)
  for (const { resume } of clients) resume()
  for (const { events } of clients) {
    await until(() => `all messages, got ${events.length}`, () => events.at(-1) === total)
    t.strictSame(events, numbers(1, total), 'each once, in order')
  }
  t.equal(sc.stats().slowConsumers, 3, 'each was slow once')
  const reads = sc.stats().broker!.historyReads!
  t.ok(reads <= total / 1_000 * 2, `${reads} reads`)
})

t.test('a slow client is told where messages follow that the server cannot read, because another key signed them', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const broker = () => redisBroker({ url: `redis://127.0.0.1:${redis.port}` })
  const keys = ['one key of brokers that has more than thirty-two bytes', 'another key of brokers with more than thirty-two bytes']
  const [{ sc, port }, other] = [await start(t, { history, recover: true }, { broker: broker(), brokerKey: keys[0] }), await start(t, { history, recover: true }, { broker: broker(), brokerKey: keys[1] })]
  const { events, pause, resume } = await join(t, generations[0]![1], port)
  await publish(sc, 1, 1)
  await until('the first message', () => events.length === 1)
  pause()
  await publish(sc, 2, count)
  await publish(other.sc, count + 1, count + 1_500)
  await publish(sc, count + 1_501, count + 1_510)
  resume()
  await until('the notice', () => events.includes('told: unknown'), 20_000)
  t.same(events, [...numbers(1, count), 'told: unknown'])
  await publish(sc, count + 1_511, count + 1_512)
  await until('the next messages', () => events.at(-1) === count + 1_512)
  t.same(events.slice(count + 1), numbers(count + 1_511, count + 1_512))
})
