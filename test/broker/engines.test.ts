import t from 'tap'
import { once, EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { connect } from '@nats-io/transport-node'
import { Cluster as RedisCluster, Redis } from 'ioredis'
import type { Broker, BrokerState } from '../../types/broker.js'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { brokerSuite } from '../../lib/testing/broker-suite.js'
import { TcpProxy } from '../helpers/proxy.js'
import { freePort, startNats, startRedis, startRedisCluster, startSentinel, type TestServer } from '../helpers/servers.js'
import { Stopwatch } from '../helpers/stopwatch.js'
import { patience, until } from '../helpers/waiting.js'

/** So that outages are short, and no quicker: an engine that answers is not to be taken for silent when this process was held up. */
const quick = { timeout: 2_000, probeInterval: 1_000, connectTimeout: 5_000, maxRetryDelay: 200 }

function watch (broker: Broker, id = 'n1') {
  const events = new EventEmitter()
  const seen: Array<[string, string]> = []
  const log: string[] = []
  let state: BrokerState = 'down'
  let cause: Error | undefined
  const started = Promise.resolve(broker.start({
    publication (channel, data) {
      seen.push([channel, data])
      events.emit('publication')
    },
    state (now, why) {
      state = now
      cause = why
      log.push(now)
      events.emit(now)
    },
    gap (channel) {
      log.push(`gap ${channel}`)
      events.emit('gap')
    },
    control () {}
  }, { id, prefix: 'engines' }))
  const wait = (event: string) => once(events, event, { signal: AbortSignal.timeout(patience) })
  return { started, seen, log, events, wait, get state () { return state }, get cause () { return cause } }
}

t.test('options are checked, with the name of the option in the error', (t) => {
  const bad: Array<[make: () => unknown, message: RegExp]> = [
    [() => redisBroker({ urll: 'x' } as never), /no option "urll"/],
    [() => redisBroker(null as never), /options to be an object, got null/],
    [() => redisBroker({ url: 'http://x' }), /option url/],
    [() => redisBroker({ url: 6379 as never }), /option url.*number/],
    [() => redisBroker({ redis: 'x' as never }), /option redis/],
    [() => redisBroker({ cluster: [] }), /option cluster/],
    [() => redisBroker({ cluster: ['x'] as never }), /option cluster/],
    [() => redisBroker({ client: {} as never }), /option client/],
    [() => redisBroker({ url: 'redis://x', cluster: [{ host: 'x', port: 1 }] }), /one of/],
    [() => redisBroker({ timeout: 0 }), /option timeout.*got 0/],
    [() => redisBroker({ probeInterval: '1s' as never }), /option probeInterval/],
    [() => redisBroker({ connect: 'maybe' as never }), /option connect.*maybe/],
    [() => natsBroker({ url: 'x' } as never), /no option "url"/],
    [() => natsBroker({ servers: [] }), /option servers/],
    [() => natsBroker({ servers: 1 as never }), /option servers.*number/],
    [() => natsBroker({ nats: 1 as never }), /option nats/],
    [() => natsBroker({ connection: {} as never }), /option connection/]
  ]
  for (const [make, message] of bad) t.throws(make, { name: 'InvalidOptionsError', message }, String(message))
  t.end()
})

t.test('an engine that is not there', async (t) => {
  for (const [name, make, start] of [
    ['redis', (port: number, connect: 'required' | 'retry') => redisBroker({ url: `redis://${connect === 'required' ? 'user:secret@' : ''}127.0.0.1:${port}`, connect, ...quick }), startRedis],
    ['nats', (port: number, connect: 'required' | 'retry') => natsBroker({ servers: `nats://user:secret@127.0.0.1:${port}`, connect, ...quick }), startNats]
  ] as const) {
    const port = await freePort()
    const required = make(port, 'required')
    const refusal = await watch(required).started.then(() => null, (err: Error) => err)
    t.match(refusal, { name: 'BrokerError', code: 'SC_ERR_BROKER_CONNECT', message: new RegExp(`${name} broker cannot connect to 127\\.0\\.0\\.1:${port}: .*refused.*retry`, 'i') })
    t.notMatch(refusal!.message, /secret/)

    const broker = make(port, 'retry')
    const node = watch(broker)
    await node.started
    t.equal(node.state, 'down')
    await t.rejects(Promise.resolve(broker.publish('a', '1')), { name: 'BrokerError', code: 'SC_ERR_BROKER_DOWN', message: /refused/i })
    const up = node.wait('up')
    const server = await start(t, [], port)
    if (server !== null) {
      await up
      await broker.subscribe(['a'])
      const publication = node.wait('publication')
      await broker.publish('a', '1')
      await publication
      t.strictSame(node.log.filter((entry) => entry !== 'down'), ['up'], 'no gap before the first connection')
    }
    await broker.stop()
    up.catch(() => {})
  }
})

t.test('a package that is not installed', async (t) => {
  const child = fork(fileURLToPath(new URL('missing-package.ts', import.meta.url)))
  const exit = once(child, 'exit')
  t.teardown(() => { child.kill('SIGKILL') })
  const [errors] = await once(child, 'message', { signal: AbortSignal.timeout(60_000) })
  t.strictSame(errors, [
    'InvalidOptionsError: redisBroker needs the package ioredis, which is not installed: npm install ioredis',
    'InvalidOptionsError: natsBroker needs the package @nats-io/transport-node, which is not installed: npm install @nats-io/transport-node'
  ])
  await exit
})

t.test('a wrong password is told', async (t) => {
  const redis = await startRedis(t, ['--requirepass', 'right'])
  if (redis !== null) {
    await t.rejects(watch(redisBroker({ url: `redis://:wrong@127.0.0.1:${redis.port}` })).started, { name: 'BrokerError', message: /WRONGPASS/ })
    await t.rejects(watch(redisBroker({ url: `redis://127.0.0.1:${redis.port}` })).started, { name: 'BrokerError', message: /NOAUTH/ })
    const broker = redisBroker({ url: `redis://127.0.0.1:${redis.port}`, redis: { password: 'right' } })
    await watch(broker).started
    await broker.stop()
  }
  const nats = await startNats(t, ['--user', 'u', '--pass', 'right'])
  if (nats !== null) {
    await t.rejects(watch(natsBroker({ servers: `127.0.0.1:${nats.port}`, nats: { user: 'u', pass: 'wrong' } })).started, { name: 'BrokerError', message: /Authorization/i })
    const broker = natsBroker({ servers: `127.0.0.1:${nats.port}`, nats: { user: 'u', pass: 'right' } })
    await watch(broker).started
    await broker.stop()
  }
})

t.test('a refused channel is an error of its subscribers only', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const admin = new Redis(redis.port)
  t.teardown(() => admin.disconnect())
  await admin.acl('SETUSER', 'app', 'on', '>pw', '+@all', '&engines:c:ok', '&engines:all', '&engines:n:*')
  const broker = redisBroker({ url: `redis://app:pw@127.0.0.1:${redis.port}` })
  const node = watch(broker)
  await node.started
  t.teardown(() => broker.stop())
  await broker.subscribe(['ok'])
  await t.rejects(Promise.resolve(broker.subscribe(['secret'])), { name: 'BrokerError', message: /NOPERM/ })
  await t.rejects(Promise.resolve(broker.publish('secret', '1')), { name: 'BrokerError', message: /NOPERM/ })
  const publication = node.wait('publication')
  await broker.publish('ok', '1')
  await publication
  t.strictSame(node.log, ['up'])
})

