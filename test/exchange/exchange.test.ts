// The server's own publisher and subscriber.
import t from 'tap'
import { Exchange } from '../../lib/exchange/exchange.js'
import type { Broker } from '../../types/broker.js'
import type { Checked } from '../../types/routes.js'
import { ManualBroker } from '../broker/manual-broker.js'
import { matchEach } from '../helpers/match-each.js'
import { type Declared, declared, setUpHub } from './parts.js'

/** An exchange on a broker inside the process, or the given one. */
function setUp ({ broker, routes = {} }: { broker?: Broker, routes?: Record<string, Declared> } = {}) {
  const { hub, link } = setUpHub({ ...broker !== undefined && { broker } })
  const warnings: any[] = []
  const exchange = new Exchange(link, hub, {
    maxChannelNameLength: 10,
    resolve: (channel) => declared(routes[channel]),
    presence: async () => ({ members: [], total: 0, complete: true }),
    occupancy: async () => 0,
    warn: (err) => { warnings.push(err) }
  })
  const events: unknown[] = []
  for (const event of ['subscribe', 'unsubscribe', 'subscribeFail'] as const) exchange.on(event, (...args) => { events.push([event, ...args]) })
  return { exchange, hub, link, warnings, events }
}

/** The same on a broker that answers when the test says so. */
function setUpManual () {
  const broker = new ManualBroker()
  const set = setUp({ broker })
  broker.sink.state('up')
  return { ...set, broker, answer: (err?: Error) => broker.answerLast(err) }
}

const error = new Error('a bug')

/** Settles when a loop over it ends. */
async function ended (stream: AsyncIterable<unknown>): Promise<void> {
  const loop = stream[Symbol.asyncIterator]()
  while ((await loop.next()).done !== true);
}

t.test('a publication that the broker accepts at once is done at once', async (t) => {
  const { exchange, warnings } = setUp()
  const got: unknown[] = []
  exchange.subscribe('a').watch((data) => { got.push(data) })
  const told: unknown[] = []
  const published = exchange.publish('a', 1, (err) => { told.push(err) })
  t.strictSame([got, told], [[1], [null]], 'before anything is awaited')
  t.equal(await published, undefined)
  await exchange.invokePublish('a', 2)
  exchange.transmitPublish('a', 3)
  await exchange.publish('a', 4, null as never)
  await exchange.publish('a')
  t.strictSame([got, exchange.publishes, warnings], [[1, 2, 3, 4, undefined], 5, []])
})

t.test('one that the broker accepts later is done when it says so', async (t) => {
  const { exchange, answer, warnings } = setUpManual()
  const told: unknown[] = []
  let done = false
  const publish = (): Promise<void> => exchange.publish('a', 1, (err) => { told.push(err) })
  const first = publish().then(() => { done = true })
  await new Promise(setImmediate)
  t.strictSame([told, done], [[], false])
  await answer()
  await first
  t.strictSame([told, done], [[null], true])
  const second = publish()
  const failed = t.rejects(second, error)
  await answer(error)
  await failed
  t.strictSame(told, [null, error])
  t.strictSame(warnings, [], 'who has a callback was told')
  exchange.transmitPublish('a', 1)
  await answer(error)
  t.strictSame(warnings, [error])
})

t.test('publications that the broker accepts together have one promise, and each that fails is a warning', async (t) => {
  let settle: { resolve: () => void, reject: (err: Error) => void }
  let accepted: Promise<void>
  const begin = (): void => { accepted = new Promise((resolve, reject) => { settle = { resolve, reject } }) }
  const broker = Object.assign(new ManualBroker(), { publish: () => accepted })
  const { exchange, warnings } = setUp({ broker })
  broker.sink.state('up')
  begin()
  const first = exchange.publish('a', 1)
  t.equal(exchange.publish('a', 2), first)
  const told: unknown[] = []
  const withCallback = exchange.publish('a', 3, (err) => { told.push(err) })
  t.not(withCallback, first)
  settle!.resolve()
  t.strictSame(await Promise.all([first, withCallback]), [undefined, undefined])
  t.strictSame([told, warnings], [[null], []])
  t.not(exchange.publish('a', 4), first, 'it is over')
  begin()
  const refused = exchange.publish('a', 5)
  exchange.transmitPublish('a', 6)
  t.not(refused, first)
  settle!.reject(error)
  await t.rejects(refused, error)
  t.strictSame(warnings, [error, error])
})

t.test('null as the callback of a publication counts as none: a failure that comes later is a warning', async (t) => {
  const { exchange, answer, warnings } = setUpManual()
  const failed = t.rejects(exchange.publish('a', 1, null as never), error)
  await answer(error)
  await failed
  t.strictSame(warnings, [error])
})

