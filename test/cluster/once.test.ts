import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { maxKeyAge, maxKeyBytes } from '../../lib/broker/nats/key-store.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { MemoryStore } from '../../lib/broker/memory-store.js'
import { maxTtl, Once } from '../../lib/cluster/once.js'
import { type Broker, memoryBroker, type ScPluginOptions, type ScServer } from '../../lib/index.js'
import { Clock } from '../helpers/clock.js'
import { serve } from '../helpers/serve.js'
import { startJetStream, startJetStreamCluster, startNats, startRedis, startRedisCluster } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'

const keys = ['a key of brokers that has more than thirty-two bytes', 'another key of brokers, which is as long as the other']

async function start (t: Test, broker: () => Broker, options: ScPluginOptions = {}): Promise<ScServer> {
  return (await serve(t, { broker: broker(), ...options })).sc
}

async function rules (t: Test, one: ScServer, other: ScServer): Promise<void> {
  let runs = 0
  const work = async (): Promise<object> => ({ run: ++runs })
  t.strictSame(await one.cluster.runOnce('first', work), { run: 1 })
  t.strictSame(await other.cluster.runOnce('first', work), { run: 1 }, 'a repeat gets the result, on any node')
  t.strictSame(await other.cluster.runOnce('first', work, { fingerprint: '' }), { run: 1 })
  await t.rejects(one.cluster.runOnce('first', work, { fingerprint: 'x' }), { name: 'IdempotencyError', code: 'SC_ERR_KEY_REUSED', statusCode: 422 })
  t.equal(await one.cluster.runOnce('nothing', () => {}), undefined)
  t.equal(await other.cluster.runOnce('nothing', () => 5 as never), undefined)

  await t.rejects(one.cluster.runOnce('fails', async () => { throw new Error('no') }), { message: 'no' })
  await t.rejects(one.cluster.runOnce('fails', () => { throw new Error('no') }), { message: 'no' })
  t.equal(await other.cluster.runOnce('fails', () => 7, { fingerprint: 'other' }), 7, 'work that failed is forgotten, with its fingerprint')
  await t.rejects(one.cluster.runOnce('large', () => 'x'.repeat(70_000)), { code: 'SC_ERR_ARGUMENT' })
  await t.rejects(one.cluster.runOnce('large', () => 1n), { code: 'SC_ERR_ENCODE' })
  t.equal(await other.cluster.runOnce('large', () => 8), 8, 'a result that cannot be kept is forgotten too')

  let finish!: (value: string) => void
  const running = one.cluster.runOnce('slow', () => new Promise<string>((resolve) => { finish = resolve }), { fingerprint: 'f' })
  await until('the work', () => finish !== undefined)
  await t.rejects(other.cluster.runOnce('slow', () => 'again', { fingerprint: 'f' }), { code: 'SC_ERR_KEY_RUNNING', statusCode: 409 })
  await t.rejects(other.cluster.runOnce('slow', () => 'again'), { code: 'SC_ERR_KEY_REUSED' })
  finish('done')
  t.equal(await running, 'done')
  t.equal(await other.cluster.runOnce('slow', () => 'again', { fingerprint: 'f' }), 'done')

  runs = 0
  const results = await Promise.allSettled(Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? one : other).cluster.runOnce('crowd', work)))
  t.equal(runs, 1)
  for (const result of results) t.match(result, result.status === 'fulfilled' ? { value: { run: 1 } } : { reason: { code: 'SC_ERR_KEY_RUNNING' } })
  t.strictSame(await one.cluster.runOnce('short', () => 1, { ttl: 1_000 }), 1)
  await sleep(1_100)
  t.strictSame(await other.cluster.runOnce('short', () => 2, { ttl: 1_000 }), 2)
}

t.test('memory', async (t) => {
  const sc = await start(t, memoryBroker)
  await rules(t, sc, sc)
})

t.test('redis: two nodes, which sign', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const broker = (): Broker => redisBroker({ url: `redis://127.0.0.1:${redis.port}` })
  const [one, other] = [await start(t, broker, { brokerKey: keys[0]! }), await start(t, broker, { brokerKey: keys })]
  await rules(t, one, other)
  const stranger = await start(t, broker, { brokerKey: keys[1]! })
  await t.rejects(stranger.cluster.runOnce('first', () => 2), { name: 'BrokerError', message: /brokerKey/ }, 'a result that is not signed is not one')
  const client = new Redis(redis.port)
  t.teardown(() => client.disconnect())
  const names = await client.keys('sc:k:*')
  for (const name of names) {
    t.match(name, /^sc:k:[\w-]{43}$/)
    const left = await client.pttl(name)
    t.ok(left > 0 && left <= 300_000, `${left} ms`)
  }
  const plain = await start(t, broker, { brokerPrefix: 'plain' })
  await plain.cluster.runOnce('k', () => 1)
  const [name] = await client.keys('plain:k:*')
  for (const value of ['', 'no', '5', '{"f":1}', 'null']) {
    await client.set(name!, value)
    await t.rejects(plain.cluster.runOnce('k', () => 2), { name: 'BrokerError', message: /something else/ }, value)
  }
})

