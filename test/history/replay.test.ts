// How the messages that a client missed are sent: in order, within its backlog, whatever hooks and listeners do meanwhile.
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type ScChannelContract, type ScPluginOptions } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

type Contract = ScChannelContract<any, any, any>

const history = { size: 1_000, ttl: 60_000 }

function start (t: Test, contract: Contract, options: ScPluginOptions = {}, channels = ['room']) {
  return serve(t, options, (app) => { for (const channel of channels) app.scChannel(channel, { history, recover: true, ...contract }) })
}

/** Returns the position of the newest message. */
async function positionOf (t: Test, port: number, channel = 'room'): Promise<string> {
  const client = await RawClient.connect(t, port)
  const { data: { pos } } = await client.call('#subscribe', { channel })
  await client.close()
  return pos
}

t.test('a deliver policy that publishes while it decides about missed messages', async (t) => {
  let publishes = false
  const { port, sc } = await start(t, {
    deliver ({ data }) {
      if (publishes && data === 1) sc.exchange.publish('room', 'from the policy')
    }
  })
  const since = await positionOf(t, port)
  for (const n of [1, 2, 3]) await sc.exchange.publish('room', n)
  publishes = true
  const client = await RawClient.connect(t, port)
  t.match((await client.call('#subscribe', { channel: 'room', since })).data, { recovered: true, count: 3 })
  for (const data of [1, 2, 3, 'from the policy']) t.same((await client.event('#publish')).data.data, data)
})

t.test('missed messages that wait for a slow deliver policy fit into the backlog, or the client is told', async (t) => {
  const channels = ['a', 'b', 'c', 'd', 'e']
  let open: Array<() => void> | null = []
  const { port, sc } = await start(t, { deliver: async () => { if (open !== null) await new Promise<void>((resolve) => open!.push(resolve)) } }, {}, channels)
  for (const [length, count, names] of [[800, 300, ['a']], [1, 300, channels]] as const) {
    const positions = new Map<string, string>()
    for (const channel of names) positions.set(channel, await positionOf(t, port, channel))
    for (const channel of names) for (let n = 0; n < count; n++) await sc.exchange.publish(channel, 'x'.repeat(length))
    const client = await RawClient.connect(t, port)
    const missed = await Promise.all(names.map(async (channel) => {
      const { data } = await client.call('#subscribe', { channel, since: positions.get(channel) })
      if (!data.recovered) t.equal(data.reason, 'limit')
      return data.recovered ? data.count : 0
    }))
    const opened = open!
    open = null
    for (const resolve of opened) resolve()
    t.equal(missed.filter((count) => count === 0).length, length === 800 ? 1 : 2, 'as many as there is room for')
    for (let left = missed.reduce((sum, count) => sum + count, 0); left > 0; left--) await client.event('#publish')
    await client.barrier()
    t.same(client.inbox.items, [])
    await client.close()
    open = []
  }
})

t.test('missed messages that are larger than the backlog', async (t) => {
  const { port, sc } = await start(t, { recover: { limit: 1_000, bytes: 100_000_000 }, slowConsumerPolicy: 'drop' }, { maxBufferedBytes: 100_000 })
  const since = await positionOf(t, port)
  await sc.exchange.publish('room', 'x'.repeat(150_000))
  const client = await RawClient.connect(t, port)
  t.match((await client.call('#subscribe', { channel: 'room', since })).data, { recovered: true, count: 1 }, 'a single one is sent, as when it was published')
  t.match(await client.event('#publish'), { data: { data: /^x{150000}$/ } })
  await sc.exchange.publish('room', 1)
  const other = await RawClient.connect(t, port)
  t.match((await other.call('#subscribe', { channel: 'room', since })).data, { recovered: false, reason: 'limit' })
})

