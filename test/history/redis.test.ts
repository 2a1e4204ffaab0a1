// Histories in Redis, on several nodes: what clients get when a node, a link or Redis fails.
import { readFile } from 'node:fs/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { keyTag, slotOf } from '../../lib/broker/redis/slots.js'
import { hostileChannelNames } from '../../lib/testing/hostile-names.js'
import { generations } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { startRedis, startRedisCluster, type TestServer } from '../helpers/servers.js'
import { atRest, until } from '../helpers/waiting.js'
import { type HistoryEngine, historyNode, runEngineCases, withEngine } from './engine-cases.js'
import { history, join, numbers, proxyOf, publish, quick, recover } from './several-nodes.js'

const engine: HistoryEngine = {
  name: 'Redis',
  start: startRedis,
  broker: (port, options = quick) => redisBroker({ url: `redis://127.0.0.1:${port}`, ...options })
}

/** Starts a node. */
const node = (t: Test, port: number) => historyNode(t, engine.broker(port))

/** Runs a test with a Redis of its own. */
const withRedis = (name: string, run: (t: Test, redis: TestServer) => Promise<void>): void => withEngine(engine, name, run)

runEngineCases(engine)

withRedis('keys that are deleted under way: who is there misses nothing, who was away is told', async (t, redis) => {
  const [a, b] = [await node(t, redis.port), await node(t, redis.port)]
  const [, connect] = generations[0]!
  const client = new Redis(redis.port)
  t.teardown(() => client.disconnect())
  const keys = async (part: string): Promise<string[]> => client.keys(`*${part}*`)
  for (const [what, act] of [
    ['all keys', () => client.flushall()],
    ['the position', async () => client.del(await keys(':meta'))],
    ['the messages', async () => client.del(await keys(':frames'))]
  ] as const) {
    await t.test(what, async (t) => {
      const [there, away] = [await join(t, connect, b.port), await join(t, connect, b.port)]
      await publish(a.sc, 1, 10)
      for (const one of [there, away]) await until('10 messages', () => one.messages().length === 10)
      const stopReconnects = { autoReconnect: false }
      Object.assign(away.client.raw.options, stopReconnects)
      away.client.raw.transport.socket.terminate()
      await until('its end', () => away.client.state === 'closed')
      await publish(a.sc, 11, 100, async (n) => { if (n === 50) await act() })
      await until('100 messages', () => there.messages().length === 100)
      t.strictSame([there.events, there.disconnects], [numbers(1, 100), 0])
      // To another node, which has to read.
      const c = await node(t, redis.port)
      away.client.raw.options.port = c.port
      away.client.reconnect()
      await until('the answer', () => away.others().length === 1)
      t.strictSame(away.others(), [what === 'the messages' ? 'told: trimmed' : 'told: unknown'])
      await publish(a.sc, 101, 110)
      await until('what follows', () => away.messages().length === 20)
      t.strictSame(away.messages(), [...numbers(1, 10), ...numbers(101, 110)])
      await there.client.close()
      await away.client.close()
    })
  }
})

withRedis('scripts that are deleted under way', async (t, redis) => {
  const [a, b] = [await node(t, redis.port), await node(t, redis.port)]
  const client = new Redis(redis.port)
  t.teardown(() => client.disconnect())
  const seen = await join(t, generations[1]![1], b.port)
  const accepted = await publish(a.sc, 1, 300, async (n) => { if (n % 50 === 0) await client.script('FLUSH') })
  t.ok(accepted.length < 300, 'some publishes were refused')
  await until('the last message', () => seen.messages().includes(accepted.at(-1)))
  const got = seen.messages() as number[]
  t.strictSame(accepted.filter((n) => !got.includes(n)), [], 'all that was accepted came')
  t.strictSame(got, [...new Set(got)].sort((x, y) => x - y), 'once, and in order')
  t.strictSame([seen.others(), seen.disconnects], [[], 0])
})

withRedis('a failover that lost the last messages is told to those who had them', async (t, redis) => {
  const proxy = await proxyOf(t, redis.port)
  const [a, b] = [await node(t, proxy.port), await node(t, proxy.port)]
  const client = new Redis(redis.port)
  t.teardown(() => client.disconnect())
  const seen = await Promise.all([a, b].flatMap(({ port }) => generations.map(([, connect]) => join(t, connect, port))))
  const behind = await join(t, generations[0]![1], a.port)
  await publish(a.sc, 1, 50)
  for (const one of [...seen, behind]) await until('50 messages', () => one.messages().length === 50)
  Object.assign(behind.client.raw.options, { autoReconnect: false })
  behind.client.raw.transport.socket.terminate()
  await until('its end', () => behind.client.state === 'closed')
  const names = await client.keys('*room/1*')
  const replica = await Promise.all(names.map((name) => client.dumpBuffer(name)))
  await publish(a.sc, 51, 100)
  for (const one of seen) await until('100 messages', () => one.messages().length === 100)
  // The replica, which has not got the last 50 messages, becomes the master.
  proxy.block()
  await until('the loss of Redis', () => [a, b].every(({ sc }) => sc.stats().broker.state === 'down'))
  for (const [i, name] of names.entries()) await client.restore(name, 0, replica[i]!, 'REPLACE')
  proxy.unblock()
  for (const one of seen) {
    await until('the notice', () => one.others().length === 2)
    t.strictSame(one.others().sort(), ['gap of room/1', 'told: unknown'])
  }
  await publish(b.sc, 101, 160)
  for (const one of seen) {
    await until('160 messages', () => one.messages().length === 160)
    t.strictSame(one.messages(), numbers(1, 160), 'offsets that come again are not taken for old ones')
  }
  // This client had none of the lost messages: for it, nothing is missing.
  behind.client.reconnect()
  await until('what it missed', () => behind.messages().length === 110)
  t.strictSame([behind.messages(), behind.others()], [[...numbers(1, 50), ...numbers(101, 160)], ['recovered']])
})