t.test('redis cluster', async (t) => {
  const servers = await startRedisCluster(t, 3)
  if (servers === null) return t.plan(0, 'redis-server is not installed')
  const broker = (): Broker => redisBroker({ cluster: [{ host: '127.0.0.1', port: servers[0]!.port }] })
  await rules(t, await start(t, broker), await start(t, broker))
})

t.test('nats with histories: two nodes, which sign', async (t) => {
  const nats = await startJetStream(t)
  if (nats === null) return t.plan(0, 'nats-server is not installed')
  const broker = (): Broker => natsBroker({ servers: `127.0.0.1:${nats.port}`, history: { storage: 'file' } })
  const admin = async (): Promise<NatsConnection> => {
    const made = await connect({ servers: `127.0.0.1:${nats.port}` })
    t.teardown(() => made.close())
    return made
  }
  let connection = await admin()
  const api = async (call: string, data: object = {}): Promise<any> => (await connection.request(`$JS.API.STREAM.${call}.sc-keys`, JSON.stringify(data), { timeout: 10_000 })).json()
  const [one, other] = [await start(t, broker, { brokerKey: keys[0]! }), await start(t, broker, { brokerKey: keys })]
  t.match(await api('INFO'), { error: { err_code: 10_059 } }, 'no stream before the first key')
  await rules(t, one, other)
  const stranger = await start(t, broker, { brokerKey: keys[1]! })
  await t.rejects(stranger.cluster.runOnce('first', () => 2), { name: 'BrokerError', message: /brokerKey/ }, 'a result that is not signed is not one')

  const { config, state } = await api('INFO', { subjects_filter: '>' })
  t.match(config, { subjects: ['sc.k.>'], storage: 'file', max_msgs_per_subject: 1, max_bytes: maxKeyBytes, max_age: maxKeyAge * 1_000_000 })
  t.ok(maxKeyAge > maxTtl, 'no key is dropped before its time')
  t.ok(Object.keys(state.subjects).length >= 6)
  for (const name of Object.keys(state.subjects)) t.match(name, /^sc\.k\.[\w-]{43}$/)
  t.equal(state.messages, Object.keys(state.subjects).length, 'one message a key')

  await nats.kill()
  await nats.restart()
  for (const sc of [one, other]) await until('the engine', () => sc.brokerState === 'up', 20_000)
  connection = await admin()
  t.strictSame(await other.cluster.runOnce('first', () => 2), { run: 1 }, 'on disk, keys outlive the server')

  await api('DELETE')
  t.equal(await one.cluster.runOnce('first', () => 'a new stream'), 'a new stream')
  t.equal(await other.cluster.runOnce('first', () => 2 as never), 'a new stream')

  const plain = await start(t, broker, { brokerPrefix: 'plain' })
  const found = (): Promise<any> => plain.cluster.runOnce('k', () => 2)
  await plain.cluster.runOnce('k', () => 1)
  const kept = (await connection.request('$JS.API.STREAM.INFO.plain-keys', JSON.stringify({ subjects_filter: '>' }), { timeout: 10_000 })).json<any>()
  const [name] = Object.keys(kept.state.subjects)
  for (const value of ['no', '5', '{"f":1}', 'null', '']) {
    await connection.request(name!, `${Date.now() + 60_000} ${value}`, { timeout: 10_000 })
    await t.rejects(found(), { name: 'BrokerError', message: /something else/ }, value)
  }
  for (const text of ['', 'no', '5 {}', 'x {}']) {
    await connection.request(name!, text, { timeout: 10_000 })
    t.equal(await found(), 2, `${text}: no value`)
  }
})

t.test('nats cluster of three', async (t) => {
  const servers = await startJetStreamCluster(t, 3)
  if (servers === null) return t.plan(0, 'nats-server is not installed')
  const broker = (server: number) => (): Broker => natsBroker({ servers: `127.0.0.1:${servers[server]!.port}`, history: { replicas: 3 }, connect: 'retry', timeout: 10_000 })
  const nodes = [await start(t, broker(0)), await start(t, broker(2))] as const
  for (const sc of nodes) await until('the engine', () => sc.brokerState === 'up', 30_000)
  await rules(t, ...nodes)
})

t.test('a shared broker without a store', async (t) => {
  const nats = await startNats(t)
  if (nats === null) return t.plan(0, 'nats-server is not installed')
  const sc = await start(t, () => natsBroker({ servers: `127.0.0.1:${nats.port}` }))
  await t.rejects(sc.cluster.runOnce('k', () => t.fail('it must not run')), { code: 'SC_ERR_NO_STORE', statusCode: 501, message: /nats.*natsBroker with its option history/ })
})

t.test('the engine is lost while the work runs', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const { sc, warnings } = await serve(t, { broker: redisBroker({ url: `redis://127.0.0.1:${redis.port}` }) })
  const result = sc.cluster.runOnce('k', async () => {
    await redis.kill()
    await until('the loss', () => sc.brokerState === 'down')
    return 'done'
  })
  t.equal(await result, 'done', 'the work is done')
  t.match(warnings.find((err) => err.name === 'BrokerError'), { name: 'BrokerError' })
  await t.rejects(sc.cluster.runOnce('k', () => 'again'), { code: 'SC_ERR_BROKER_DOWN' })
})

