// What hooks and policies keep of a channel's history from a client: by recovery, rewind, catching up and reading.
import t from 'tap'
import { recovering } from '../../lib/client/index.js'
import { generations } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'
import { engines, numbers, offsetOf, publish, read, send } from './nodes.js'

const history = { size: 100, ttl: 60_000 }
const redis = await startRedis(t)

for (const [engine, start] of engines(redis)) {
  t.test(engine, async (t) => {
    await t.test('a position and a time, with recovery, rewind and the limits', async (t) => {
      let from: unknown
      const set = (context: { historyFrom?: unknown }): void => { if (from !== undefined) context.historyFrom = from }
      const nodes = await start(t, { room: { history, recover: { limit: 20, rewind: 5 }, subscribe: set }, bare: { history, recover: true } })
      nodes[1].app.log.level = 'silent'
      const { exchange } = nodes[0].sc
      const client = await RawClient.connect(t, nodes[1].port)
      const { data: { pos: empty } } = await read(client, { channel: 'room' })
      await publish(nodes, 'room', 1, 6)
      // The clock of Redis counts for its messages.
      let time = 0
      await until('a later time', async () => {
        await send(nodes, 'room', 'tick')
        const { messages } = await exchange.history('room', { limit: 1 })
        if (time === 0) time = messages[0]!.time
        return messages[0]!.time > time
      })
      await publish(nodes, 'room', 7, 10)
      const { messages } = await exchange.history('room')
      const positions = messages.map(({ position }) => position)
      const since = positions.at(-8)!
      const whole = await read(client, { channel: 'room', since })
      t.match(whole, { data: { recovered: true, count: 7 } })

      for (const [what, value, count] of [
        ['its own position', since, null],
        ['an earlier one', positions[0], null],
        ['the one before the first message', empty, null],
        ['a time before all', new Date(messages[0]!.time), null],
        ['a later position', positions.at(-3), 2],
        ['the newest position', positions.at(-1), 0],
        ['a position of another history', 'other.3.', 0],
        ['the time of a message', new Date(messages.at(-4)!.time), messages.filter((message) => message.time >= messages.at(-4)!.time).length],
        ['a time to come', new Date(Date.now() + 60_000), 0]
      ] as const) {
        from = value
        const { data, got } = await read(client, { channel: 'room', since })
        const isWhole = count === null || count >= 7
        t.match(data, isWhole ? { recovered: true, count: 7, pos: since } : { recovered: false, reason: 'refused', count }, what)
        t.strictSame(got, isWhole ? whole.got : whole.got.slice(7 - count), what)
        if (!isWhole) t.equal(data.pos, positions.at(-1 - count), `the position before them, with ${what}`)
        const rewound = await read(client, { channel: 'room' })
        t.strictSame(rewound.got, whole.got.slice(-Math.min(5, count ?? 5)).slice(0, count === 0 ? 0 : 5), `rewind with ${what}`)
        t.equal(rewound.data.count, rewound.got.length)
        await client.call('#subscribe', { channel: 'room', rewind: 0 })
        const answer = await client.call('#history', { channel: 'room', limit: 7 })
        t.strictSame(answer.data.messages.map(({ data }: any) => data), isWhole ? whole.got : whole.got.slice(7 - count), `#history with ${what}`)
        await client.call('#unsubscribe', 'room')
      }

      from = positions.at(-3)
      await publish(nodes, 'room', 11, 30)
      t.match(await read(client, { channel: 'room', since }), { data: { recovered: false, reason: 'limit', count: 5 }, got: numbers(26, 30) })
      t.match(await read(client, { channel: 'room', since: positions.at(-1) }), { data: { recovered: true, count: 20 }, got: numbers(11, 30) })

      for (const value of [new Date(NaN), 'yesterday', Date.now(), null, {}]) {
        from = value
        const { warnings } = nodes[1]
        warnings.length = 0
        const { error } = await client.call('#subscribe', { channel: 'room', since })
        t.match(error, { message: 'Internal error' }, 'a mistake of the server is not told to clients')
        t.match(warnings[0].message, /^The historyFrom of a subscription to "room" must be a valid Date or the text of a position, got (an invalid Date|another text|number|null|object)$/)
      }
      t.equal(nodes[1].sc.stats().subscriptions, 0)
    })

    for (const [generation, connect] of generations) {
      await t.test(`client ${generation}: a role that is taken away for a while`, async (t) => {
        /** When each user became a member. */
        let since: Date | undefined
        const nodes = await start(t, {
          room: {
            history,
            recover: { rewind: 50 },
            subscribe (context) {
              if (context.socket.authToken?.role !== 'member') throw new Error('members only')
              if (since !== undefined) context.historyFrom = since
            }
          }
        }, { revalidate: 'suspend' })
        let connection = nodes[1].nextSocket()
        const client = await connect(t, { port: nodes[1].port }, { codecEngine: recovering() })
        let socket = await connection
        const told: unknown[] = []
        client.on('recovery', ({ recovered, reason, count }) => told.push([recovered, reason, count]))
        const become = async (role: string): Promise<void> => {
          await socket.setAuthToken({ role })
          await new Promise(setImmediate)
        }
        /** Publishes, and returns a time that is after these messages and before the next ones, by the clock of the broker. */
        const publishUntil = async (...messages: unknown[]): Promise<Date> => {
          await send(nodes, 'room', ...messages)
          const { messages: [last] } = await nodes[0].sc.exchange.history('room', { limit: 1 })
          const time = last!.time + 1
          // Nothing is published until then.
          await until('a later time', () => Date.now() > time)
          return new Date(time)
        }
        await become('member')
        since = await publishUntil('old')
        await client.subscribe('room')
        await send(nodes, 'room', 1)
        t.equal(await client.next('room'), 1)
        await become('guest')
        const rejoined = await publishUntil('private 1', 'private 2')
        since = rejoined
        await send(nodes, 'room', 2)
        await become('member')
        await send(nodes, 'room', 3)
        for (const n of [2, 3]) t.equal(await client.next('room'), n)
        await until('the notice', () => told.length === 1)
        t.strictSame(told.splice(0), [[false, 'refused', 0]])

        // The same while it is away.
        client.raw.transport.socket.terminate()
        await until('the end of the connection', () => client.state === 'closed')
        since = await publishUntil('private 3')
        await send(nodes, 'room', 4)
        connection = nodes[1].nextSocket()
        client.reconnect()
        socket = await connection
        t.equal(await client.next('room'), 4)
        await until('the answer', () => told.length === 1)
        t.strictSame(told.splice(0), [[false, 'refused', 1]])

        // Not set again, it stays; nothing is told when nothing is kept back.
        since = undefined
        await become('guest')
        await send(nodes, 'room', 5)
        await become('member')
        t.equal(await client.next('room'), 5)
        const { messages } = await client.call('#history', { channel: 'room' })
        t.strictSame(messages.map(({ data }: any) => data), [4, 5])

        // A value that is a mistake takes the subscription away.
        await become('guest')
        await send(nodes, 'room', 'private 4')
        since = new Date(NaN)
        await become('member')
        await send(nodes, 'room', 'private 5')
        t.ok(nodes[1].warnings.length === 0 || nodes[1].sc.stats().subscriptions === 1)
        since = await publishUntil('private 6')
        await become('member')
        await send(nodes, 'room', 6)
        t.equal(await client.next('room'), 6)
        t.strictSame(told, [[false, 'refused', 0]])
        await client.close()
      })
    }

    await t.test('recover false: nothing of before, everything from then on', async (t) => {
      let mayRecover: boolean | undefined = false
      const nodes = await start(t, {
        room: {
          history,
          recover: { rewind: 50 },
          subscribe (context) {
            if (context.socket.authToken?.role !== 'member') throw new Error('members only')
            if (mayRecover !== undefined) context.recover = mayRecover
          }
        }
      }, { revalidate: 'suspend' })
      const connection = nodes[1].nextSocket()
      const client = await RawClient.connect(t, nodes[1].port)
      const socket = await connection
      const become = async (role: string): Promise<void> => {
        const changed = socket.setAuthToken({ role })
        client.send({ rid: (await client.event('#setAuthToken')).cid })
        await changed
        await new Promise(setImmediate)
      }
      await become('member')
      await publish(nodes, 'room', 1, 3)
      t.match((await client.call('#subscribe', { channel: 'room' })).data, { count: 0 })
      await publish(nodes, 'room', 4, 5)
      const seen = async (): Promise<unknown[]> => {
        await client.barrier()
        return client.inbox.items.splice(0).filter(({ event }) => event === '#publish' || event === '#recovery').map(({ event, data }) => event === '#publish' ? data.data : data.reason)
      }
      const readable = async (): Promise<unknown[]> => (await client.call('#history', { channel: 'room' })).data.messages.map(({ data }: any) => data)
      t.strictSame([await seen(), await readable()], [[4, 5], [4, 5]])
      // A check that it passes takes nothing away.
      await become('member')
      await publish(nodes, 'room', 6, 6)
      t.strictSame([await seen(), await readable()], [[6], [4, 5, 6]])
      await become('guest')
      await publish(nodes, 'room', 7, 8)
      await become('member')
      await publish(nodes, 'room', 9, 9)
      t.strictSame([await seen(), await readable()], [['refused', 9], [9]], 'a suspension that it passes begins anew')
      mayRecover = undefined
      await become('guest')
      await publish(nodes, 'room', 10, 10)
      await become('member')
      t.strictSame([await seen(), await readable()], [[10], [9, 10]], 'not set again, it stays')
      mayRecover = true
      await become('member')
      t.strictSame(await readable(), numbers(1, 10), 'and can be lifted')
      t.equal(offsetOf((await client.call('#history', { channel: 'room' })).data.pos), 10)
    })
  })
}

