import fc from 'fast-check'
import t from 'tap'
import { type ListedSession, Listing } from '../../lib/cluster/listing.js'
import type { ScPage } from '../../types/cluster.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'
import { startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'
import jwt from 'jsonwebtoken'

interface Sockets { readonly [id: string]: { user?: string | number, channels: readonly string[] } }

/** Nodes that hear each other through JSON, as in an engine; `answers` may alter what one says. */
function nodesOf (all: readonly Sockets[], answers: (node: number, answer: unknown) => unknown = (_node, answer) => answer): Listing[] {
  const listings: Listing[] = all.map((sockets, n) => {
    const sessions: ListedSession[] = Object.entries(sockets).map(([id, { user, channels }]) => ({
      id,
      state: 'open',
      authToken: user === undefined ? null : { sub: user as string },
      remoteAddress: '127.0.0.1',
      subscriptions: { size: channels.length },
      isSubscribed: (channel) => channels.includes(channel)
    }))
    sessions.push({ id: 'closed', state: 'closed', authToken: null, remoteAddress: undefined, subscriptions: { size: 0 }, isSubscribed: () => true })
    const counted = new Map<string, number>([['nobody', 0]])
    for (const { channels } of Object.values(sockets)) for (const channel of channels) counted.set(channel, (counted.get(channel) ?? 0) + 1)
    return new Listing({
      sockets: sessions,
      channels: () => counted.keys(),
      memberCount: (channel) => counted.get(channel) ?? 0,
      counts: () => ({ clients: sessions.length - 1, pendingClients: 1, channels: counted.size, subscriptions: 2, bufferedBytes: 3 })
    }, {
      nodeId: `n${n}`,
      async queryAll (body) {
        const others = listings.map((listing, i) => ({ id: `n${i}`, value: answers(i, JSON.parse(JSON.stringify(listing.answer(JSON.parse(JSON.stringify(body)))) as string)) }))
        return { answers: others.filter(({ id, value }) => id !== `n${n}` && value !== null), missing: others.filter(({ value }) => value === null).map(({ id }) => id) }
      }
    })
  })
  return listings
}

async function allPages<Item> (read: (cursor: string | undefined) => Promise<ScPage<Item>>, limit: number): Promise<Item[]> {
  const items: Item[] = []
  for (let cursor: string | undefined, pages = 0; ; pages++) {
    const page: ScPage<Item> = await read(cursor)
    if (page.items.length > limit) throw new Error(`${page.items.length} items on a page of ${limit}`)
    if (pages > 1_000) throw new Error('the list does not end')
    items.push(...page.items)
    if (page.next === null) return items
    cursor = page.next
  }
}

const channelName = fc.constantFrom('a', 'b', 'room/1', 'room/2', 'room/10', '__proto__', '🙂', 'é', 'x'.repeat(40_000))
const socketsOf = fc.uniqueArray(fc.record({ id: fc.stringMatching(/^[\w-]{1,6}$/), user: fc.option(fc.constantFrom('ann', 'bob', 5), { nil: undefined }), channels: fc.uniqueArray(channelName) }), { selector: ({ id }) => id, maxLength: 80 })

t.test('all pages together are everything that the nodes have, once, in order', async () => {
  await fc.assert(fc.asyncProperty(socketsOf, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 50 }), fc.constantFrom(undefined, 'ann', 5), fc.option(channelName, { nil: undefined }), async (sockets, count, limit, user, channel) => {
    const nodes: Array<Record<string, Sockets[string]>> = Array.from({ length: count }, () => Object.create(null))
    for (const [i, { id, user, channels }] of sockets.entries()) nodes[i % count]![id] = { channels, ...(user === undefined ? {} : { user }) }
    const [listing] = nodesOf(nodes)
    const listed = await allPages((cursor) => listing!.sockets({ limit, ...(cursor === undefined ? {} : { cursor }), ...(user === undefined ? {} : { user }), ...(channel === undefined ? {} : { channel }) }), limit)
    const expected = sockets
      .map(({ id, user, channels }, i) => ({ id, node: `n${i % count}`, user, channels }))
      .filter((socket) => (user === undefined || socket.user === user) && (channel === undefined || socket.channels.includes(channel)))
      .sort((a, b) => a.id < b.id ? -1 : 1)
      .map(({ id, node, user, channels }) => ({ id, node, address: '127.0.0.1', subscriptions: channels.length, ...(user === undefined ? {} : { user: String(user) }) }))
    assertSame(listed.map((socket) => JSON.parse(JSON.stringify(socket))), expected)
    const counts = new Map<string, number>()
    for (const { channels } of sockets) for (const name of channels) if (name.startsWith('room/')) counts.set(name, (counts.get(name) ?? 0) + 1)
    const channels = await allPages((cursor) => listing!.channels({ limit, prefix: 'room/', ...(cursor === undefined ? {} : { cursor }) }), limit)
    assertSame(channels, [...counts].sort(([a], [b]) => a < b ? -1 : 1).map(([name, sockets]) => ({ name, sockets })))
    const listedNodes = await allPages((cursor) => listing!.nodes({ limit, ...(cursor === undefined ? {} : { cursor }) }), limit)
    assertSame(listedNodes.map(({ id, clients }) => [id, clients]), nodes.map((sockets, n) => [`n${n}`, Object.keys(sockets).length]))
  }), { numRuns: 300 })
})

