// Channels of which only the newest message counts.
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { recovering } from '../../lib/client/index.js'
import { generations } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'
import { engines, offsetOf, publish, read, send } from './nodes.js'

const history = { size: 3, ttl: 60_000 }
const redis = await startRedis(t)

for (const [engine, start] of engines(redis)) {
  t.test(engine, async (t) => {
    await t.test('a client gets the newest message, unless it has it', async (t) => {
      const nodes = await start(t, { price: { history, recover: 'latest' }, one: { history: { size: 1 }, recover: 'latest' } })
      const client = await RawClient.connect(t, nodes[1].port)
      for (const channel of ['price', 'one']) {
        const empty = await read(client, { channel })
        t.match(empty, { data: { count: 0 }, got: [] })
        t.match(await read(client, { channel, since: empty.data.pos }), { data: { recovered: true, count: 0 } }, 'nothing was published')
        await publish(nodes, channel, 1, 1)
        const first = await read(client, { channel })
        t.match(first, { data: { count: 1, recovered: undefined }, got: [1] })
        t.equal(offsetOf(first.data.pos), 0)
        t.match(await read(client, { channel, since: first.positions[0] }), { data: { pos: first.positions[0], recovered: true, count: 0 }, got: [] })
        await publish(nodes, channel, 2, 2)
        t.match(await read(client, { channel, since: first.positions[0] }), { data: { pos: first.positions[0], recovered: true, count: 1 }, got: [2] })
        await publish(nodes, channel, 3, 9)
        for (const since of [empty.data.pos, first.positions[0], first.data.pos]) {
          const later = await read(client, { channel, since })
          t.match(later, { data: { recovered: true, count: 1 }, got: [9] }, 'those before the newest do not count')
          t.equal(offsetOf(later.data.pos), 8)
        }
        t.match(await read(client, { channel, since: 'other.5.' }), { data: { recovered: true, count: 1 }, got: [9] }, 'a position of another history')
        t.match(await read(client, { channel, rewind: 0 }), { data: { count: undefined }, got: [] })
        t.match(await read(client, { channel, rewind: 0, since: first.positions[0] }), { data: { recovered: true, count: 1 }, got: [9] })
        await t.rejects(read(client, { channel, rewind: 2 }), { message: /rewind to be an integer from 0 to 1, got 2/ })
      }
    })

    await t.test('when the newest message is not kept, a client that does not have it is told', async (t) => {
      const nodes = await start(t, { price: { history: { ttl: 1_000 }, recover: 'latest' } })
      const client = await RawClient.connect(t, nodes[1].port)
      await publish(nodes, 'price', 1, 1)
      const { positions: [old] } = await read(client, { channel: 'price' })
      await publish(nodes, 'price', 2, 2)
      const { positions: [newest] } = await read(client, { channel: 'price' })
      await sleep(1_050)
      t.match(await read(client, { channel: 'price' }), { data: { count: 0 }, got: [] })
      t.match(await read(client, { channel: 'price', since: old }), { data: { recovered: false, reason: 'trimmed' }, got: [] })
      t.match(await read(client, { channel: 'price', since: newest }), { data: { recovered: true, count: 0 }, got: [] }, 'it has the newest')
      t.match(await read(client, { channel: 'price', since: 'other.5.' }), { data: { recovered: false, reason: 'unknown' }, got: [] })
      await send(nodes, 'price', 3)
      t.match(await read(client, { channel: 'price', since: old }), { data: { recovered: true, count: 1 }, got: [3] })
    })

    await t.test('a message of any size, and one that the client may not have', async (t) => {
      const nodes = await start(t, { price: { history, recover: 'latest', subscribe (context) { if (context.data === 'now') context.historyFrom = new Date(Date.now() + 60_000) } } })
      const client = await RawClient.connect(t, nodes[1].port)
      await send(nodes, 'price', 'x'.repeat(2_000_000))
      const { positions: [newest] } = await read(client, { channel: 'price' })
      t.ok(newest)
      t.match(await read(client, { channel: 'price', data: 'now' }), { data: { count: 0 }, got: [] })
      t.match(await read(client, { channel: 'price', data: 'now', since: 'other.5.' }), { data: { recovered: false, reason: 'refused' }, got: [] })
      t.match(await read(client, { channel: 'price', data: 'now', since: newest }), { data: { recovered: true, count: 0 }, got: [] })
    })

    for (const [generation, connect] of generations) {
      await t.test(`client ${generation}: suspended subscriptions go on with the newest message, if they do not have it`, async (t) => {
        const nodes = await start(t, { price: { history, recover: 'latest', subscribe: ({ socket }) => { if (socket.authToken?.role !== 'member') throw new Error('members only') } } }, { revalidate: 'suspend' })
        const connection = nodes[1].nextSocket()
        const client = await connect(t, { port: nodes[1].port }, { codecEngine: recovering() })
        const socket = await connection
        const told: unknown[] = []
        client.on('recovery', (event) => told.push(event))
        const become = async (role: string): Promise<void> => {
          await socket.setAuthToken({ role })
          // What the check of the subscription waits for.
          await new Promise(setImmediate)
        }
        await become('member')
        await client.subscribe('price')
        await publish(nodes, 'price', 1, 2)
        for (const n of [1, 2]) t.equal(await client.next('price'), n)
        await become('guest')
        await become('member')
        await become('guest')
        await publish(nodes, 'price', 3, 20)
        await become('member')
        t.equal(await client.next('price'), 20, 'none of those between, and the one before not twice')
        await become('guest')
        await publish(nodes, 'price', 21, 22)
        await become('stranger')
        await become('member')
        await publish(nodes, 'price', 23, 23)
        t.equal(await client.next('price'), 22)
        t.equal(await client.next('price'), 23)
        t.strictSame(told, [])
      })
    }
  })
}

t.test('a slow client gets the newest message when there is room', async (t) => {
  const nodes = await engines(null)[0]![1](t, { price: { history, recover: 'latest' } }, { maxBufferedBytes: 65_536 })
  const client = await RawClient.connect(t, nodes[1].port)
  await client.call('#subscribe', 'price')
  client.ws.pause()
  let n = 0
  const { sc } = nodes[0]
  while (sc.stats().slowConsumers === 0) {
    await sc.exchange.publish('price', { n: ++n, text: 'x'.repeat(10_000) })
    await new Promise(setImmediate)
  }
  for (let i = 0; i < 50; i++) await sc.exchange.publish('price', { n: ++n, text: 'x'.repeat(10_000) })
  client.ws.resume()
  await client.inbox.take((packet) => packet?.data?.data?.n === n, 'the newest message')
  t.equal(sc.stats().clients, 1)
})

t.test('Redis that forgot the channel, and its next message', { skip: redis === null }, async (t) => {
  const nodes = await engines(redis)[1]![1](t, { price: { history, recover: 'latest' } })
  const client = await RawClient.connect(t, nodes[1].port)
  await publish(nodes, 'price', 1, 5)
  const { positions: [newest] } = await read(client, { channel: 'price' })
  const admin = new Redis({ port: redis!.port })
  t.teardown(() => admin.disconnect())
  await admin.flushall()
  await publish(nodes, 'price', 6, 6)
  const other = await RawClient.connect(t, nodes[0].port)
  await until('the new history', async () => (await read(other, { channel: 'price' })).got[0] === 6)
  t.match(await read(other, { channel: 'price', since: newest }), { data: { recovered: true, count: 1 }, got: [6] })
})
