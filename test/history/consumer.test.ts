// The server's own subscriptions with `since`: they get what they missed, and go on.
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { memoryBroker, type Broker, type ScChannel, type ScPluginOptions, type ScPosition } from '../../lib/index.js'
import { TcpProxy } from '../helpers/proxy.js'
import { RawClient } from '../helpers/raw.js'
import { serve, type Served } from '../helpers/serve.js'
import { startJetStream, startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'

const quick = { timeout: 10_000, probeInterval: 10_000, connectTimeout: 10_000, retryDelay: 5, maxRetryDelay: 50 }

function start (t: Test, options: ScPluginOptions = {}): Promise<Served> {
  return serve(t, { inboundRate: 0, ...options }, (app) => {
    app.scChannel('jobs/:id', { history: { size: 20_000, ttl: 60_000 } })
    app.scChannel('room/:id', { history: { size: 20_000, ttl: 60_000 }, recover: true })
    app.scChannel('few', { history: { size: 5, ttl: 60_000 } })
  })
}

/** Notes the messages and the events of a channel, in order. */
function note (channel: ScChannel): unknown[] {
  const got: unknown[] = []
  channel.watch((data) => { got.push(data) })
  channel.on('recovery', ({ recovered, reason }) => { got.push(recovered ? 'recovered' : `lost: ${reason}`) })
  channel.on('dropOut', () => { got.push('dropOut') })
  return got
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

async function publish ({ sc: { exchange } }: Served, channel: string, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n += 50) await Promise.all(range(n, Math.min(n + 49, to)).map((i) => exchange.publish(channel, i)))
}

async function subscribed (channel: ScChannel): Promise<ScChannel> {
  await until('the subscription', () => channel.state === 'subscribed')
  return channel
}

/** Runs a test with two nodes on Redis, and on NATS if that matters, and with one that is both on the memory broker. */
function withBrokers (name: string, run: (t: Test, nodes: [publisher: Served, consumer: Served]) => Promise<void>, onNats = false): void {
  t.test(`${name}, in one process`, async (t) => {
    const node = await start(t)
    await run(t, [node, node])
  })
  t.test(`${name}, with Redis`, async (t) => {
    const redis = await startRedis(t)
    if (redis === null) return t.plan(0, 'redis-server is not installed')
    const node = () => start(t, { broker: redisBroker({ url: `redis://127.0.0.1:${redis.port}`, ...quick }) })
    await run(t, [await node(), await node()])
  })
  if (!onNats) return
  t.test(`${name}, with NATS`, async (t) => {
    const nats = await startJetStream(t)
    if (nats === null) return t.plan(0, 'nats-server is not installed')
    const node = () => start(t, { broker: natsBroker({ servers: `127.0.0.1:${nats.port}`, history: true, ...quick }) })
    await run(t, [await node(), await node()])
  })
}

withBrokers('what follows a position comes first, once each, in order, and then new messages', async (t, [publisher, consumer]) => {
  for (const channel of ['jobs/1', 'room/1']) {
    await publish(publisher, channel, 1, 3_500)
    const { messages } = await publisher.sc.exchange.history(channel, { limit: 10_000 })
    for (const missed of [0, 1, 999, 1_000, 1_001, 3_000]) {
      const since = messages.at(-1 - missed)!.position
      const own = consumer.sc.exchange.subscribe(channel, { since })
      const got = note(own)
      t.equal(own.position, since, 'until a message came')
      const end = 3_500 + missed % 7
      // Published while the others are read.
      await publish(publisher, channel, 3_501, end)
      await until('the messages', () => got.includes('recovered') && got.at(-1) !== undefined && got.filter(Number).length >= end - (3_500 - missed))
      t.same(got.filter(Number), range(3_501 - missed, end), `${missed} missed on ${channel}`)
      t.same(got.filter((event) => typeof event === 'string'), ['recovered'])
      consumer.sc.exchange.destroyChannel(channel)
      if (end > 3_500) break
    }
  }
})

withBrokers('a worker that stores its position in its loop goes on where it was', async (t, [publisher, consumer]) => {
  const { exchange } = consumer.sc
  let stored: ScPosition | undefined
  const done: unknown[] = []
  /** Works until it stops amid a message. */
  async function work (count: number): Promise<void> {
    const channel = exchange.subscribe('jobs/2', { since: stored })
    for await (const job of channel) {
      done.push(job)
      // A slow worker: other messages wait meanwhile.
      if (count % 3 === 0) await sleep(1)
      stored = channel.position
      if (--count === 0) break
    }
    exchange.destroyChannel('jobs/2')
  }
  const first = work(10)
  await subscribed(exchange.channel('jobs/2'))
  await publish(publisher, 'jobs/2', 1, 1_500)
  await first
  for (const count of [1, 5, 700, 3, 781]) await work(count)
  t.same(done, range(1, 1_500))
})

withBrokers('a loop that is slow gets everything, although more messages come than may wait', async (t, [publisher, consumer]) => {
  const channel = consumer.sc.exchange.subscribe('jobs/3', { since: undefined })
  const got: unknown[] = []
  const reading = (async () => {
    for await (const data of channel) {
      got.push((data as { n: number }).n)
      if (got.length % 1_000 === 1) await sleep(20)
      if (got.length === 12_000) break
    }
  })()
  await subscribed(channel)
  const told = note(channel)
  for (let n = 1; n <= 12_000; n += 100) await Promise.all(range(n, n + 99).map((i) => publisher.sc.exchange.publish('jobs/3', { n: i, text: 'x'.repeat(i % 500 === 0 ? 100_000 : 100) })))
  await reading
  t.same(got, range(1, 12_000))
  t.same(told.filter((event) => typeof event === 'string'), [])
  t.same(consumer.warnings, [])
})

withBrokers('when messages are not kept any more it is told before the next ones, which are complete', async (t, [publisher, consumer]) => {
  const { exchange } = consumer.sc
  await publish(publisher, 'few', 1, 1)
  const { position } = await publisher.sc.exchange.history('few')
  await publish(publisher, 'few', 2, 10)
  const events: unknown[] = []
  exchange.on('recovery', (status) => { events.push(status) })
  for (const [since, reason] of [[position, 'trimmed'], ['no position', 'unknown'], ['another.5.', 'unknown']] as const) {
    const channel = exchange.subscribe('few', { since })
    const got = note(channel)
    await until('the notice', () => got.length === 2)
    t.same(got, [`lost: ${reason}`, 'dropOut'])
    t.equal(channel.position, (await exchange.history('few')).position, 'the position to go on from')
    await publish(publisher, 'few', 11, 12)
    await until('the messages', () => got.length === 4)
    t.same(got.slice(2), [11, 12])
    t.same(events.splice(0), [{ channel: 'few', recovered: false, reason }])
    exchange.destroyChannel('few')
  }
})

withBrokers('messages that are not kept come to subscriptions that have everything', async (t, [publisher, consumer]) => {
  const channel = consumer.sc.exchange.subscribe('jobs/4', { since: undefined })
  const got = note(channel)
  await subscribed(channel)
  await publisher.sc.exchange.publish('jobs/4', 1)
  await until('the message', () => got.length === 1)
  const { position } = channel
  t.type(position, 'string')
  await publisher.sc.exchange.publish('jobs/4', 2, { history: false })
  await until('the message', () => got.length === 2)
  t.equal(channel.position, position)
})

t.test('what watchers publish while they get what they missed comes after it', async (t) => {
  const node = await start(t)
  const { exchange } = node.sc
  const { position } = await exchange.history('jobs/1')
  await publish(node, 'jobs/1', 1, 3)
  const channel = exchange.subscribe('jobs/1', { since: position })
  const got = note(channel)
  channel.watch((n) => { if (typeof n === 'number' && n <= 3) exchange.publish('jobs/1', n + 10) })
  await until('everything', () => got.includes('recovered'))
  await exchange.publish('jobs/1', 20)
  t.same(got.filter(Number), [1, 2, 3, 11, 12, 13, 20])
})

t.test('a watcher knows the position of its message, and the slowest loop counts', async (t) => {
  const { sc: { exchange } } = await start(t)
  const channel = exchange.subscribe('jobs/1')
  t.equal(channel.position, undefined)
  const seen: unknown[] = []
  channel.watch(() => { seen.push(channel.position) })
  await exchange.publish('jobs/1', 1)
  await exchange.publish('jobs/1', 2)
  const positions = (await exchange.history('jobs/1')).messages.map(({ position }) => position)
  t.same(seen, positions)
  const loop = channel[Symbol.asyncIterator]()
  const first = loop.next()
  for (const n of [3, 4, 5]) await exchange.publish('jobs/1', n)
  await first
  const all = (await exchange.history('jobs/1')).messages.map(({ position }) => position)
  t.equal(channel.position, all[2])
  await loop.next()
  t.equal(channel.position, all[3])
  await loop.return!()
  t.equal(channel.position, all[4])
  t.equal(exchange.channel('other').position, undefined)
})

t.test('a subscription that cannot be complete is refused at the call', async (t) => {
  const without = memoryBroker()
  const { publish, read } = without.history!
  const broker: Broker = Object.assign(without, { history: { publish, read } })
  const plain = await serve(t, { broker }, (app) => { app.scChannel('jobs/:id', { history: {} }) })
  t.throws(() => plain.sc.exchange.subscribe('jobs/1', { since: undefined }), { name: 'InvalidActionError', code: 'SC_ERR_NO_FOLLOW', message: 'The broker memory does not deliver channels completely: the exchange cannot subscribe to "jobs/1" with since' })
  const { sc: { exchange } } = await start(t)
  t.throws(() => exchange.subscribe('other', { since: undefined }), { name: 'InvalidActionError', code: 'SC_ERR_NO_HISTORY' })
  for (const [options, message] of [
    [5, 'subscribe expects an object of options, got number'],
    [null, 'subscribe expects an object of options, got null'],
    [{ since: 5 }, "subscribe expects since to be the text of a position, 'oldest', or undefined, got number"],
    [{ since: null }, "subscribe expects since to be the text of a position, 'oldest', or undefined, got null"],
    [{ Since: 'x' }, 'subscribe expects the option since, got "Since"']
  ] as Array<[never, string]>) t.throws(() => exchange.subscribe('jobs/1', options), { name: 'InvalidArgumentsError', message })
  t.equal(exchange.isSubscribed('jobs/1', true), false)
  exchange.subscribe('jobs/1')
  t.throws(() => exchange.channel('jobs/1').subscribe({ since: undefined }), { name: 'InvalidArgumentsError', message: 'subscribe expects a channel that the exchange is not subscribed to, with since, got one that is subscribed' })
})

withBrokers('from the oldest message on, all that are kept come, and then new ones', async (t, [publisher, consumer]) => {
  const { exchange } = consumer.sc
  const empty = note(exchange.subscribe('jobs/empty', { since: 'oldest' }))
  await until('the status', () => empty.length === 1)
  t.same(empty, ['recovered'], 'nothing is kept')
  await publish(publisher, 'jobs/1', 1, 3_500)
  await publish(publisher, 'few', 1, 12)
  const few = note(exchange.subscribe('few', { since: 'oldest' }))
  const channel = exchange.subscribe('jobs/1', { since: 'oldest' })
  t.equal(channel.position, undefined, 'none before the first message')
  const got = note(channel)
  let n = 3_500
  // Published while the others are read.
  while (!got.includes('recovered')) {
    await publish(publisher, 'jobs/1', ++n, n)
    await sleep(1)
  }
  await publish(publisher, 'jobs/1', ++n, n)
  await until('the last message', () => got.at(-1) === n)
  t.same(got.filter(Number), range(1, n))
  t.same(got.filter((event) => typeof event === 'string'), ['recovered'])
  t.equal(channel.position, (await exchange.history('jobs/1', { limit: 1 })).position)
  await until('the kept messages', () => few.includes('recovered'))
  t.same(few, [8, 9, 10, 11, 12, 'recovered'], 'as many as the history keeps')
  await publish(publisher, 'jobs/empty', 1, 2)
  await until('the new messages', () => empty.length === 3)
  t.same(empty, ['recovered', 1, 2])
}, true)

t.test('a subscription that ends gets nothing more of what it missed', async (t) => {
  const node = await start(t)
  const { exchange } = node.sc
  const { position } = await exchange.history('jobs/1')
  await publish(node, 'jobs/1', 1, 3_000)
  const channel = exchange.subscribe('jobs/1', { since: position })
  const got = note(channel)
  channel.watch((n) => { if (n === 1_500) channel.unsubscribe() })
  await until('the messages', () => got.length === 1_500)
  await sleep(20)
  t.same(got, range(1, 1_500))
  channel.subscribe({ since: channel.position })
  await until('the rest', () => got.includes('recovered'))
  t.same(got.filter(Number), range(1, 3_000))
  channel.unsubscribe()
  channel.subscribe()
  await exchange.publish('jobs/1', 3_001)
  t.equal(got.at(-1), 3_001, 'without since: as ever')
})

t.test('when the link to Redis was lost, subscriptions of the server go on by themselves', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const link = await new TcpProxy(redis.port).listen()
  t.teardown(() => link.close())
  const publisher = await start(t, { broker: redisBroker({ url: `redis://127.0.0.1:${redis.port}`, ...quick }) })
  const consumer = await start(t, { broker: redisBroker({ url: `redis://127.0.0.1:${link.port}`, ...quick }) })
  const { exchange } = consumer.sc
  const jobs = await subscribed(exchange.subscribe('jobs/1', { since: undefined }))
  const room = await subscribed(exchange.subscribe('room/1'))
  const plain = await subscribed(exchange.subscribe('jobs/2'))
  const [got, inRoom, plainly] = [note(jobs), note(room), note(plain)]
  for (let cut = 0; cut < 5; cut++) {
    const from = cut * 200 + 1
    const publishing = Promise.all([publish(publisher, 'jobs/1', from, from + 199), publish(publisher, 'room/1', from, from + 199)])
    await sleep(cut)
    const { reconnects } = consumer.sc.stats().broker
    link.cut()
    await publishing
    await until('the link', () => consumer.sc.stats().broker.reconnects! > reconnects!)
  }
  await until('the messages', () => got.length >= 1_000 && inRoom.length >= 1_000)
  t.same(got, range(1, 1_000))
  t.same(inRoom, range(1, 1_000))
  t.ok(plainly.includes('dropOut'), 'a subscription without since is told')
  // A late subscription, while the link is down.
  const { position } = jobs
  exchange.destroyChannel('jobs/1')
  link.block()
  await until('the loss', () => consumer.sc.stats().broker.state === 'down')
  const again = exchange.subscribe('jobs/1', { since: position })
  const more = note(again)
  t.equal(again.state, 'pending')
  await publish(publisher, 'jobs/1', 1_001, 1_010)
  link.unblock()
  await until('the messages', () => more.includes('recovered'))
  t.same(more, [...range(1_001, 1_010), 'recovered'])
})