function assertSame (found: unknown, wanted: unknown): void {
  const sorted = (value: unknown): string => JSON.stringify(value, (_key, inner: unknown) => typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).sort()) : inner)
  if (sorted(found) !== sorted(wanted)) throw new Error(`got ${sorted(found)}, expected ${sorted(wanted)}`)
}

t.test('an answer has at most 64 KiB, and goes on on the next page', async (t) => {
  const sockets = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`s${i}`, { channels: [`${i} ${'x'.repeat(10_000)}`] }]))
  const lengths: number[] = []
  const [, listing] = nodesOf([sockets, {}], (_node, answer) => {
    lengths.push(JSON.stringify(answer).length)
    return answer
  })
  t.equal((await allPages((cursor) => listing!.channels({ limit: 1_000, ...(cursor === undefined ? {} : { cursor }) }), 1_000)).length, 20)
  t.ok(Math.max(...lengths) < 66_000 && lengths.length >= 4 * 2, lengths.join())
})

t.test('a node that answers with something else is missing, and a list ends all the same', async (t) => {
  const good = { id: 's5', subscriptions: 1 }
  const bad: unknown[] = [5, {}, { items: 'no', more: false }, { items: [{ id: 's5' }], more: false }, { items: [], more: true }, { items: [good, good], more: false }, { items: [good, { ...good, id: 's4' }], more: true },
    { items: [{ ...good, subscriptions: -1 }], more: false }, { items: Array.from({ length: 1_001 }, (_, i) => ({ ...good, id: `s${String(i).padStart(5, '0')}` })), more: false }]
  for (const answer of bad) {
    const [listing] = nodesOf([{ s0: { channels: ['a'] } }, {}], (node, own) => node === 1 ? answer : own)
    t.match(await listing!.sockets(), { items: [{ id: 's0' }], next: null, missing: ['n1'] }, JSON.stringify(answer).slice(0, 80))
    t.match(await listing!.channels(), { items: [{ name: 'a' }], next: null, missing: ['n1'] })
    t.match(await listing!.nodes(), { items: [{ id: 'n0' }], next: null, missing: ['n1'] })
  }
  // Before the cursor: it would be listed again and again.
  const [listing] = nodesOf([{ s7: { channels: [] }, s8: { channels: [] } }, {}], (node, own) => node === 1 ? { items: [good], more: true } : own)
  const first = await listing!.sockets({ limit: 2 })
  t.match(first, { items: [{ id: 's5', node: 'n1' }], missing: [] })
  t.match(await listing!.sockets({ limit: 2, cursor: first.next! }), { items: [{ id: 's7' }, { id: 's8' }], next: null, missing: ['n1'] })
})