t.test('a broker that throws, and one that loses a record', async (t) => {
  const warnings: any[] = []
  let lose = false
  const store = { add: (): string | null => { if (lose) return null; throw new TypeError('broken') }, replace: () => false }
  const once = new Once({ link: { broker: { ...memoryBroker(), name: 'own', store } as never, checkUp () {} }, warn: (err) => { warnings.push(err) } })
  await t.rejects(once.run('k', () => 1), { name: 'BrokerError', message: 'broken' })
  lose = true
  t.equal(await once.run('k', () => 1), 1)
  t.match(warnings, [{ name: 'BrokerError', message: /was lost/ }])
})

t.test('no value is longer than a store must take', async (t) => {
  const store = new MemoryStore()
  const lengths: number[] = []
  const counting = {
    add: (name: string, value: string, ttl: number) => { lengths.push(value.length); return store.add(name, value, ttl) },
    replace: (name: string, expected: string, value: string | null, ttl: number) => { lengths.push(value?.length ?? 1); return store.replace(name, expected, value, ttl) }
  }
  const once = new Once({ link: { broker: { ...memoryBroker(), store: counting } as never, checkUp () {} }, warn: (err) => t.fail(err as Error) })
  const results: unknown[] = ['"'.repeat(32_767), '\u0001'.repeat(10_922), '\ud800'.repeat(10_922), 'é'.repeat(65_534), '🙂'.repeat(32_767), Array(32_767).fill(1), null, undefined]
  for (const [i, result] of results.entries()) {
    t.strictSame(await once.run(`k${i}`, () => result), result)
    t.strictSame(await once.run(`k${i}`, () => t.fail('it must not run')), result)
  }
  t.ok(Math.max(...lengths) <= 131_072 && Math.min(...lengths) >= 1, lengths.join())
})

t.test('the record is kept while the work runs, and ends with a process that dies', async (t) => {
  const clock = new Clock(t)
  const store = new MemoryStore()
  const once = new Once({ link: { broker: { ...memoryBroker(), name: 'own', store } as never, checkUp () {} }, warn: (err) => t.fail(err as Error) })
  let finish!: () => void
  const running = once.run('k', () => new Promise<void>((resolve) => { finish = resolve }))
  await clock.advance(0)
  await clock.advance(200_000)
  await t.rejects(once.run('k', () => t.fail('it must not run')), { code: 'SC_ERR_KEY_RUNNING' })
  finish()
  await running
  t.equal(clock.armed, 0)
  t.equal(await once.run('k', () => t.fail('it must not run')), undefined)
  await clock.advance(300_001)
  t.equal(await once.run('k', () => 'later'), 'later')

  const key = 'dead'
  let record = ''
  const dying = new Once({ link: { broker: { ...memoryBroker(), store: { add: (name: string, value: string, ttl: number) => { record = name; return store.add(name, value, ttl) }, replace: () => true } } as never, checkUp () {} }, warn () {} })
  dying.run(key, () => new Promise(() => {}))
  await clock.advance(0)
  t.not(record, '')
  await clock.advance(29_999)
  await t.rejects(once.run(key, () => t.fail('it must not run')), { code: 'SC_ERR_KEY_RUNNING' })
  await clock.advance(2)
  t.equal(await once.run(key, () => 'again'), 'again')
})

t.test('the memory of the store is bounded: the oldest keys are forgotten first', async (t) => {
  const store = new MemoryStore()
  for (let i = 0; i < 10_050; i++) t.equal(store.add(`k${i}`, 'v', 60_000), null)
  t.equal(store.add('k49', 'again', 60_000), null, 'forgotten')
  t.equal(store.add('k60', 'again', 60_000), 'v')
  const large = new MemoryStore()
  for (let i = 0; i < 200; i++) large.add(`k${i}`, 'x'.repeat(131_072), 60_000)
  t.ok(large.bytes <= 16 * 1024 * 1024, `${large.bytes} bytes`)
  t.equal(large.add('k199', 'again', 60_000)?.length, 131_072)
  large.clear()
  t.equal(large.bytes, 0)
  for (let i = 0; i < 100; i++) large.add(`k${i}`, 'v', 1)
  await sleep(5)
  large.add('last', 'v', 1)
  t.ok(large.bytes < 300, 'what is over is dropped')
})

t.test('what it is called with is checked', async (t) => {
  const sc = await start(t, memoryBroker)
  const work = (): never => t.fail('it must not run') as never
  for (const args of [[5, work], ['', work], ['x'.repeat(1_025), work], ['k'], ['k', work, null], ['k', work, { ttl: 999 }], ['k', work, { ttl: 1e9 }], ['k', work, { ttl: '5' }], ['k', work, { fingerprint: 5 }]]) {
    await t.rejects(sc.cluster.runOnce(...args as [string, () => never]), { code: 'SC_ERR_ARGUMENT' })
  }
})
