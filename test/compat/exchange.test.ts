import sc14 from 'socketcluster-client-14'
import sc20 from 'socketcluster-client'
import t from 'tap'
import { memoryBroker } from '../../lib/index.js'
import type { Broker } from '../../types/broker.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

t.test('publish: to clients of either generation, by callback and by promise', async (t) => {
  const { sc, port } = await serve(t)
  const { exchange } = sc
  const client14 = sc14.create({ hostname: '127.0.0.1', port, autoReconnect: false, multiplex: false, authTokenName: 'compat.exchange.14' })
  const client20 = sc20.create({ hostname: '127.0.0.1', port, autoReconnect: false, authTokenName: 'compat.exchange.20' })
  t.teardown(() => { client14.destroy(); client20.disconnect() })
  const channel14 = client14.subscribe('news')
  const channel20 = client20.subscribe('news')
  await Promise.all([new Promise((resolve) => channel14.on('subscribe', resolve)), channel20.listener('subscribe').once()])
  const [got14, got20] = [new Promise((resolve) => channel14.watch(resolve)), channel20.once()]
  t.equal(await new Promise((resolve) => exchange.publish('news', { a: 1 }, resolve)), null)
  t.same(await Promise.all([got14, got20]), [{ a: 1 }, { a: 1 }])
  const again = channel20.once()
  t.equal(await exchange.invokePublish('news', 2), undefined)
  t.equal(await again, 2)
  const third = channel20.once()
  exchange.transmitPublish('news', 3)
  t.equal(await third, 3)
})

t.test('subscribe, watch and the channel object', async (t) => {
  const { sc, port } = await serve(t)
  const { exchange } = sc
  const client = await RawClient.connect(t, port)
  const events: unknown[] = []
  for (const event of ['subscribe', 'unsubscribe'] as const) exchange.on(event, (name) => { events.push(['exchange', event, name]) })

  const channel = exchange.channel('x')
  for (const event of ['subscribe', 'unsubscribe'] as const) channel.on(event, (name) => { events.push(['channel', event, name]) })
  channel.on('subscribeStateChange', (change) => { events.push(change) })
  t.equal(channel.name, 'x')
  t.same([channel.PENDING, channel.SUBSCRIBED, channel.UNSUBSCRIBED], ['pending', 'subscribed', 'unsubscribed'])
  t.equal(channel.state, channel.UNSUBSCRIBED)
  t.equal(exchange.channel('x'), channel, 'one object a name')

  const got: unknown[] = []
  const watcher = (data: unknown): void => { got.push(data) }
  exchange.watch('x', watcher)
  await client.call('#publish', { channel: 'x', data: 'before' })
  t.same(got, [], 'watched, but not subscribed')

  t.equal(exchange.subscribe('x'), channel)
  t.equal(channel.getState(), 'subscribed')
  t.same([channel.isSubscribed(), exchange.isSubscribed('x'), exchange.isSubscribed('y'), exchange.isSubscribed('toString')], [true, true, false, false])
  t.same(exchange.subscriptions(), ['x'])
  t.same(events, [
    { channel: 'x', oldState: 'unsubscribed', newState: 'pending' },
    { channel: 'x', oldState: 'pending', newState: 'subscribed' },
    ['channel', 'subscribe', 'x'], ['exchange', 'subscribe', 'x']
  ])
  exchange.subscribe('x')
  t.equal(events.length, 4, 'nothing twice')

  await client.call('#publish', { channel: 'x', data: 1 })
  await exchange.publish('x', 2)
  await channel.publish(3)
  await channel.invokePublish(4)
  t.equal(await new Promise((resolve) => channel.publish(5, resolve)), null)
  const sixth = channel.once(1_000)
  channel.transmitPublish(6)
  t.equal(await sixth, 6)
  t.same(got, [1, 2, 3, 4, 5, 6])

  const second = (): void => {}
  channel.watch(second)
  t.same(channel.watchers(), [watcher, second])
  t.same(exchange.watchers('x'), [watcher, second])
  channel.unwatch(watcher)
  t.same(exchange.watchers('x'), [second])
  exchange.watch('x', watcher)
  exchange.unwatch('x', second)
  t.same(channel.watchers(), [watcher])
  exchange.unwatch('x')
  t.same(channel.watchers(), [])
  await exchange.publish('x', 7)
  t.equal(got.length, 6)

  channel.watch(watcher)
  events.length = 0
  channel.unsubscribe()
  t.equal(channel.state, 'unsubscribed')
  t.same(exchange.subscriptions(), [])
  t.same(events, [{ channel: 'x', oldState: 'subscribed', newState: 'unsubscribed' }, ['channel', 'unsubscribe', 'x'], ['exchange', 'unsubscribe', 'x']])
  await exchange.publish('x', 8)
  t.equal(got.length, 6, 'nothing comes any more')
  channel.subscribe()
  await exchange.publish('x', 9)
  t.equal(got.at(-1), 9)
  exchange.unsubscribe('x')
  t.equal(channel.isSubscribed(), false)

  channel.subscribe()
  channel.destroy()
  t.same([exchange.subscriptions(), exchange.watchers('x')], [[], []])
  t.not(exchange.channel('x'), channel)
  exchange.subscribe('x').watch(watcher)
  exchange.destroyChannel('x')
  t.equal(exchange.isSubscribed('x'), false)
})

