// The rights that docs/scale-out.md names for a user of Redis: they are enough, and without one of them an error says so.
import { readFile } from 'node:fs/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { redisBroker, type RedisBrokerOptions } from '../../../lib/broker/redis/index.js'
import { RawClient } from '../../helpers/raw.js'
import { serve, type Served } from '../../helpers/serve.js'
import { startRedis, startRedisCluster } from '../../helpers/servers.js'
import { until } from '../../helpers/waiting.js'

const page = await readFile(new URL('../../../docs/scale-out.md', import.meta.url), 'utf8')
/** The rights of the table, by what they are for. */
const table = new Map([.../\| Rights of a Redis user \|[^]*?\n\n/.exec(page)![0].matchAll(/^\| ([^|]+) \| `([^`]+)` \|$/gm)].map(([, what, rights]) => [what!, rights!.replaceAll('<prefix>', 'app').replaceAll('\\|', '|').split(' ')]))
const rightsFor = (...uses: string[]): string[] => [...new Set(uses.flatMap((use) => table.get(use)!))]

const prefix = 'app'
const password = 'pw-of-the-test'

/** Starts a node. */
function node (t: Test, options: RedisBrokerOptions) {
  return serve(t, { broker: redisBroker({ timeout: 1_000, connectTimeout: 1_000, ...options }), brokerPrefix: prefix, inboundRate: 0 }, (app) => {
    app.scChannel('room/:id', { history: { size: 100 }, recover: true, presence: { key: ({ socket }) => socket.id } })
  })
}

/**
 * Does everything for which the broker needs Redis.
 * @param isReleased whether nobody is subscribed to the channel "plain" any more
 * @throws what failed first
 */
async function useAll (t: Test, options: RedisBrokerOptions, isReleased: () => Promise<boolean>): Promise<void> {
  const nodes = [await node(t, options), await node(t, options)] as const
  try {
    await use(t, nodes, isReleased)
  } finally {
    for (const { app } of nodes) await app.close()
  }
}

async function use (t: Test, [a, b]: readonly [Served, Served], isReleased: () => Promise<boolean>): Promise<void> {
  a.sc.exchange.subscribe('plain')
  await until('the subscription', async () => a.sc.exchange.isSubscribed('plain') && !await isReleased())
  a.sc.exchange.unsubscribe('plain')
  for (const { sc } of [a, b]) t.equal(await sc.cluster.runOnce('work', () => 'done'), 'done')
  // The key of work that failed is given back.
  const failing = (): Promise<unknown> => a.sc.cluster.runOnce('failing', () => { throw new Error('not now') })
  for (let i = 0; i < 2; i++) {
    await failing().catch((err: Error) => {
      // What kept the key from being given back is a warning of the first time.
      if (err.message !== 'not now') throw a.warnings[0] ?? err
    })
  }
  for (const room of ['room/7', 'room/{x}', 'room/}', 'room/é']) {
    const client = await RawClient.connect(t, a.port)
    const answer = await client.call('#subscribe', room)
    if (answer.error !== undefined) throw new Error(answer.error.message)
    const { position } = await b.sc.exchange.history(room)
    await b.sc.exchange.publish(room, 1)
    for (let i = 0; i < 2; i++) await b.sc.exchange.publish(room, 2, { idempotencyKey: 'two' })
    await b.sc.exchange.publish(room, 3, { history: false })
    for (const data of [1, 2, 3]) t.strictSame((await client.event('#publish')).data.data, data, room)
    t.strictSame((await b.sc.exchange.history(room, { since: position })).messages.map(({ data }) => data), [1, 2], room)
    t.strictSame((await b.sc.exchange.history(room, { limit: 1 })).messages.map(({ data }) => data), [2], room)
    const again = await RawClient.connect(t, b.port)
    t.match(await again.call('#subscribe', { channel: room, since: position }), { data: { recovered: true, count: 2 } }, room)
    t.match(await b.sc.exchange.presence(room), { total: 2, complete: true }, room)
    t.equal(await b.sc.exchange.occupancy(room), 2, room)
  }
  await until('the unsubscribe', async () => a.warnings.length > 0 || await isReleased())
  for (const { warnings } of [a, b]) if (warnings.length !== 0) throw warnings[0]
  await until('the other node', () => a.sc.cluster.nodes.length === 2)
}

t.test('a single Redis', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const admin = new Redis(redis.port)
  const isReleased = async (): Promise<boolean> => (await admin.pubsub('NUMSUB', `${prefix}:c:plain`))[1] === 0
  t.teardown(() => admin.disconnect())
  const all = rightsFor('publications, commands and presence', 'histories', '`idempotencyKey`', '`cluster.runOnce`')
  const optionsWith = async (user: string, rights: string[]): Promise<RedisBrokerOptions> => {
    await admin.call('ACL', 'SETUSER', user, 'reset', 'on', `>${password}`, ...rights)
    return { redis: { host: '127.0.0.1', port: redis.port, username: user, password } }
  }
  await useAll(t, await optionsWith('all', all), isReleased)
  // INFO is only asked for what ioredis prints without it.
  for (const missing of all.filter((right) => right !== '+info')) {
    await t.test(`without ${missing}`, async (t) => {
      await admin.flushall()
      const options = await optionsWith('less', all.filter((right) => right !== missing))
      await t.rejects(useAll(t, options, isReleased), { name: 'BrokerError', message: /(?:NOPERM|user executing the script can't) .*; docs\/scale-out.md lists the rights that the user of Redis needs/ })
    })
  }
})

t.test('a publish with a key that lacks a right is refused, and not delivered', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const admin = new Redis(redis.port)
  t.teardown(() => admin.disconnect())
  const [, version] = /redis_version:(\d+)/.exec(await admin.info('server'))!
  if (Number(version) < 7) return t.plan(0, 'docs/scale-out.md says what an older Redis does')
  const set = (...rights: string[]): Promise<unknown> => admin.call('ACL', 'SETUSER', 'app', ...rights)
  await set('on', `>${password}`, ...rightsFor('publications, commands and presence', 'histories'))
  const { sc, port } = await node(t, { redis: { host: '127.0.0.1', port: redis.port, username: 'app', password } })
  const client = await RawClient.connect(t, port)
  const rights = rightsFor('`idempotencyKey`')
  for (const missing of rights) {
    const room = `room/${missing}`
    await client.call('#subscribe', room)
    await set(...rights, missing.replace('+', '-'))
    const refusal = { name: 'BrokerError', message: missing === '+set' ? "The user executing the script can't run 'set', which an idempotencyKey needs; docs/scale-out.md" : '; docs/scale-out.md lists the rights' }
    await t.rejects(sc.exchange.publish(room, 1, { idempotencyKey: 'a' }), refusal)
    await t.rejects(sc.exchange.append(room, 2, { idempotencyKey: 'b' }), refusal)
    await sc.exchange.publish(room, 3)
    t.equal((await client.event('#publish')).data.data, 3, `delivered without ${missing}`)
    t.strictSame((await sc.exchange.history(room)).messages.map(({ data }) => data), [3], `kept without ${missing}`)
  }
})

t.test('a cluster', async (t) => {
  const nodes = await startRedisCluster(t, 3)
  if (nodes === null) return t.plan(0, 'redis-server is not installed')
  const all = rightsFor('publications, commands and presence', 'histories', '`idempotencyKey`', '`cluster.runOnce`', 'a cluster')
  const admins = nodes.map(({ port }) => new Redis(port))
  t.teardown(() => { for (const admin of admins) admin.disconnect() })
  const cluster = nodes.map(({ port }) => ({ host: '127.0.0.1', port }))
  const isReleased = async (): Promise<boolean> => (await Promise.all(admins.map((admin) => admin.pubsub('SHARDNUMSUB', `${prefix}:c:plain`)))).every(([, count]) => count === 0)
  for (const missing of [undefined, '+cluster|slots', '+ssubscribe', '+sunsubscribe', '+spublish']) {
    for (const admin of admins) {
      await admin.flushall()
      await admin.call('ACL', 'SETUSER', 'app', 'reset', 'on', `>${password}`, ...all.filter((right) => right !== missing))
    }
    const used = useAll(t, { cluster, redis: { username: 'app', password } }, isReleased)
    if (missing === undefined) await used
    else await t.rejects(used, { name: 'BrokerError', message: /; docs\/scale-out.md lists the rights/ }, `without ${missing}`)
  }
})