t.test('wrong arguments reject, and are a warning where nobody else is told', async (t) => {
  const { exchange, warnings } = setUp()
  await t.rejects(exchange.publish('a', 1, 'no function' as never), { name: 'InvalidArgumentsError', message: /publish.*callback/ })
  await t.rejects(exchange.publish('x'.repeat(11), 1), { code: 'SC_ERR_CHANNEL_NAME', message: /publish.*10/ })
  await t.rejects(exchange.publish('a', 1n), { code: 'SC_ERR_ENCODE', message: /encoded: .*BigInt/, cause: { name: 'TypeError' } })
  matchEach(t, warnings, [{ code: 'SC_ERR_ARGUMENT' }, { code: 'SC_ERR_CHANNEL_NAME' }, { code: 'SC_ERR_ENCODE' }])
  t.equal(exchange.publishes, 0)
  t.throws(() => exchange.channel('x'.repeat(11)), { code: 'SC_ERR_CHANNEL_NAME', message: /^channel expects/ })
  t.throws(() => exchange.listener(7 as never), { code: 'SC_ERR_ARGUMENT', message: /listener.*event/ })
})

t.test('what a callback or a listener throws or rejects with is a warning', async (t) => {
  const { exchange, warnings } = setUp()
  await exchange.publish('a', 1, () => { throw error })
  await exchange.publish('a', 1, (async () => { throw error }) as never)
  await exchange.publish('a', 1n, () => { throw error }).catch(() => {})
  await exchange.publish('a', 1, (async () => {}) as never)
  exchange.on('subscribe', () => { throw error })
  exchange.subscribe('a')
  t.strictSame(warnings, [error, error, error, error])
  exchange.fault(error)
  exchange.warn(error)
  t.equal(warnings.length, 6)
})

for (const how of ['at once', 'later'] as const) {
  t.test(`a message is checked ${how} by what was declared for its channel`, async (t) => {
    const answer = (checked: Checked): Checked | Promise<Checked> => how === 'at once' ? checked : Promise.resolve(checked)
    const frozen = Object.freeze(Object.assign(new TypeError('frozen'), { statusCode: 400, hint: 'n' }))
    const mistake = Object.assign(new Error('n must be a number'), { statusCode: 400, name: 'ValidationError' })
    const { exchange, warnings } = setUp({
      routes: {
        good: { validateMessage: (data) => answer({ value: { n: Number((data as { n: string }).n) } }) },
        bad: { validateMessage: () => answer({ error: mistake }) },
        frozen: { validateMessage: () => answer({ error: frozen }) }
      }
    })
    const got: unknown[] = []
    exchange.subscribe('good').watch((data) => { got.push(data) })
    await exchange.publish('good', { n: '1' })
    t.strictSame(got, [{ n: 1 }], 'what the check made of it is published')
    const failure = async (channel: string): Promise<any> => exchange.publish(channel, {}).then(() => t.fail('it was published'), (err) => err)
    t.equal(await failure('bad'), mistake)
    t.match(mistake, { statusCode: 500, name: 'ValidationError' })
    t.strictSame(Object.getOwnPropertyDescriptor(mistake, 'expose'), { value: false, configurable: true, enumerable: false, writable: false }, 'no client is to see it')
    const copy = await failure('frozen')
    t.strictSame([copy.message, copy.name, copy.statusCode, copy.expose, copy.hint, copy.cause], ['frozen', 'TypeError', 500, false, 'n', frozen])
    t.notOk(Object.keys(copy).includes('expose'))
    t.strictSame([warnings, exchange.publishes], [[mistake, copy], 1])
  })
}

t.test('subscribing and unsubscribing are told once each', async (t) => {
  const { exchange, hub, events } = setUp()
  const own: unknown[] = []
  const channel = exchange.channel('a')
  for (const event of ['subscribe', 'unsubscribe'] as const) channel.on(event, (name) => { own.push([event, name]) })
  t.equal(hub.channelCount, 0)
  for (let n = 0; n < 2; n++) t.equal(exchange.subscribe('a'), channel)
  t.equal(hub.channelCount, 1)
  t.strictSame([exchange.subscriptions(), exchange.isSubscribed('a'), exchange.isSubscribed('b')], [['a'], true, false])
  for (const name of ['a', 'a', 'b']) exchange.unsubscribe(name)
  t.strictSame([exchange.subscriptions(), hub.channelCount], [[], 0])
  t.strictSame(events, [['subscribe', 'a'], ['unsubscribe', 'a']])
  t.strictSame(own, events)
  const next = (['subscribe', 'unsubscribe'] as const).map((event) => exchange.listener(event).once())
  exchange.subscribe('a')
  exchange.unsubscribe('a')
  t.strictSame(await Promise.all(next), [{ channel: 'a' }, { channel: 'a' }])
})