t.test('loops', async (t) => {
  const { sc } = await serve(t)
  const { exchange } = sc
  const got: unknown[] = []
  const loop = (async () => {
    for await (const data of exchange.subscribe('x')) {
      got.push(data)
      if (data === 2) break
    }
  })()
  const subscribed = exchange.listener('subscribe').once(1_000)
  exchange.subscribe('y')
  t.same(await subscribed, { channel: 'y' })
  const change = exchange.channel('y').listener('subscribeStateChange').once(1_000)
  exchange.unsubscribe('y')
  t.match(await change, { channel: 'y', oldState: 'subscribed', newState: 'unsubscribed' })
  for (const data of [1, 2, 3]) await exchange.publish('x', data)
  await loop
  t.same(got, [1, 2])
  const ended = (async () => { for await (const data of exchange.channel('x')) got.push(data) })()
  exchange.destroyChannel('x')
  await ended
  await t.rejects(exchange.channel('z').once(10), { name: 'TimeoutError' })
})

t.test('middleware: publishOut once a socket, publishIn never', async (t) => {
  const { sc, port } = await serve(t)
  const lines: unknown[] = []
  sc.addMiddleware('publishIn', (req, next) => { lines.push(['in', req.data]); next() })
  sc.addMiddleware('publishOut', (req, next) => {
    lines.push(['out', req.socket.id])
    req.data = `${req.data} to ${req.socket.id}`
    next()
  })
  const clients = await Promise.all([RawClient.connect(t, port), RawClient.connect(t, port)])
  for (const client of clients) await client.call('#subscribe', { channel: 'x' })
  const watched: unknown[] = []
  sc.exchange.subscribe('x').watch((data) => { watched.push(data) })
  await sc.exchange.publish('x', 'm')
  const texts = await Promise.all(clients.map((client) => client.publication('x')))
  const ids = Object.keys(sc.clients).sort()
  t.same(texts.sort(), ids.map((id) => `m to ${id}`))
  t.same(lines.map((line: any) => line[0]), ['out', 'out'])
  t.same(watched, ['m'], 'watchers see what was published')
})