t.test('frames that cannot be read are dropped and counted', async (t) => {
  const redis = await startRedis(t)
  const nats = await startNats(t)
  if (redis === null || nats === null) return t.plan(0, 'redis-server or nats-server is not installed')
  const stranger = new Redis(redis.port)
  t.teardown(() => stranger.disconnect())
  const strangerOfNats = await connect({ servers: `127.0.0.1:${nats.port}` })
  t.teardown(() => strangerOfNats.close())
  for (const [broker, send] of [
    [redisBroker({ url: `redis://127.0.0.1:${redis.port}` }), async (kind: string, name: string, text: string) => { await stranger.publish(`engines:${kind}:${name}`, text) }],
    [natsBroker({ servers: `127.0.0.1:${nats.port}` }), async (kind: string, name: string, text: string) => { strangerOfNats.publish(`engines.${kind}.${name}`, text); await strangerOfNats.flush() }]
  ] as const) {
    const node = watch(broker)
    await node.started
    t.teardown(() => broker.stop())
    await broker.subscribe(['a'])
    const texts = ['', '{"x":1}', 'sc2 m n2 1\n1', 'sc1 m n2 5\n1', 'sc1 c n2 1\n1', 'sc1 p n2 0\n', '\u0000\uFFFF', 'x'.repeat(100_000)]
    for (const text of texts) await send('c', 'a', text)
    await send('n', 'n1', 'sc1 m n2 1\n1')
    await send('n', 'n1', 'sc1 p n2 0\n')
    const publication = node.wait('publication')
    await broker.publish('a', '"good"')
    await publication
    t.strictSame(node.seen, [['a', '"good"']])
    await until('the frames to be dropped', () => broker.stats!().framesDropped === texts.length + 2)
    t.match(broker.stats!(), { framesDropped: texts.length + 2, messagesIn: 1, messagesOut: 1, framesOut: 1 })
  }
})

t.test('messages of a tick travel in one frame, up to 64', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const broker = redisBroker({ url: `redis://127.0.0.1:${redis.port}` })
  const node = watch(broker)
  await node.started
  t.teardown(() => broker.stop())
  await broker.subscribe(['a', 'b'])
  const same = new Set<unknown>()
  for (let i = 0; i < 130; i++) same.add(broker.publish('a', `${i}`))
  for (let i = 0; i < 10; i++) same.add(broker.publish('b', `${i}`))
  t.equal(same.size, 4, 'who shares a frame shares the promise')
  await Promise.all(same)
  t.match(broker.stats!(), { framesOut: 4, messagesOut: 140 })
})