t.test('a subscription is pending till the broker has confirmed it', async (t) => {
  const { exchange, events, answer } = setUpManual()
  const channel = exchange.subscribe('a')
  t.equal(channel.state, 'pending')
  t.equal(exchange.subscribe('a'), channel)
  t.strictSame([exchange.subscriptions(), exchange.subscriptions(true), exchange.isSubscribed('a'), exchange.isSubscribed('a', true)], [[], ['a'], false, true])
  t.strictSame(events, [])
  await answer()
  t.strictSame([channel.state, exchange.subscriptions(), events], ['subscribed', ['a'], [['subscribe', 'a']]])
})

t.test('one that was given up meanwhile does not come to life, and nobody is told', async (t) => {
  const { exchange, events, hub, answer } = setUpManual()
  const channel = exchange.subscribe('a')
  channel.unsubscribe()
  t.equal(channel.state, 'unsubscribed')
  await answer()
  t.strictSame([channel.state, events, hub.channelCount], ['unsubscribed', [], 0])
  const again = exchange.subscribe('b')
  const got: unknown[] = []
  again.watch((data) => { got.push(data) })
  again.unsubscribe()
  again.subscribe()
  await answer()
  t.strictSame([again.state, events], ['subscribed', [['subscribe', 'b']]], 'asked for twice, told once')
  hub.deliver('b', '1')
  t.strictSame(got, [1])
})

t.test('a subscription that the broker refuses fails, and may be tried again', async (t) => {
  const { exchange, events, warnings, answer } = setUpManual()
  const channel = exchange.channel('a')
  const own: unknown[] = []
  channel.on('subscribeFail', (...args) => { own.push(['subscribeFail', ...args]) })
  const next = exchange.listener('subscribeFail').once()
  channel.subscribe()
  await answer(error)
  t.equal(channel.state, 'unsubscribed')
  matchEach(t, events, [['subscribeFail', { name: 'BrokerError', message: 'a bug' }, 'a']])
  t.strictSame(own, events)
  t.match(await next, { error: { name: 'BrokerError' }, channel: 'a' })
  matchEach(t, warnings, [{ name: 'BrokerError' }])
  channel.subscribe()
  await answer()
  t.equal(channel.state, 'subscribed')
  const given = exchange.subscribe('b')
  given.unsubscribe()
  await answer(error)
  t.strictSame([events.length, warnings.length], [2, 1], 'nobody wants to know of one that was given up')
})

t.test('while the broker is down subscriptions stay pending, and are tried again when it is up', async (t) => {
  const { exchange, events, warnings, broker, answer } = setUpManual()
  exchange.subscribe('before')
  await answer()
  exchange.channel('never')
  broker.sink.state('down')
  const channel = exchange.subscribe('a')
  await new Promise(setImmediate)
  t.strictSame([channel.state, events, warnings], ['pending', [['subscribe', 'before']], []])
  broker.sink.state('up')
  exchange.retryPending()
  await answer()
  t.strictSame([channel.state, events], ['subscribed', [['subscribe', 'before'], ['subscribe', 'a']]])
  t.strictSame([broker.calls, exchange.channel('never').state], [[], 'unsubscribed'], 'nothing else is asked for')
})

t.test('what is no channel object has no watchers; one that is destroyed is forgotten', async (t) => {
  const { exchange, hub, events } = setUp()
  const watcher = (): void => {}
  t.strictSame(exchange.watchers('a'), [])
  t.doesNotThrow(() => { exchange.unwatch('a', watcher); exchange.unsubscribe('a'); exchange.destroyChannel('a'); exchange.dropOut('a') })
  exchange.watch('a', watcher)
  t.strictSame(exchange.watchers('a'), [watcher])
  exchange.watch('a', watcher)
  exchange.unwatch('a', watcher)
  t.strictSame(exchange.watchers('a'), [])
  const channel = exchange.subscribe('a')
  channel.watch(watcher)
  const loop = ended(channel)
  exchange.destroyChannel('a')
  await loop
  t.strictSame([channel.state, channel.watchers(), hub.channelCount, events.length], ['unsubscribed', [], 0, 2])
  t.not(exchange.channel('a'), channel)
})

t.test('messages may have been lost: of one channel, or of all', async (t) => {
  const { exchange } = setUp()
  const lost: unknown[] = []
  for (const name of ['a', 'b']) exchange.channel(name).on('dropOut', (channel) => { lost.push([name, channel]) })
  exchange.dropOut('b')
  exchange.dropOut(null)
  t.strictSame(lost, [['b', 'b'], ['a', 'a'], ['b', 'b']])
})

t.test('at the end all channels are given up, and all loops end', async (t) => {
  const { exchange, hub } = setUp()
  const channel = exchange.subscribe('a')
  const loops = [exchange.listener('subscribe'), channel].map(ended)
  exchange.end()
  await Promise.all(loops)
  t.equal(hub.channelCount, 0)
})