withRedis('a channel whose history Redis cannot read goes on without it', async (t, redis) => {
  const { sc, port, warnings } = await node(t, redis.port)
  const client = new Redis(redis.port)
  t.teardown(() => client.disconnect())
  await client.set('{history:c:room/1}:h:meta', 'of another type')
  const raw = await RawClient.connect(t, port)
  t.match(await raw.call('#subscribe', { channel: 'room/1', since: 'abc.1.def' }), { data: { recovered: false, reason: 'unknown' } })
  t.match(warnings, [{ name: 'BrokerError', message: /WRONGTYPE/ }])
  await t.rejects(sc.exchange.publish('room/1', 1), { name: 'BrokerError', message: /WRONGTYPE/ })
  await t.rejects(sc.exchange.history('room/1'), { name: 'BrokerError', message: /WRONGTYPE/ })
  await client.del('{history:c:room/1}:h:meta')
  await sc.exchange.publish('room/1', 2)
  t.match(await raw.event('#publish'), { data: { channel: 'room/1', data: 2 } })
})

withRedis('a Redis without memory refuses to keep messages', async (t, redis) => {
  const { sc, port, warnings } = await node(t, redis.port)
  const client = new Redis(redis.port)
  t.teardown(() => client.disconnect())
  await sc.exchange.publish('room/1', 1)
  const { position } = await sc.exchange.history('room/1')
  await client.config('SET', 'maxmemory', '1')
  const raw = await RawClient.connect(t, port)
  for (const channel of ['room/1', 'room/2']) await t.rejects(sc.exchange.publish(channel, 2), { name: 'BrokerError', message: /OOM/ }, channel)
  t.match(await raw.call('#subscribe', { channel: 'room/1', since: position }), { data: { recovered: true, count: 0 } }, 'what is kept can be read')
  t.strictSame((await raw.call('#subscribe', 'room/2')).data, {}, 'a new channel goes on without a history')
  t.match(warnings, [{ name: 'BrokerError', message: /OOM/ }])
  await client.config('SET', 'maxmemory', '0')
  await sc.exchange.publish('room/2', 3)
  t.match(await raw.event('#publish'), { data: { channel: 'room/2', data: 3 } })
})

t.test('a cluster keeps the keys of a channel in the slot of its topic', async (t) => {
  for (const name of [...hostileChannelNames, 'a}b', '{}a', '}{', '{}{a}', 'a{b', 'room/{7}/x']) {
    const topic = `sc:c:${name}`
    t.equal(slotOf(`${keyTag(topic)}:meta`), slotOf(topic), name)
  }
  const nodes = await startRedisCluster(t, 3)
  if (nodes === null) return
  const cluster = nodes.map(({ port }) => ({ host: '127.0.0.1', port }))
  const start = () => serve(t, { broker: redisBroker({ cluster, ...quick }), inboundRate: 0 }, (app) => { app.scChannel('room/:id', { history, recover }) })
  const [a, b] = [await start(), await start()]
  const seen = await Promise.all(['room/1', 'room/2', 'room/{x}'].map(async (channel) => ({ channel, ...await join(t, generations[0]![1], b.port, channel) })))
  for (const n of numbers(1, 60)) {
    for (const { channel } of seen) await a.sc.exchange.publish(channel, n)
    if (n === 30) for (const { client } of seen) client.raw.transport.socket.terminate()
  }
  for (const { events, channel } of seen) {
    await until('60 messages', () => events.filter((event) => typeof event === 'number').length >= 60)
    t.strictSame(events.filter((event) => typeof event === 'number'), numbers(1, 60), channel)
    t.ok(events.includes('recovered'))
  }
  await atRest(() => b.sc.stats().broker.historyReads!)
})

withRedis('the memory that docs/histories-in-redis-and-nats.md names', async (t, redis) => {
  const page = await readFile(new URL('../../docs/histories-in-redis-and-nats.md', import.meta.url), 'utf8')
  const figure = (text: RegExp): number => Number(text.exec(page)![1]!.replace(',', ''))
  const { sc } = await node(t, redis.port)
  const client = new Redis(redis.port)
  t.teardown(() => client.disconnect())
  const used = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await client.info('memory'))![1])
  const names = numbers(1, 10_000).map((n) => `room/${n}`)
  /** Bytes for each channel. */
  const takes = async (act: (name: string) => Promise<unknown>): Promise<number> => {
    const before = await used()
    for (let i = 0; i < names.length; i += 1_000) await Promise.all(names.slice(i, i + 1_000).map(act))
    return (await used() - before) / names.length
  }
  const upTo = (bytes: number, documented: number, what: string): void => { t.ok(bytes <= documented && bytes > documented / 2, `${what}: ${bytes} bytes, up to ${documented} in the docs`) }
  upTo(await takes((name) => sc.exchange.history(name)), figure(/The position: up to (\d+) bytes/), 'a position')
  upTo(await takes((name) => sc.exchange.publish(name, 1)), figure(/has messages: up to ([\d,]+) bytes/), 'the first message')
  await client.flushall()
  const text = 'x'.repeat(100)
  const one = 'room/1'
  await sc.exchange.publish(one, text)
  const before = await used()
  for (let i = 0; i < 2_000; i++) await sc.exchange.publish(one, text)
  upTo((await used() - before) / 2_000 - 102, figure(/its JSON and up to (\d+) bytes/), 'a message')
})