t.test('Redis: one of the two connections falls silent, and the other works', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  for (const silent of [0, 1]) {
    const proxy = await new TcpProxy(redis.port).listen()
    t.teardown(() => proxy.close())
    const broker = redisBroker({ url: `redis://127.0.0.1:${proxy.port}`, ...quick })
    const node = watch(broker)
    await node.started
    t.teardown(() => broker.stop())
    await broker.subscribe(['a'])
    const stopwatch = new Stopwatch()
    const gap = node.wait('gap')
    proxy.silence(silent)
    await gap
    t.ok(stopwatch.stop() < 2 * quick.probeInterval + quick.timeout + 2_000, 'noticed by a probe')
    const publication = node.wait('publication')
    await broker.publish('a', '1')
    await publication
  }
})

t.test("the application's own client lends its settings and stays open", async (t) => {
  const redis = await startRedis(t, ['--requirepass', 'pw'])
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const client = new Redis({ port: redis.port, password: 'pw', keyPrefix: 'app:' })
  t.teardown(() => client.disconnect())
  const broker = redisBroker({ client })
  const node = watch(broker)
  await node.started
  await broker.subscribe(['a'])
  const publication = node.wait('publication')
  await broker.publish('a', '1')
  await publication
  await broker.stop()
  t.equal(await client.ping(), 'PONG')
  t.equal(client.mode, 'normal')
})

t.test("the application's own NATS connection is used, survives, and is not closed", async (t) => {
  const nats = await startNats(t)
  if (nats === null) return t.plan(0, 'nats-server is not installed')
  const proxy = await new TcpProxy(nats.port).listen()
  t.teardown(() => proxy.close())
  const connection = await connect({ servers: `127.0.0.1:${proxy.port}`, maxReconnectAttempts: -1, reconnectTimeWait: 50 })
  t.teardown(() => connection.close())
  const broker = natsBroker({ connection, ...quick })
  const node = watch(broker)
  await node.started
  await broker.subscribe(['a', 'b'])
  const gap = node.wait('gap')
  proxy.cut()
  await gap
  t.strictSame(node.log.filter((entry, i, log) => entry !== log[i - 1]), ['up', 'down', 'up', 'gap null'])
  const publication = node.wait('publication')
  await broker.publish('a', '1')
  await publication
  await sleep(50)
  t.strictSame(node.seen, [['a', '1']], 'once, though the client subscribed again by itself')
  await broker.stop()
  await connection.flush()
  t.equal(connection.isClosed(), false)
})

t.test('Redis Cluster with sharded Pub/Sub', async (t) => {
  const nodes = await startRedisCluster(t, 3)
  if (nodes === null) return t.plan(0, 'redis-server is not installed')
  const cluster = [{ host: '127.0.0.1', port: nodes[0]!.port }]
  await t.test('conformance', async (t) => {
    for (const { name, run } of brokerSuite({ create: () => redisBroker({ cluster }) })) await t.test(name, run)
  })
  await t.test("over the application's own cluster client", async (t) => {
    const client = new RedisCluster(cluster)
    t.teardown(() => client.disconnect())
    await once(client, 'ready')
    for (const { name, run } of brokerSuite({ create: () => redisBroker({ client }) }).slice(0, 3)) await t.test(name, run)
    t.equal(await client.ping(), 'PONG')
  })
  await t.test('a master that fails and comes back', async (t) => {
    const broker = redisBroker({ cluster, ...quick })
    const node = watch(broker)
    await node.started
    t.teardown(() => broker.stop())
    const names = Array.from({ length: 500 }, (_, i) => `c${i}`)
    await broker.subscribe(names)
    const down = node.wait('down')
    await nodes[1]!.kill()
    await down
    await t.rejects(Promise.resolve(broker.publish('c1', '1')), { name: 'BrokerError' })
    const gap = node.wait('gap')
    await nodes[1]!.restart()
    await gap
    await Promise.all(names.map((name) => broker.publish(name, '1')))
    await until('500 publications', () => node.seen.length >= 500)
    t.equal(new Set(node.seen.map(([name]) => name)).size, 500)
  })
})

t.test('Sentinel: the broker follows a failover', async (t) => {
  const master = await startRedis(t)
  if (master === null) return t.plan(0, 'redis-server is not installed')
  const replica = await startRedis(t, ['--replicaof', '127.0.0.1', String(master.port), '--repl-diskless-sync-delay', '0']) as TestServer
  const sentinel = await startSentinel(t, 'main', master.port) as TestServer
  const control = new Redis(replica.port)
  t.teardown(() => control.disconnect())
  await until('the replica to follow', async () => (await control.info('replication')).includes('master_link_status:up'))
  const asking = new Redis(sentinel.port)
  t.teardown(() => asking.disconnect())
  await until('the sentinel to know the replica', async () => (await asking.call('SENTINEL', 'REPLICAS', 'main') as unknown[]).length > 0)

  const broker = redisBroker({ redis: { sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: 'main' }, ...quick })
  const node = watch(broker)
  await node.started
  t.teardown(() => broker.stop())
  await broker.subscribe(['a'])
  const gap = node.wait('gap')
  await master.kill()
  await gap
  const publication = node.wait('publication')
  await broker.publish('a', '1')
  await publication
  t.match(await control.info('replication'), /role:master/)
})