t.test('a client that asks for more than it may get uses up its recoveries too', async (t) => {
  const { port, sc } = await start(t, { recover: { limit: 1 } }, { inboundRate: 0, inboundByteRate: 0 })
  const since = await positionOf(t, port)
  for (const n of [1, 2]) await sc.exchange.publish('room', n)
  const client = await RawClient.connect(t, port)
  for (let i = 0; i < 1_500; i++) {
    client.send({ event: '#subscribe', data: { channel: 'room', since } })
    client.send({ event: '#unsubscribe', data: 'room' })
  }
  await client.barrier()
  const { data: { pos } } = await client.call('#subscribe', { channel: 'room' })
  await sc.exchange.publish('room', 3)
  await client.event('#publish')
  let refused = 0
  for (let i = 0; i < 300; i++) {
    await client.call('#unsubscribe', 'room')
    const { data: { recovered } } = await client.call('#subscribe', { channel: 'room', since: pos })
    if (!recovered) refused++
  }
  t.ok(refused > 100, `${refused} of 300 were refused`)
})

t.test('a message that the codec cannot encode is missing for all, and the others come', async (t) => {
  const { port, sc, warnings } = await start(t, {}, {
    codecEngine: {
      encode (packet: any) {
        if (packet?.data?.data === 'unspeakable') throw new Error('not this')
        return JSON.stringify(packet)
      },
      decode: (text: any) => { try { return JSON.parse(text) } catch { return text } }
    } as never
  })
  const since = await positionOf(t, port)
  for (const data of [1, 'unspeakable', 2]) await sc.exchange.publish('room', data)
  const client = await RawClient.connect(t, port)
  t.match((await client.call('#subscribe', { channel: 'room', since })).data, { recovered: true, count: 3 })
  for (const data of [1, 2]) t.same((await client.event('#publish')).data.data, data)
  await client.barrier()
  t.match(warnings.map(({ message }) => message).join(), /not this/)
})

t.test('the bytes of missed messages count, not their characters', async (t) => {
  const { port, sc } = await start(t, { recover: { bytes: 1_024 } })
  const since = await positionOf(t, port)
  await sc.exchange.publish('room', 'ü'.repeat(510))
  const client = await RawClient.connect(t, port)
  t.match((await client.call('#subscribe', { channel: 'room', since })).data, { recovered: true, count: 1 })
  await client.call('#unsubscribe', 'room')
  await sc.exchange.publish('room', 'ü')
  t.match((await client.call('#subscribe', { channel: 'room', since })).data, { recovered: false, reason: 'limit' })
  await client.call('#unsubscribe', 'room')
  await sc.exchange.publish('room', 'x'.repeat(1_100))
  t.match((await client.call('#subscribe', { channel: 'room', since })).data, { recovered: false, reason: 'limit' })
})

t.test('a client that cannot be answered is not in the channel', async (t) => {
  const { port, sc } = await start(t, {}, {
    codecEngine: {
      encode (packet: any) {
        if (packet?.rid === 2) throw new Error('not this')
        return JSON.stringify(packet)
      },
      decode: (text: any) => { try { return JSON.parse(text) } catch { return text } }
    } as never
  })
  const events: string[] = []
  sc.on('subscription', () => events.push('subscription'))
  sc.on('unsubscription', () => events.push('unsubscription'))
  const client = await RawClient.connect(t, port)
  client.send({ event: '#subscribe', data: { channel: 'room' }, cid: 2 })
  t.equal((await client.closed).code, 1011)
  t.strictSame(events, [])
  const { subscriptions, channels } = sc.stats()
  t.strictSame({ subscriptions, channels }, { subscriptions: 0, channels: 0 })
})

t.test('each subscription has its event before its end, also when a hook ends it while missed messages are sent', async (t) => {
  const { port, sc } = await start(t, { deliver: ({ socket }) => { socket.kickOut('room') } })
  const since = await positionOf(t, port)
  for (const n of [1, 2]) await sc.exchange.publish('room', n)
  const events: string[] = []
  sc.on('subscription', () => events.push('subscription'))
  sc.on('unsubscription', () => events.push('unsubscription'))
  const client = await RawClient.connect(t, port)
  t.match((await client.call('#subscribe', { channel: 'room', since })).data, { recovered: true })
  await client.event('#kickOut')
  t.strictSame(events, ['subscription', 'unsubscription'])
})

