// Clients that subscribe get the last messages first, with memory and with Redis between two nodes.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { recovering } from '../../lib/client/index.js'
import { type Client, generations } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'
import { engines, numbers, offsetOf, publish, read, send } from './nodes.js'

const history = { size: 100, ttl: 60_000 }
const redis = await startRedis(t)

for (const [engine, start] of engines(redis)) {
  t.test(engine, async (t) => {
    await t.test('the last messages follow the answer, as many as are declared, asked for and kept', async (t) => {
      const nodes = await start(t, {
        none: { history, recover: true },
        some: { history, recover: { rewind: 5 } },
        most: { history: { size: 8 }, recover: { limit: 20, rewind: 20 } }
      })
      const client = await RawClient.connect(t, nodes[1].port)
      for (const [channel, from] of [['none', 31], ['some', 26], ['most', 23]] as const) {
        t.strictSame((await read(client, { channel })).got, [], `nothing was published on ${channel}`)
        await publish(nodes, channel, 1, 30)
        const { data, got, positions } = await read(client, { channel })
        t.strictSame(got, numbers(from, 30), channel)
        t.equal(data.recovered, undefined)
        t.equal(offsetOf(data.pos), from - 1, 'the position before the first one')
        t.equal(data.count, channel === 'none' ? undefined : got.length)
        t.strictSame(positions.map(offsetOf), got)
      }
      for (const [channel, rewind, from] of [['none', 0, 31], ['none', 1, 30], ['none', 2, 29], ['none', 300, 1], ['some', 0, 31], ['some', 6, 25], ['some', null, 26], ['most', 7, 24], ['most', 9, 23]] as const) {
        const { data, got } = await read(client, { channel, rewind })
        t.strictSame(got, numbers(from, 30), `${rewind} of ${channel}`)
        t.equal(data.count, rewind === 0 ? undefined : got.length)
      }
      for (const [channel, rewind, text] of [['none', 301, /from 0 to 300, got 301/], ['most', 21, /from 0 to 20, got 21/], ['none', -1, /got -1/], ['none', 1.5, /got 1.5/], ['none', '5', /got string/], ['other', 1_001, /from 0 to 1000, got 1001/]] as const) {
        await t.rejects(read(client, { channel, rewind }), { name: 'InvalidActionError', message: text })
      }
      t.equal((await read(client, { channel: 'other', rewind: 5 })).data, undefined, 'a channel without recover has nothing')
    })

    await t.test('the answer has a position from which the client recovers', async (t) => {
      const nodes = await start(t, { room: { history: { size: 20 }, recover: { rewind: 5 } } })
      const client = await RawClient.connect(t, nodes[1].port)
      const { data: { pos: empty } } = await read(client, { channel: 'room' })
      await publish(nodes, 'room', 1, 12)
      const { data: { pos }, positions } = await read(client, { channel: 'room' })
      t.match(await read(client, { channel: 'room', since: pos }), { data: { pos, recovered: true, count: 5 }, got: numbers(8, 12) })
      t.match(await read(client, { channel: 'room', since: positions[1] }), { data: { recovered: true, count: 3 }, got: numbers(10, 12) }, 'only what it missed')
      t.match(await read(client, { channel: 'room', since: positions[4] }), { data: { recovered: true, count: 0 }, got: [] }, 'nothing is rewound')
      t.match(await read(client, { channel: 'room', since: empty }), { data: { recovered: true, count: 12 }, got: numbers(1, 12) })
      await publish(nodes, 'room', 13, 40)
      const told = await read(client, { channel: 'room', since: positions[4] })
      t.match(told, { data: { recovered: false, reason: 'trimmed', count: 5 }, got: numbers(36, 40) }, 'the last ones all the same')
      t.equal(offsetOf(told.data.pos), 35)
      t.match(await read(client, { channel: 'room', since: told.data.pos }), { data: { recovered: true, count: 5 } })
      t.match(await read(client, { channel: 'room', since: positions[4], rewind: 0 }), { data: { recovered: false, reason: 'trimmed' }, got: [] })
      t.match(await read(client, { channel: 'room', since: 'nonsense', rewind: 2 }), { data: { recovered: false, reason: 'unknown', count: 2 }, got: [39, 40] })
    })

    await t.test('a client that missed more than the limit gets the last ones, and none twice', async (t) => {
      const nodes = await start(t, { room: { history, recover: { limit: 3, rewind: 3 } } })
      const client = await RawClient.connect(t, nodes[1].port)
      await publish(nodes, 'room', 1, 5)
      const { data: { pos } } = await read(client, { channel: 'room', rewind: 0 })
      await publish(nodes, 'room', 6, 8)
      t.match(await read(client, { channel: 'room', since: pos }), { data: { recovered: true, count: 3 }, got: [6, 7, 8] })
      await publish(nodes, 'room', 9, 9)
      t.match(await read(client, { channel: 'room', since: pos }), { data: { recovered: false, reason: 'limit', count: 3 }, got: [7, 8, 9] })
    })

    await t.test('the bytes and the backlog limit it to the newest ones', async (t) => {
      const nodes = await start(t, { room: { history, recover: { bytes: 1_024, rewind: 5 } }, large: { history, recover: { bytes: 1_000_000, rewind: 5 } } }, { maxBufferedBytes: 100_000 })
      const client = await RawClient.connect(t, nodes[1].port)
      const lengths = async (options: object): Promise<number[]> => {
        const { data, got } = await read(client, options)
        t.equal(data.count, got.length)
        return got.map((text) => (text as string).length)
      }
      const { data: { pos } } = await read(client, { channel: 'room', rewind: 0 })
      await send(nodes, 'room', ...[100, 510, 510].map((length) => 'x'.repeat(length)))
      t.strictSame(await lengths({ channel: 'room' }), [510, 510], '1,024 bytes with the quotes')
      t.strictSame(await lengths({ channel: 'room', since: pos }), [510, 510], 'also for a client that missed more')
      await send(nodes, 'room', 'x'.repeat(511))
      t.strictSame(await lengths({ channel: 'room' }), [511])
      await send(nodes, 'room', 'x'.repeat(1_023))
      t.strictSame(await lengths({ channel: 'room' }), [])
      await send(nodes, 'large', ...Array.from({ length: 5 }, () => 'x'.repeat(40_000)))
      t.strictSame(await lengths({ channel: 'large' }), [40_000, 40_000])
      await send(nodes, 'large', 'x'.repeat(150_000))
      t.strictSame(await lengths({ channel: 'large' }), [150_000], 'one of any size, as when it was published')
    })

    await t.test('expired messages are not sent', async (t) => {
      const nodes = await start(t, { room: { history: { ttl: 1_000 }, recover: { rewind: 5 } } })
      const client = await RawClient.connect(t, nodes[1].port)
      await publish(nodes, 'room', 1, 3)
      t.strictSame((await read(client, { channel: 'room' })).got, [1, 2, 3])
      await sleep(1_050)
      t.strictSame((await read(client, { channel: 'room' })).got, [])
      await publish(nodes, 'room', 4, 4)
      t.strictSame((await read(client, { channel: 'room' })).got, [4])
    })

    await t.test('hooks decide about each message, and a client that may not recover gets none', async (t) => {
      const nodes = await start(t, {
        room: {
          history,
          recover: { rewind: 5 },
          subscribe (context) { if (context.data === 'no') context.recover = false },
          deliver: async ({ data }: any) => {
            await new Promise(setImmediate)
            if (data === 4) throw new Error('not this one')
            return data * 10
          }
        }
      })
      await publish(nodes, 'room', 1, 5)
      const client = await RawClient.connect(t, nodes[1].port)
      t.match((await client.call('#subscribe', { channel: 'room' })).data, { count: 5 })
      await publish(nodes, 'room', 6, 6)
      for (const expected of [10, 20, 30, 50, 60]) t.equal(await client.publication('room'), expected)
      const other = await RawClient.connect(t, nodes[1].port)
      t.match(await read(other, { channel: 'room', data: 'no' }), { data: { count: 0 }, got: [] })
      t.match(await read(other, { channel: 'room', data: 'no', since: 'any' }), { data: { recovered: false, reason: 'refused', count: 0 }, got: [] })
    })

    await t.test('without tokens nothing is read', async (t) => {
      const nodes = await start(t, { room: { history, recover: { rewind: 1 } } }, { inboundByteRate: 0 })
      await publish(nodes, 'room', 1, 1)
      const client = await RawClient.connect(t, nodes[1].port)
      const counts = [0, 0]
      for (let i = 0; i < 1_500; i++) {
        client.send({ event: '#unsubscribe', data: 'room' })
        const { data: { count } } = await client.call('#subscribe', { channel: 'room' })
        counts[count] = counts[count]! + 1
      }
      t.ok(counts[1]! >= 1_000 && counts[1]! < 1_400 && counts[0]! + counts[1]! === 1_500, JSON.stringify(counts))
      client.send({ event: '#unsubscribe', data: 'room' })
      t.match((await client.call('#subscribe', { channel: 'room', rewind: 0 })).data.pos, /\.1\./, 'the position needs none')
    })

    for (const [generation, connect] of generations) {
      for (const [what, options] of [['without a codec', () => ({})], ['with the codec', () => ({ codecEngine: recovering() })], ['with the codec, in batches', () => ({ codecEngine: recovering(), batchOnHandshake: true, batchOnHandshakeDuration: 50, batchInterval: 10, pubSubBatchDuration: 10 })]] as const) {
        if (generation === 14 && what.endsWith('batches')) continue
        await t.test(`client ${generation} ${what}: the last messages come first, then new ones`, async (t) => {
          const nodes = await start(t, { room: { history, recover: { rewind: 10 } } })
          let published = 20
          await publish(nodes, 'room', 1, published)
          const publishing = setInterval(() => { nodes[0].sc.exchange.publish('room', ++published) }, 1)
          t.teardown(() => clearInterval(publishing))
          const clients: Client[] = []
          for (let i = 0; i < 5; i++) clients.push(await connect(t, { port: nodes[1].port }, options()))
          await Promise.all(clients.map((client) => client.subscribe('room')))
          const now = published
          await until('new messages', () => published > now + 20)
          clearInterval(publishing)
          for (const client of clients) {
            const first = await client.next('room')
            t.ok(first > 0 && first <= now - 9, `begins with ${first}; ${now} were published when it had subscribed`)
            for (let n = first + 1; n <= published; n++) if (await client.next('room') !== n) t.fail(`${n} is missing`)
          }
          await publish(nodes, 'room', published + 1, published + 1)
          for (const client of clients) t.equal(await client.next('room'), published + 1, 'nothing came twice')
        })
      }
    }

    await t.test('a client with the codec that comes back gets only what it missed', async (t) => {
      const nodes = await start(t, { room: { history, recover: { rewind: 5 } } })
      await publish(nodes, 'room', 1, 10)
      for (const [, connect] of generations) {
        const client = await connect(t, { port: nodes[1].port }, { codecEngine: recovering() })
        const recoveries: unknown[] = []
        client.on('recovery', (event) => recoveries.push(event))
        await client.subscribe('room')
        const got: unknown[] = []
        for (let i = 0; i < 5; i++) got.push(await client.next('room'))
        client.raw.transport.socket.terminate()
        await until('the end of the connection', () => client.state === 'closed')
        const last = got.at(-1) as number
        await publish(nodes, 'room', last + 1, last + 3)
        client.reconnect()
        for (let i = 0; i < 3; i++) got.push(await client.next('room'))
        await publish(nodes, 'room', last + 4, last + 4)
        got.push(await client.next('room'))
        t.strictSame(got, numbers(last - 4, last + 4))
        await until('the recovery', () => recoveries.length === 1)
        t.strictSame(recoveries, [{ channel: 'room', recovered: true, count: 3 }])
        await client.close()
      }
    })

    await t.test('a client whose token is replaced while it subscribes gets them all, also where no older one is kept', async (t) => {
      let decide = (): void => {}
      const nodes = await start(t, { room: { history: { size: 5 }, recover: { rewind: 20 }, subscribe: () => new Promise<void>((resolve) => { decide = resolve }) } })
      const { sc, port } = nodes[1]
      await publish(nodes, 'room', 1, 30)
      const client = await RawClient.connect(t, port)
      const [socket] = Object.values(sc.clients)
      const replaceToken = async (n: number): Promise<void> => {
        socket!.setAuthToken({ n }).catch(() => {})
        await client.event('#setAuthToken')
      }
      await replaceToken(1)
      const answer = client.call('#subscribe', { channel: 'room' })
      await client.barrier()
      const first = decide
      await replaceToken(2)
      first()
      await until('the policy is asked about the new token', () => decide !== first)
      decide()
      t.match((await answer).data, { count: 5 })
      for (const n of numbers(26, 30)) t.equal(await client.publication('room'), n)
      await client.barrier()
      t.strictSame(client.inbox.items, [])
    })
  })
}