t.test('errors', async (t) => {
  const { sc, warnings } = await serve(t)
  const { exchange } = sc
  const circular: any = {}
  circular.self = circular
  await t.rejects(exchange.publish('x', circular), { name: 'InvalidArgumentsError', code: 'SC_ERR_ENCODE' })
  t.match(warnings, [{ code: 'SC_ERR_ENCODE' }])
  t.match(await new Promise((resolve) => exchange.publish('x', circular, resolve).catch(() => {})), { code: 'SC_ERR_ENCODE' })
  t.equal(warnings.length, 1, 'who has a callback was told')
  for (const name of ['', 'a\u0000b', 'x'.repeat(256), '\ud800']) {
    await t.rejects(exchange.publish(name, 1), { code: 'SC_ERR_CHANNEL_NAME' }, JSON.stringify(name).slice(0, 20))
    t.throws(() => exchange.subscribe(name), { code: 'SC_ERR_CHANNEL_NAME' })
  }
  await t.rejects(exchange.publish(7 as any, 1), { code: 'SC_ERR_CHANNEL_TYPE' })
  t.throws(() => exchange.channel(undefined as any), { code: 'SC_ERR_CHANNEL_TYPE' })
  t.throws(() => exchange.watch('x', 'no function' as any), { code: 'SC_ERR_ARGUMENT' })

  const got: unknown[] = []
  exchange.subscribe('w').watch(() => { throw new Error('a watcher') })
  exchange.watch('w', async () => { throw new Error('an async watcher') })
  exchange.watch('w', (data) => { got.push(data) })
  warnings.length = 0
  await exchange.publish('w', 1)
  await new Promise(setImmediate)
  t.same(got, [1], 'the others go on')
  t.same(warnings.map((err) => err.message), ['a watcher', 'an async watcher'])
})

t.test('a broker that refuses: subscribeFail', async (t) => {
  const broker: Broker = Object.assign(memoryBroker(), {
    subscribe: ([name]: readonly string[]): Promise<void> => {
      if (name === 'thrown') throw new Error('not at once')
      return Promise.reject(new Error('not today'))
    }
  })
  const { sc, port, warnings } = await serve(t, { broker })
  const failed = new Promise<any[]>((resolve) => sc.exchange.once('subscribeFail', (...args) => resolve(args)))
  const channel = sc.exchange.channel('x')
  const channelFailed = new Promise<any[]>((resolve) => channel.on('subscribeFail', (...args) => resolve(args)))
  channel.subscribe()
  t.equal(channel.state, 'pending')
  t.same([sc.exchange.subscriptions(), sc.exchange.subscriptions(true)], [[], ['x']])
  t.same([sc.exchange.isSubscribed('x'), sc.exchange.isSubscribed('x', true), channel.isSubscribed(true)], [false, true, true])
  for (const [err, name] of [await failed, await channelFailed]) {
    t.equal(err.name, 'BrokerError')
    t.match(err.message, /not today/)
    t.equal(name, 'x')
  }
  t.equal(channel.state, 'unsubscribed')
  t.match(warnings[0], { name: 'BrokerError' })
  const thrown = new Promise<any[]>((resolve) => sc.exchange.once('subscribeFail', (...args) => resolve(args)))
  t.doesNotThrow(() => sc.exchange.subscribe('thrown'))
  t.match((await thrown)[0], { name: 'BrokerError', message: 'not at once' })
  const client = await RawClient.connect(t, port)
  for (const channel of ['y', 'thrown']) t.match((await client.call('#subscribe', { channel })).error, { name: 'BrokerError' })
})

t.test('dropOut: messages may have been lost', async (t) => {
  let sink: any
  const broker: Broker = memoryBroker()
  const start = broker.start.bind(broker)
  broker.start = (given: any, ...rest: any[]) => { sink = given; return (start as any)(given, ...rest) }
  const { sc } = await serve(t, { broker })
  const lost: string[] = []
  for (const name of ['a', 'b']) sc.exchange.subscribe(name).on('dropOut', (channel) => { lost.push(channel) })
  sink.gap('a')
  t.same(lost, ['a'])
  sink.gap(null)
  t.same(lost, ['a', 'a', 'b'])
})
