// What `exchange.publish` promises with options: messages that are published once, and messages that are not kept.
import t, { type Test } from 'tap'
import { memoryBroker, type Broker, type ScPluginOptions, type ScPublishOptions } from '../../lib/index.js'
import { MemoryHistory } from '../../lib/broker/memory-history.js'
import { recovering } from '../../lib/client/index.js'
import { generations } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'

function start (t: Test, options: ScPluginOptions = {}) {
  return serve(t, options, (app) => {
    app.scChannel('room/:id', { history: { size: 100, ttl: 60_000 }, recover: true })
    app.scChannel('kept/:id', { history: { size: 2, ttl: 60_000 } })
  })
}

const dataOf = ({ messages }: { messages: ReadonlyArray<{ data: unknown }> }): unknown[] => messages.map(({ data }) => data)

t.test('a second publish with the same key publishes nothing and resolves, in every form of the call', async (t) => {
  const { sc: { exchange }, warnings } = await start(t)
  const got: unknown[] = []
  const channel = exchange.subscribe('kept/1')
  channel.watch((data) => { got.push(data) })
  await exchange.publish('kept/1', 1, { idempotencyKey: 'a' })
  t.equal(await exchange.publish('kept/1', 2, { idempotencyKey: 'a' }), undefined)
  await channel.publish(3, { idempotencyKey: 'a' })
  await exchange.invokePublish('kept/1', 4, { idempotencyKey: 'a' })
  await channel.invokePublish(5, { idempotencyKey: 'b' })
  exchange.transmitPublish('kept/1', 6, { idempotencyKey: 'b' })
  channel.transmitPublish(7, { idempotencyKey: 'c' })
  const called: unknown[] = []
  await exchange.publish('kept/1', 8, { idempotencyKey: 'c' }, (err) => called.push(err))
  await channel.publish(9, { idempotencyKey: 'd' }, (err) => called.push(err))
  await exchange.publish('kept/1', 10, (err) => called.push(err))
  await exchange.publish('kept/1', 11, undefined, (err) => called.push(err))
  t.same(called, [null, null, null, null])
  t.same(got, [1, 5, 7, 9, 10, 11])
  t.same(dataOf(await exchange.history('kept/1')), [10, 11])
  await exchange.publish('kept/1', 12, { idempotencyKey: 'a' })
  t.same(got.at(-1), 11, 'a key outlives its message in the history')
  t.same(warnings, [])
})

t.test('a message that is published while another one is delivered uses its key at once', async (t) => {
  const { sc: { exchange } } = await start(t)
  const got: unknown[] = []
  exchange.subscribe('kept/1').watch((data) => {
    got.push(data)
    if (data !== 'first') return
    exchange.publish('kept/1', 'second', { idempotencyKey: 'k' })
    exchange.publish('kept/1', 'third', { idempotencyKey: 'k' })
  })
  await exchange.publish('kept/1', 'first', { idempotencyKey: 'first' })
  t.same(got, ['first', 'second'])
})

t.test('an option that cannot be kept is refused, and nothing is published', async (t) => {
  const without = memoryBroker()
  const { publish, read, follow } = without.history!
  const broker: Broker = Object.assign(without, { history: { publish, read, follow } })
  for (const [own, cases] of [
    [{}, [
      ['kept/1', { idempotencyKey: '' }, 'InvalidArgumentsError', 'publish expects an idempotencyKey of 1 to 128 characters, got 0'],
      ['kept/1', { idempotencyKey: 'x'.repeat(129) }, 'InvalidArgumentsError', 'publish expects an idempotencyKey of 1 to 128 characters, got 129'],
      ['kept/1', { idempotencyKey: 5 }, 'InvalidArgumentsError', 'publish expects the option idempotencyKey to be a string, got number'],
      ['kept/1', { idempotencyKey: '\ud800' }, 'InvalidArgumentsError', 'publish expects an idempotencyKey without lone surrogates, got one with'],
      ['kept/1', { idempotencyKey: 'k', history: false }, 'InvalidArgumentsError', 'publish expects the option history to be absent with an idempotencyKey, which the history keeps, got false'],
      ['kept/1', { history: true }, 'InvalidArgumentsError', 'publish expects the option history to be false or absent, got true'],
      ['kept/1', { history: 0 }, 'InvalidArgumentsError', 'publish expects the option history to be false or absent, got number'],
      ['kept/1', { idempotencykey: 'k' }, 'InvalidArgumentsError', 'publish expects the options idempotencyKey and history, got "idempotencykey"'],
      ['kept/1', 5, 'InvalidArgumentsError', 'publish expects an object of options or a callback, got number'],
      ['other', { idempotencyKey: 'k' }, 'InvalidActionError', 'The channel "other" remembers nothing; declare it by scChannel with history']
    ]],
    [{ broker }, [
      ['kept/1', { idempotencyKey: 'k' }, 'InvalidActionError', 'The broker memory does not remember the keys of messages: it cannot publish to "kept/1" with an idempotencyKey']
    ]]
  ] as Array<[ScPluginOptions, Array<[string, any, string, string]>]>) {
    const { sc } = await start(t, own)
    for (const [channel, options, name, message] of cases) {
      await t.rejects(sc.exchange.publish(channel, 1, options), { name, message })
      const called: unknown[] = []
      await t.rejects(sc.exchange.channel(channel).publish(1, options, (err) => called.push(err)), { message })
      t.match(called, [{ name, message }])
    }
    await t.rejects(sc.exchange.publish('kept/1', 1, {}, 5 as never), { message: 'publish expects the callback to be a function, got number' })
    t.equal(sc.stats().publishes, 0)
    t.same(dataOf(await sc.exchange.history('kept/1')), [])
  }
})