t.test('a slow client does not get what it may not have any more', async (t) => {
  let from: Date | undefined
  const nodes = await engines(null)[0]![1](t, { room: { history: { size: 10_000 }, recover: true, subscribe (context) { if (from !== undefined) context.historyFrom = from } } }, { maxBufferedBytes: 65_536 })
  const { sc } = nodes[0]
  const connection = nodes[1].nextSocket()
  const client = await RawClient.connect(t, nodes[1].port)
  const socket = await connection
  const changed = socket.setAuthToken({ role: 'member' })
  client.send({ rid: (await client.event('#setAuthToken')).cid })
  await changed
  await client.call('#subscribe', 'room')
  client.ws.pause()
  let n = 0
  // More than the system takes for a connection that nobody reads.
  for (let full = 0; full < 50; full = socket.bufferedAmount > 20_000 ? full + 1 : 0) {
    await sc.exchange.publish('room', { n: ++n, text: 'x'.repeat(10_000) })
    await new Promise(setImmediate)
  }
  const last = n
  await until('a later time', () => Date.now() > (from ??= new Date(Date.now() + 2)).getTime())
  socket.deauthenticate()
  await new Promise(setImmediate)
  await sc.exchange.publish('room', { n: ++n })
  client.ws.resume()
  await client.inbox.take((packet) => packet?.data?.data?.n === n, 'the message that it may have')
  const told = await client.event('#recovery')
  t.match(told.data, { channel: 'room', recovered: false, reason: 'refused' })
  t.equal(offsetOf(told.data.pos), last)
})