t.test('Redis that comes back without its data is told, once, and new messages come', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const node = await start(t, { broker: redisBroker({ url: `redis://127.0.0.1:${redis.port}`, ...quick }) })
  const channel = await subscribed(node.sc.exchange.subscribe('jobs/1', { since: undefined }))
  const got = note(channel)
  const client = await RawClient.connect(t, node.port)
  await client.call('#subscribe', { channel: 'jobs/1' })
  await publish(node, 'jobs/1', 1, 3)
  await until('the messages', () => got.includes(3))
  await redis.kill()
  await until('the loss', () => node.sc.stats().broker.state === 'down')
  await redis.restart()
  await until('the notice', () => got.includes('dropOut'))
  await publish(node, 'jobs/1', 4, 5)
  await until('the messages', () => got.includes(5))
  t.same(got, [1, 2, 3, 'lost: unknown', 'dropOut', 4, 5])
  t.equal(channel.position, (await node.sc.exchange.history('jobs/1')).position)
  const events: string[] = []
  while (events.filter((event) => event === '#publish').length < 5) events.push((await client.inbox.take((packet: any) => packet?.event !== undefined, 'an event')).event)
  t.notOk(events.includes('#recovery'), 'clients of a channel without recover know no positions')
})

t.test('where messages follow that the server cannot read, because another key signed them, it is told', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const broker = () => redisBroker({ url: `redis://127.0.0.1:${redis.port}`, ...quick })
  const keys = ['one key of brokers that has more than thirty-two bytes', 'another key of brokers with more than thirty-two bytes']
  const [node, other] = [await start(t, { broker: broker(), brokerKey: keys[0] }), await start(t, { broker: broker(), brokerKey: keys[1] })]
  const { position } = await node.sc.exchange.history('jobs/1')
  await publish(node, 'jobs/1', 1, 5)
  await publish(other, 'jobs/1', 6, 2_500)
  const channel = node.sc.exchange.subscribe('jobs/1', { since: position })
  const got = note(channel)
  await until('the notice', () => got.includes('dropOut'))
  await publish(node, 'jobs/1', 2_501, 2_502)
  await until('the next messages', () => got.at(-1) === 2_502)
  t.same(got, [...range(1, 5), 'lost: unknown', 'dropOut', 2_501, 2_502])
})

t.test('a worker goes on in another process, after the first one ended amid its work', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const node = () => start(t, { broker: redisBroker({ url: `redis://127.0.0.1:${redis.port}`, ...quick }) })
  const publisher = await node()
  let stored: ScPosition | undefined
  const done: unknown[] = []
  const work = async ({ sc: { exchange } }: Served): Promise<void> => {
    const channel = exchange.subscribe('jobs/1', { since: stored })
    for await (const job of channel) {
      done.push(job)
      await sleep(job as number % 10 === 0 ? 1 : 0)
      stored = channel.position
    }
  }
  let published = 0
  for (let life = 0; life < 4; life++) {
    const worker = await node()
    const working = work(worker)
    await subscribed(worker.sc.exchange.channel('jobs/1'))
    await publish(publisher, 'jobs/1', published + 1, published += 250)
    await until('some work', () => done.length > published - 100)
    await worker.app.close()
    // What waited in its loop is still done.
    await working
    // While nobody works.
    await publish(publisher, 'jobs/1', published + 1, published += 250)
  }
  const last = await node()
  work(last)
  await until('the rest', () => done.length >= published)
  t.same(done, range(1, published))
})