t.test('a key that the schema of the channel refuses a message with can be used again', async (t) => {
  const { sc: { exchange } } = await serve(t, {}, (app) => {
    app.scChannel('numbers', { history: {}, message: { type: 'integer' } })
  })
  const options: ScPublishOptions = { idempotencyKey: 'k' }
  await t.rejects(exchange.publish('numbers', 'one', options), { name: 'ValidationError' })
  await exchange.publish('numbers', 1, options)
  t.same(dataOf(await exchange.history('numbers')), [1])
})

t.test('keys count as memory: more than the budget makes the memory broker forget channels', async (t) => {
  const bytes = 200_000
  const history = new MemoryHistory(bytes)
  t.teardown(() => history.stop())
  const limits = { size: 10, ttl: 60_000 }
  history.add('first', '1', limits)
  let most = 0
  for (let n = 0; n < 5_000; n++) {
    t.ok(history.addKey('busy', `a key with the number ${n}`, limits))
    most = Math.max(most, history.bytes)
  }
  t.ok(most <= bytes && most > bytes * 0.9, `at most ${most} bytes`)
  t.same(history.read('first', null, 10, limits).entries, [])
  t.notOk(history.addKey('busy', 'a key with the number 4999', limits), 'the last keys are known')
  t.ok(history.addKey('busy', 'a key with the number 1', limits))
})

t.test('keys that are over are forgotten without another publish', async (t) => {
  const history = new MemoryHistory(1_000_000)
  t.teardown(() => history.stop())
  history.addKey('a', 'k', { size: 10, ttl: 200 })
  const before = history.bytes
  await until('the sweep', () => history.bytes < before)
})

for (const [generation, connect] of generations) {
  t.test(`client ${generation} gets messages that are not kept while it is there, in order, and does not recover them`, async (t) => {
    const { sc: { exchange }, port } = await start(t)
    const client = await connect(t, { port }, { codecEngine: recovering() })
    const recoveries: unknown[] = []
    client.on('recovery', (event) => recoveries.push(event))
    await client.subscribe('room/1')
    await client.nextEvent('subscribe')
    for (let n = 1; n <= 6; n++) exchange.publish('room/1', n, n % 2 === 0 ? { history: false } : {})
    for (let n = 1; n <= 6; n++) t.equal(await client.next('room/1'), n)
    client.raw.transport.socket.terminate()
    await until('the end of the connection', () => client.state === 'closed')
    for (let n = 7; n <= 12; n++) await exchange.publish('room/1', n, n % 2 === 0 ? { history: false } : {})
    const connected = client.nextEvent('connect')
    client.reconnect()
    await connected
    for (const n of [7, 9, 11]) t.equal(await client.next('room/1'), n)
    t.same(recoveries, [{ channel: 'room/1', recovered: true, count: 3 }])
    t.same(dataOf(await exchange.history('room/1')), [1, 3, 5, 7, 9, 11])
  })
}

t.test('a message that is not kept has no position on the wire, and nothing is different on a channel without history', async (t) => {
  const { sc: { exchange }, port } = await start(t)
  const client = await RawClient.connect(t, port)
  for (const channel of ['room/1', 'other']) {
    await client.call('#subscribe', { channel })
    await exchange.publish(channel, 'text', { history: false })
    t.strictSame(await client.event('#publish'), { event: '#publish', data: { channel, data: 'text' } })
  }
})