t.test('many who subscribe at the same time need one read', { skip: redis === null }, async (t) => {
  const nodes = await engines(redis)[1]![1](t, { 'room/:id': { history, recover: { rewind: 20 } } })
  await publish(nodes, 'room/1', 1, 50)
  const { sc, port } = nodes[1]
  const clients = await Promise.all(Array.from({ length: 300 }, () => RawClient.connect(t, port)))
  const before = sc.stats().broker!.historyReads!
  const answers = await Promise.all(clients.map((client) => client.call('#subscribe', { channel: 'room/1' })))
  t.ok(answers.every(({ data }) => data.count === 20))
  for (const client of clients) for (const n of numbers(31, 50)) if (await client.publication('room/1') !== n) t.fail(`${n} is missing`)
  t.equal(sc.stats().broker!.historyReads! - before, 1)
  await publish(nodes, 'room/1', 51, 51)
  await Promise.all(clients.map((client) => client.publication('room/1')))
  await Promise.all(clients.map((client) => client.call('#unsubscribe', 'room/1')))
  const again = await Promise.all(clients.map((client) => client.call('#subscribe', { channel: 'room/1' })))
  t.ok(again.every(({ data }) => data.count === 20))
  t.equal(sc.stats().broker!.historyReads! - before, 1, 'and later ones none')
  // A channel without a message, or whose messages are expired, is not read again and again.
  for (let i = 0; i < 3; i++) {
    await clients[i]!.call('#subscribe', { channel: 'room/2' })
    await clients[i]!.barrier()
  }
  t.equal(sc.stats().broker!.historyReads! - before, 2)
})