t.test('a member that is removed while a message is delivered does not get it', async (t) => {
  const { port, sc } = await start(t, { slowConsumerPolicy: 'drop' }, { maxBufferedBytes: 20_000 })
  const slow = await RawClient.connect(t, port)
  await slow.call('#subscribe', { channel: 'room' })
  const other = await RawClient.connect(t, port)
  await other.call('#subscribe', { channel: 'room' })
  const [, second] = Object.values(sc.clients)
  sc.on('slowConsumer', () => { second!.kickOut('room') })
  slow.ws.pause()
  let published = 0
  while (second!.isSubscribed('room') && published < 100_000) {
    await sc.exchange.publish('room', ++published + 'x'.repeat(10_000))
    if (published % 8 === 0) await turn()
  }
  await other.event('#kickOut')
  await other.barrier()
  const got = other.inbox.items.filter(({ event }) => event === '#publish')
  t.equal(got.length, published - 1)
})

t.test('hooks that take their time run once for each missed message, and the client does not count as slow', async (t) => {
  const decided: number[] = []
  const { port, sc } = await start(t, {
    deliver: async ({ data }: any) => {
      decided.push(data.n)
      await turn()
    }
  })
  const since = await positionOf(t, port)
  const numbers = Array.from({ length: 100 }, (_, i) => i + 1)
  for (const n of numbers) await sc.exchange.publish('room', { n, text: 'x'.repeat(1_000) })
  const client = await RawClient.connect(t, port)
  t.match((await client.call('#subscribe', { channel: 'room', since })).data, { recovered: true, count: 100 })
  const got: number[] = []
  while (got.length < numbers.length) got.push((await client.event('#publish')).data.data.n)
  t.strictSame(got, numbers)
  t.strictSame(decided, numbers)
  t.equal(sc.stats().slowConsumers, 0)
})

t.test('channels that lag behind because too much waits for hooks get their messages when the hooks are done', async (t) => {
  const open: Array<() => void> = []
  const { port, sc } = await serve(t, {}, (app) => {
    app.scChannel('fast', { history, recover: true, deliver: () => {} })
    for (const channel of ['slow', 'other']) app.scChannel(channel, { history, recover: true, deliver: () => new Promise<void>((resolve) => open.push(resolve)) })
  })
  const client = await RawClient.connect(t, port)
  for (const channel of ['fast', 'slow', 'other']) await client.call('#subscribe', { channel })
  for (let n = 1; n <= 1_024; n++) await sc.exchange.publish('slow', n)
  await sc.exchange.publish('fast', 1)
  while (sc.stats().slowConsumers === 0) await turn()
  // The place that becomes free is taken at once.
  open.shift()!()
  for (let step = 0; step < 3; step++) await Promise.resolve()
  await sc.exchange.publish('other', 1)
  const got = (): string[] => client.inbox.items.filter(({ event }) => event === '#publish').map(({ data }) => data.channel)
  for (let turns = 0; turns < 5_000 && got().length < 1_026; turns++) {
    open.shift()?.()
    await turn()
  }
  for (const [channel, count] of [['fast', 1], ['slow', 1_024], ['other', 1]] as const) t.equal(got().filter((name) => name === channel).length, count, channel)
})

t.test('a message comes later when the token of its recipient changes each time that hooks decide about it', async (t) => {
  let changes = 0
  const { port, sc } = await start(t, {
    async deliver ({ socket, data }) {
      await turn()
      if (data !== 2 || changes === 4) return
      const change = ++changes
      socket.setAuthToken({ change })
      while (socket.authToken?.['change'] !== change) await turn()
    }
  })
  const client = await RawClient.connect(t, port)
  await client.call('#subscribe', { channel: 'room' })
  for (const n of [1, 2, 3]) await sc.exchange.publish('room', n)
  for (const data of [1, 2, 3]) t.same((await client.event('#publish')).data.data, data)
  t.ok(changes >= 4)
  await client.barrier()
  t.same(client.inbox.items.filter(({ event }) => event === '#publish' || event === '#recovery'), [])
})
