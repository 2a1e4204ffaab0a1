// One channel of the server's own exchange.
import t from 'tap'
import { ExchangeChannel, type ChannelPort } from '../../lib/exchange/channel.js'
import type { ChannelEventObjects } from '../../types/exchange.js'

/** A channel, and what it asked of its exchange. */
function setUp () {
  const asked: unknown[] = []
  const warnings: unknown[] = []
  const published = Promise.resolve()
  const port: ChannelPort = {
    subscribe: (...args) => { asked.push(['subscribe', ...args]) },
    unsubscribe: (...args) => { asked.push(['unsubscribe', ...args]) },
    history: async (...args) => {
      asked.push(['history', ...args])
      return { messages: [], position: '', gap: null }
    },
    destroyChannel: (...args) => { asked.push(['destroyChannel', ...args]) },
    publish: (...args) => { asked.push(['publish', ...args]); return published },
    warn: (err) => { warnings.push(err) }
  }
  return { channel: new ExchangeChannel('news', port), asked, warnings, published }
}

const error = new Error('a bug')

t.test('what is asked of a channel is asked of its exchange, with its name', async (t) => {
  const { channel, asked, published } = setUp()
  const callback = (): void => {}
  channel.subscribe()
  channel.unsubscribe()
  channel.destroy()
  t.equal(channel.publish(1, callback), published)
  t.equal(channel.invokePublish(2), published)
  t.equal(channel.transmitPublish(3), undefined)
  await channel.history({ limit: 5 })
  t.strictSame(asked, [['subscribe', 'news', undefined], ['unsubscribe', 'news'], ['destroyChannel', 'news'], ['publish', 'news', 1, callback, undefined], ['publish', 'news', 2, undefined], ['publish', 'news', 3, undefined], ['history', 'news', { limit: 5 }]])
})

t.test('its state, and who is told when that changes', async (t) => {
  const { channel } = setUp()
  const changes: unknown[] = []
  channel.on('subscribeStateChange', (change) => { changes.push(change) })
  const look = (): unknown[] => [channel.state, channel.getState(), channel.isSubscribed(), channel.isSubscribed(true)]
  t.strictSame(look(), ['unsubscribed', 'unsubscribed', false, false])
  channel.moveTo('unsubscribed')
  channel.moveTo('pending')
  t.strictSame(look(), ['pending', 'pending', false, true])
  channel.moveTo('subscribed')
  channel.moveTo('subscribed')
  t.strictSame(look(), ['subscribed', 'subscribed', true, true])
  t.strictSame(changes, [
    { channel: 'news', oldState: 'unsubscribed', newState: 'pending' },
    { channel: 'news', oldState: 'pending', newState: 'subscribed' }
  ])
  t.strictSame([channel.PENDING, channel.SUBSCRIBED, channel.UNSUBSCRIBED], ['pending', 'subscribed', 'unsubscribed'])
})

t.test('a message is parsed once, for its watchers alone', async (t) => {
  const { channel, warnings } = setUp()
  channel.receive('no JSON')
  const got: any[] = []
  const first = (data: unknown): void => { got.push(['first', data]) }
  const second = (data: unknown): void => { got.push(['second', data]) }
  channel.watch(first)
  channel.watch(second)
  channel.receive('{"n":1}')
  channel.receive('')
  t.strictSame(got, [['first', { n: 1 }], ['second', { n: 1 }], ['first', undefined], ['second', undefined]])
  t.equal(got[0][1], got[1][1])
  t.strictSame(warnings, [])
})

t.test('watchers come and go, one by one or all', async (t) => {
  const { channel } = setUp()
  const calls: string[] = []
  const second = (): void => { calls.push('second') }
  const first = (): void => {
    calls.push('first')
    channel.unwatch(second)
  }
  for (const each of [first, second]) channel.watch(each)
  channel.receive('1')
  t.strictSame(calls, ['first', 'second'], 'a message goes on to those it came for')
  channel.receive('1')
  t.strictSame(calls, ['first', 'second', 'first'])
  const list = channel.watchers()
  list.length = 0
  t.strictSame(channel.watchers(), [first], 'the list is a copy')
  channel.watch(second)
  channel.unwatch(() => {})
  t.strictSame(channel.watchers(), [first, second])
  channel.unwatch()
  t.strictSame(channel.watchers(), [])
  t.throws(() => channel.watch('x' as never), { name: 'InvalidArgumentsError', message: /watch.*watcher/ })
})

t.test('what a watcher or a listener throws or rejects with is a warning, and the others go on', async (t) => {
  const { channel, warnings } = setUp()
  let got = 0
  channel.watch(() => { throw error })
  channel.watch(() => Promise.reject(error))
  channel.watch(async () => {})
  channel.watch(() => { got++ })
  channel.receive('1')
  channel.on('dropOut', () => { throw error })
  channel.announce('dropOut', 'news')
  await new Promise(setImmediate)
  t.strictSame([got, warnings], [1, [error, error, error]])
})

t.test('each event is a stream of objects', async (t) => {
  const { channel } = setUp()
  const expected: ChannelEventObjects = {
    subscribe: { channel: 'news' },
    unsubscribe: { channel: 'news' },
    dropOut: { channel: 'news' },
    subscribeFail: { error, channel: 'news' },
    subscribeStateChange: { channel: 'news', oldState: 'unsubscribed', newState: 'pending' },
    recovery: { channel: 'news', recovered: false, reason: 'trimmed' }
  }
  const next = Object.keys(expected).map((event) => channel.listener(event as keyof ChannelEventObjects).once())
  channel.announce('subscribe', 'news')
  channel.announce('unsubscribe', 'news')
  channel.announce('dropOut', 'news')
  channel.announce('subscribeFail', error, 'news')
  channel.moveTo('pending')
  channel.announce('recovery', expected.recovery)
  t.strictSame(await Promise.all(next), Object.values(expected))
  t.throws(() => channel.listener(7 as never), { name: 'InvalidArgumentsError', message: /listener.*event/ })
})

t.test('once gives the next message, or calls a listener once', async (t) => {
  const { channel } = setUp()
  const next = channel.once()
  channel.receive('{"n":1}')
  t.strictSame(await next, { n: 1 })
  await t.rejects(channel.once(1), { name: 'TimeoutError' })
  const heard: string[] = []
  t.equal(channel.once('dropOut', (name) => { heard.push(name) }), channel)
  for (let n = 0; n < 2; n++) channel.announce('dropOut', 'news')
  t.strictSame(heard, ['news'])
})

t.test('a loop gets what comes after it began, without any watcher, till the channel ends', async (t) => {
  const { channel } = setUp()
  const got: unknown[] = []
  channel.receive('0')
  const loop = (async () => { for await (const data of channel) got.push(data) })()
  for (const json of ['1', '', '[2]']) channel.receive(json)
  channel.end()
  channel.receive('3')
  await loop
  t.strictSame(got, [1, undefined, [2]])
})