t.test('a query is checked', async (t) => {
  const [listing] = nodesOf([{}])
  const wrong: object[] = [{ limit: 0 }, { limit: 1_001 }, { limit: 1.5 }, { limit: '5' }, { cursor: '' }, { cursor: 5 }, { cursor: 'a b' }, { cursor: '=' }, { cursor: 'AA==' }, { cursor: '_w' }, { cursor: 'x'.repeat(200_000) }, { other: 1 }]
  for (const query of wrong) {
    for (const method of ['sockets', 'channels', 'nodes'] as const) await t.rejects(listing![method](query as never) as Promise<unknown>, { name: 'InvalidArgumentsError', code: 'SC_ERR_ARGUMENT' }, `${method} ${JSON.stringify(query).slice(0, 60)}`)
  }
  await t.rejects(listing!.sockets(5 as never), { code: 'SC_ERR_ARGUMENT' })
  await t.rejects(listing!.sockets({ user: {} as never }), { code: 'SC_ERR_FILTER' })
  await t.rejects(listing!.sockets({ channel: 5 as never }), { code: 'SC_ERR_ARGUMENT' })
  await t.rejects(listing!.channels({ prefix: 5 as never }), { code: 'SC_ERR_ARGUMENT' })
  t.equal(listing!.answer({ list: { of: 'all' } }), undefined)
  t.equal(listing!.answer({ list: { of: 'sockets', limit: 2_000 } }), undefined)
})

t.test('lists and commands over two nodes with Redis, and without the engine', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const start = () => serve(t, { broker: redisBroker({ url: `redis://127.0.0.1:${redis.port}` }) })
  const nodes = [await start(), await start()]
  const [one, other] = nodes as [typeof nodes[0], typeof nodes[0]]
  await until('the nodes', () => nodes.every(({ sc }) => sc.cluster.nodes.length === 2))
  const ids: string[] = []
  for (const [i, user] of ['ann', 'bob', 'ann', 'bob'].entries()) {
    const client = await RawClient.connect(t, nodes[i % 2]!.port)
    t.match(await client.call('#authenticate', jwt.sign({ sub: user, jti: `t${i}` }, authKey)), { data: { isAuthenticated: true } })
    await client.call('#subscribe', { channel: 'all' })
    await client.call('#subscribe', { channel: `of/${user}` })
  }
  for (const { sc } of nodes) ids.push(...Object.keys(sc.clients))
  const sockets = await one.sc.cluster.listSockets()
  t.strictSame(sockets.items.map(({ id }) => id), [...ids].sort())
  t.match(sockets, { next: null, missing: [] })
  const { items } = await other.sc.cluster.listSockets({ user: 'ann', channel: 'of/ann' })
  t.equal(items.length, 2)
  for (const item of items) t.match(item, { user: 'ann', jti: /^t[02]$/, node: /./, address: '127.0.0.1', subscriptions: 2 })
  t.strictSame(await one.sc.cluster.listChannels({ prefix: 'of/', limit: 1 }), { items: [{ name: 'of/ann', sockets: 2 }], next: Buffer.from('of/ann').toString('base64url'), missing: [] })
  t.strictSame((await one.sc.cluster.listChannels()).items, [{ name: 'all', sockets: 4 }, { name: 'of/ann', sockets: 2 }, { name: 'of/bob', sockets: 2 }])
  const listed = await other.sc.cluster.listNodes()
  t.strictSame(listed.items.map(({ id, clients, subscriptions, channels }) => [id, clients, subscriptions, channels]), [...one.sc.cluster.nodes].sort().map((id) => [id, 2, 4, 2]))
  t.strictSame(await one.sc.cluster.kickOut({ user: 'ann' }, 'all', 'out'), { sockets: 2, missing: [] })
  t.strictSame(await other.sc.cluster.revoke({ jti: 't1' }), { sockets: 1, missing: [] })
  t.strictSame(await one.sc.cluster.disconnectSockets({ user: 'ann' }, 4_100), { sockets: 2, missing: [] })
  await t.rejects(one.sc.cluster.disconnectSockets({}, 7), { code: 'SC_ERR_CLOSE_CODE' })
  await redis.kill()
  await until('the loss', () => one.sc.brokerState === 'down')
  t.match(await one.sc.cluster.listSockets(), { missing: [other.sc.cluster.nodeId] })
  await t.rejects(one.sc.cluster.kickOut({}, 'all'), { name: 'BrokerError' })
})
