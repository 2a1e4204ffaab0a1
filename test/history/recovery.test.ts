// Clients that were away get what they missed, with the codec of `fastify-socketcluster/client`.
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { recovering } from '../../lib/client/index.js'
import { type ScChannelContract, type ScPluginOptions, scPlugin } from '../../lib/index.js'
import { type Client, generations } from '../helpers/app.js'
import { Inbox, RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'

type Contract = ScChannelContract<any, any, any>

const history = { size: 100, ttl: 60_000 }

function start (t: Test, contract: Contract = { history, recover: true }, options: ScPluginOptions = {}) {
  return serve(t, options, (app) => { app.scChannel('room', contract) })
}

/** Waits until a client has noticed that its connection is gone. */
async function cut (client: Client): Promise<void> {
  client.raw.transport.socket.terminate()
  await until('the end of the connection', () => client.state === 'closed')
}

async function back (client: Client): Promise<void> {
  const connected = client.nextEvent('connect')
  client.reconnect()
  await connected
}

for (const [generation, connect] of generations) {
  for (const batch of generation === 14 ? [false] : [false, true]) {
    t.test(`client ${generation}${batch ? ', its packets in arrays' : ''}`, async (t) => {
      const batching = batch ? { batchOnHandshake: true, batchOnHandshakeDuration: 100, batchInterval: 20, pubSubBatchDuration: 20 } : {}

      async function join (t: Test, port: number, setUp: (client: Client) => unknown = () => {}) {
        const client = await connect(t, { port }, { codecEngine: recovering(), ...batching })
        const recoveries = new Inbox<any>()
        client.on('recovery', (event) => recoveries.push(event))
        setUp(client)
        await client.subscribe('room')
        // The first one connected already: wait for the second.
        await client.nextEvent('subscribe')
        return { client, recovery: () => recoveries.take(() => true, 'recovery') }
      }

      await t.test('misses nothing, and gets nothing twice', async (t) => {
        const { port, sc } = await start(t)
        const { client, recovery } = await join(t, port)
        await sc.exchange.publish('room', 1)
        t.equal(await client.next('room'), 1)
        for (let round = 0; round < 3; round++) {
          await cut(client)
          const first = round * 10 + 2
          for (let n = first; n < first + 5; n++) await sc.exchange.publish('room', n)
          await back(client)
          t.strictSame(await recovery(), { channel: 'room', recovered: true, count: 5 })
          for (let n = first; n < first + 5; n++) t.equal(await client.next('room'), n)
          await sc.exchange.publish('room', first + 9)
          t.equal(await client.next('room'), first + 9)
        }
        await client.close()
      })

      await t.test('a client that missed nothing is told so', async (t) => {
        const { port } = await start(t)
        const { client, recovery } = await join(t, port)
        await cut(client)
        await back(client)
        t.strictSame(await recovery(), { channel: 'room', recovered: true, count: 0 })
        await client.close()
      })

      await t.test('a client that missed more than is kept gets none of it, and is told so', async (t) => {
        const { port, sc } = await start(t, { history: { size: 3 }, recover: true })
        const { client, recovery } = await join(t, port)
        await cut(client)
        for (let n = 1; n <= 4; n++) await sc.exchange.publish('room', n)
        await back(client)
        t.strictSame(await recovery(), { channel: 'room', recovered: false, count: 0, reason: 'trimmed' })
        await sc.exchange.publish('room', 5)
        t.equal(await client.next('room'), 5)
        await cut(client)
        await sc.exchange.publish('room', 6)
        await back(client)
        t.strictSame(await recovery(), { channel: 'room', recovered: true, count: 1 }, 'from then on it can be proven again')
        t.equal(await client.next('room'), 6)
        await client.close()
      })

      await t.test('the limits of messages and of bytes', async (t) => {
        for (const recover of [{ limit: 2 }, { bytes: 1_024 }]) {
          const { port, sc } = await start(t, { history, recover })
          const { client, recovery } = await join(t, port)
          await cut(client)
          const text = 'x'.repeat(450)
          for (let n = 1; n <= 2; n++) await sc.exchange.publish('room', text)
          await back(client)
          t.match(await recovery(), { recovered: true, count: 2 })
          for (let n = 1; n <= 2; n++) await client.next('room')
          await cut(client)
          for (let n = 1; n <= 3; n++) await sc.exchange.publish('room', text)
          await back(client)
          t.match(await recovery(), { recovered: false, count: 0, reason: 'limit' })
          await client.close()
        }
      })

      await t.test('a server that was restarted remembers nothing, and says so', async (t) => {
        const boot = async (port: number) => {
          const app = Fastify()
          await app.register(scPlugin, { authKey, closeTimeout: 500 })
          app.scChannel('room', { history, recover: true })
          await app.listen({ port, host: '127.0.0.1' })
          t.teardown(() => app.close())
          return app
        }
        const first = await boot(0)
        const { port } = first.server.address() as AddressInfo
        const { client, recovery } = await join(t, port)
        await first.scServer.exchange.publish('room', 1)
        t.equal(await client.next('room'), 1)
        await first.close()
        await until('the end of the connection', () => client.state === 'closed')
        const second = await boot(port)
        await second.scServer.exchange.publish('room', 2)
        await back(client)
        t.strictSame(await recovery(), { channel: 'room', recovered: false, count: 0, reason: 'unknown' })
        await second.scServer.exchange.publish('room', 3)
        t.equal(await client.next('room'), 3)
        await client.close()
      })

      await t.test('a client that left on purpose begins anew', async (t) => {
        const { port, sc } = await start(t)
        const { client } = await join(t, port)
        client.unsubscribe('room')
        await until('the unsubscribe', () => sc.stats().subscriptions === 0)
        await sc.exchange.publish('room', 1)
        await client.subscribe('room')
        await sc.exchange.publish('room', 2)
        t.equal(await client.next('room'), 2)
        await client.close()
      })

      await t.test('cut at any time while messages come', async (t) => {
        const { port, sc } = await start(t, { history: { size: 10_000 }, recover: { limit: 1_000, bytes: 1_000_000 } })
        const { client, recovery } = await join(t, port)
        let published = 0
        const publishing = setInterval(() => { for (let i = 0; i < 3; i++) sc.exchange.publish('room', ++published) }, 1)
        t.teardown(() => clearInterval(publishing))
        for (let round = 0; round < 20; round++) {
          const seen = published
          await until('messages', () => published > seen + round)
          await cut(client)
          const away = published
          await until('messages', () => published > away + round * 3)
          await back(client)
          t.match(await recovery(), { recovered: true })
        }
        clearInterval(publishing)
        const got: number[] = []
        while (got.length < published) got.push(await client.next('room'))
        t.strictSame(got, Array.from({ length: published }, (_, i) => i + 1))
        await sc.exchange.publish('room', 'last')
        t.equal(await client.next('room'), 'last', 'and none came twice')
        await client.close()
      })
    })
  }
}

t.test('on the wire', async (t) => {
  const { port, sc, app } = await serve(t, {}, (app) => {
    app.scChannel('room', { history, recover: true })
    app.scChannel('kept', { history })
  })
  t.ok(app)
  const client = await RawClient.connect(t, port)
  const { data: { pos } } = await client.call('#subscribe', { channel: 'room' })
  t.match(pos, /^[\w-]{8}\.0\.$/)
  t.equal((await client.call('#subscribe', { channel: 'kept' })).data, undefined)
  t.equal((await client.call('#subscribe', { channel: 'other' })).data, undefined)
  const next = async (channel: string) => {
    await sc.exchange.publish(channel, 1)
    return client.event('#publish')
  }
  const first = await next('room')
  t.match(first.pos, /^[\w-]{8}\.1\.$/)
  const epoch = first.pos.slice(0, 8)
  t.same(first, { event: '#publish', data: { channel: 'room', data: 1 }, pos: first.pos })
  t.same(await next('kept'), { event: '#publish', data: { channel: 'kept', data: 1 } }, 'without recover nothing is added')
  t.same(await next('other'), { event: '#publish', data: { channel: 'other', data: 1 } })
  t.equal((await client.call('#subscribe', { channel: 'room', since: pos })).data, undefined, 'it is in the channel: it missed nothing')

  const later = await RawClient.connect(t, port)
  t.same((await later.call('#subscribe', { channel: 'room', since: `${epoch}.0.` })).data, { pos: `${epoch}.0.`, recovered: true, count: 1 })
  t.same(await later.event('#publish'), { event: '#publish', data: { channel: 'room', data: 1 }, pos: `${epoch}.1.` })
  for (const since of ['', 'nonsense', `${epoch}.2.`, `${epoch}.1.x`, 'x'.repeat(10_000)]) {
    await later.call('#unsubscribe', 'room')
    t.same((await later.call('#subscribe', { channel: 'room', since })).data, { pos: `${epoch}.1.`, recovered: false, reason: 'unknown' })
  }
  t.match((await later.call('#subscribe', { channel: 'other', since: 5 })).error, { name: 'InvalidActionError', message: '#subscribe expects since to be a string, got number' })
})

t.test('what was missed comes after the ack, and before what listeners of the subscription publish', async (t) => {
  const { port, sc } = await start(t)
  const first = await RawClient.connect(t, port)
  const { data: { pos } } = await first.call('#subscribe', { channel: 'room' })
  await first.close()
  await sc.exchange.publish('room', 1)
  sc.on('subscription', (_socket, channel) => { sc.exchange.publish(channel, 'joined') })
  const client = await RawClient.connect(t, port)
  t.match((await client.call('#subscribe', { channel: 'room', since: pos })).data, { recovered: true, count: 1 })
  for (const data of [1, 'joined']) t.same((await client.event('#publish')).data.data, data)
})

t.test('a client that asks again and again is not served without end', async (t) => {
  const { port, sc } = await start(t, { history, recover: true }, { inboundRate: 0, inboundByteRate: 0 })
  const client = await RawClient.connect(t, port)
  const { data: { pos } } = await client.call('#subscribe', { channel: 'room' })
  await sc.exchange.publish('room', 1)
  const answers: Record<string, number> = {}
  for (let i = 0; i < 1_500; i++) {
    client.send({ event: '#unsubscribe', data: 'room' })
    const { data: { reason = 'recovered' } } = await client.call('#subscribe', { channel: 'room', since: pos })
    answers[reason] = (answers[reason] ?? 0) + 1
  }
  t.ok(answers.recovered! >= 1_000 && answers.recovered! < 1_400, JSON.stringify(answers))
  t.equal(answers.recovered! + answers.limit!, 1_500)
})

t.test('hooks decide what of it a client gets', async (t) => {
  const { port, sc } = await start(t, {
    history,
    recover: true,
    message: Type.Object({ n: Type.Number() }),
    subscribe (context) {
      const { data } = context
      t.equal(context.recover, context.revalidation ? undefined : true)
      if (data === 'no') context.recover = false
    },
    deliver: async ({ data }: any) => {
      await new Promise(setImmediate)
      if (data.n === 2) throw new Error('not this one')
      return { n: data.n * 10 }
    }
  })
  const client = await RawClient.connect(t, port)
  const { data: { pos } } = await client.call('#subscribe', { channel: 'room' })
  await client.call('#unsubscribe', 'room')
  for (const n of [1, 2, 3]) await sc.exchange.publish('room', { n })
  t.match((await client.call('#subscribe', { channel: 'room', since: pos })).data, { recovered: true, count: 3 })
  await sc.exchange.publish('room', { n: 4 })
  for (const [n, offset] of [[10, 1], [30, 3], [40, 4]]) {
    const packet = await client.event('#publish')
    t.same(packet.data.data, { n })
    t.equal(packet.pos.split('.')[1], String(offset))
  }
  await client.call('#unsubscribe', 'room')
  t.match((await client.call('#subscribe', { channel: 'room', since: pos, data: 'no' })).data, { recovered: false, reason: 'refused' })
})

t.test('the history of a channel', async (t) => {
  const { sc } = await start(t, { history: { size: 3 } })
  const { exchange } = sc
  const before = Date.now()
  const empty = await exchange.history('room')
  t.match(empty, { messages: [], gap: null, position: /\.0\.$/ })
  for (const data of [1, { a: 1 }, undefined, 'four']) await exchange.publish('room', data)
  const whole = await exchange.history('room')
  t.strictSame(whole.messages.map(({ data }) => data), [{ a: 1 }, undefined, 'four'])
  t.equal(whole.position, whole.messages[2]!.position)
  t.ok(whole.messages.every(({ time }) => time >= before && time <= Date.now()))
  const read = async (query: object) => {
    const { messages, gap } = await exchange.history('room', query)
    return [messages.map(({ data }) => data), gap]
  }
  const [second, third, fourth] = whole.messages.map(({ position }) => position)
  t.strictSame(await read({ since: second }), [[undefined, 'four'], null])
  t.strictSame(await read({ since: second, limit: 1 }), [[undefined], 'limit'])
  t.strictSame(await read({ since: second, reverse: true }), [['four', undefined], null])
  t.strictSame(await read({ since: third, limit: 1 }), [['four'], null])
  t.strictSame(await read({ since: fourth }), [[], null])
  t.strictSame(await read({ limit: 1 }), [['four'], null])
  t.strictSame(await read({ since: 'oldest' }), [[{ a: 1 }, undefined, 'four'], null])
  t.strictSame(await read({ since: 'oldest', limit: 2 }), [[{ a: 1 }, undefined], 'limit'])
  t.strictSame(await read({ since: 'oldest', limit: 2, reverse: true }), [[undefined, { a: 1 }], 'limit'])
  t.strictSame(await read({ since: empty.position }), [[{ a: 1 }, undefined, 'four'], 'trimmed'])
  t.strictSame(await read({ since: 'nonsense' }), [[{ a: 1 }, undefined, 'four'], 'unknown'])
  await t.rejects(exchange.history('other'), { name: 'InvalidActionError', code: 'SC_ERR_NO_HISTORY' })
  await t.rejects(exchange.history(''), { name: 'InvalidActionError' })
  for (const query of [null, { limit: 0 }, { limit: 1.5 }, { limit: 10_001 }, { since: 5 }, { reverse: 1 }, { from: 5 }]) {
    await t.rejects(exchange.history('room', query as never), { name: 'InvalidArgumentsError', code: 'SC_ERR_ARGUMENT' })
  }
})

for (const [socketChannelLimit, count] of [[0, 3_000], [1_000, 1_000], [2_000, 2_000]] as const) {
  t.test(`a socket recovers all its ${count} channels at once with socketChannelLimit ${socketChannelLimit}`, async (t) => {
    const { port, sc } = await serve(t, { socketChannelLimit, maxBufferedBytes: 8_388_608 }, (app) => { app.scChannel('room/:id', { history, recover: true }) })
    const client = await RawClient.connect(t, port)
    const { data: { pos: since } } = await client.call('#subscribe', { channel: 'room/0' })
    await client.call('#unsubscribe', 'room/0')
    await client.call('#subscribe', { channel: 'room/0', since })
    const channels = Array.from({ length: count - 1 }, (_, i) => `room/${i + 1}`)
    for (const [i, channel] of channels.entries()) client.send({ event: '#subscribe', data: { channel, since }, cid: 10_000 + i })
    await until('all answers', () => client.inbox.items.length === channels.length)
    t.strictSame(client.inbox.items.filter(({ data }) => data?.recovered !== true), [])
    const { recovered, limit } = sc.stats().recovery
    t.strictSame([recovered, limit], [count, 0])
  })
}

t.test('declarations that cannot be kept', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(scPlugin, { authKey })
  const declare = (contract: Contract) => () => app.scChannel('room', contract)
  t.throws(declare({ recover: true }), { code: 'SC_ERR_CONTRACT', message: /recover expects history/ })
  t.throws(declare({ history: { size: 0 } }), { message: /expected size of history to be a whole number from 1 to 100000, got 0/ })
  t.throws(declare({ history: { ttl: 10 } }), { message: /expected ttl of history to be a whole number of 1000 or more, got 10/ })
  t.throws(declare({ history: { length: 10 } as never }), { message: /unknown property "length" of history; expected some of size, ttl/ })
  t.throws(declare({ history: true as never }), { message: /expected history to be an object, got true/ })
  t.throws(declare({ history, recover: { limit: '5' as never } }), { message: /expected limit of recover .* got "5"/ })
  t.throws(declare({ history, slowConsumerPolicy: 'resume' }), { code: 'SC_ERR_CONTRACT', message: /slowConsumerPolicy 'resume' expects recover/ })
  t.throws(declare({ history, recover: 'newest' as never }), { message: /expected recover to be a boolean, 'latest' or an object, got "newest"/ })
  t.throws(declare({ recover: 'latest' }), { code: 'SC_ERR_CONTRACT', message: /recover expects history/ })
  t.throws(declare({ history, recover: 'latest', slowConsumerPolicy: 'resume' }), { code: 'SC_ERR_CONTRACT', message: /slowConsumerPolicy 'resume' expects recover to be true or an object, got 'latest'/ })
  for (const [rewind, text] of [[-1, '-1'], [1.5, '1.5'], ['1', '"1"'], [1_001, '1001']] as const) t.throws(declare({ history, recover: { rewind: rewind as never } }), { message: new RegExp(`expected rewind of recover to be a whole number from 0 to 1000, got ${text}`) })
  t.throws(declare({ history, recover: { rewind: 301 } }), { message: /expected rewind of recover to be a whole number from 0 to 300, got 301/ })
  t.throws(declare({ history, recover: { limit: 5, rewind: 6 } }), { message: /expected rewind of recover to be a whole number from 0 to 5, got 6/ })

  for (const [broker, contract, text] of [
    [{}, { history }, 'The broker mine does not offer history, which the channel "room" declares; memoryBroker and redisBroker do, and natsBroker with its option history'],
    [{ history: {} }, { history, recover: true }, 'The broker mine does not offer recover, which the channel "room" declares; memoryBroker and redisBroker do, and natsBroker with its option history']
  ] as const) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(scPlugin, { authKey, broker: { name: 'mine', shared: true, start () {}, stop () {}, control () {}, ...broker } as never })
    app.scChannel('room', contract)
    await t.rejects((async () => { await app.ready() })(), { code: 'SC_ERR_HISTORY', message: text })
  }
})
