import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { setImmediate as tick } from 'node:timers/promises'
import type { Broker, BrokerSink } from '../../types/broker.js'
import { BrokerLink, type LinkOptions } from '../../lib/broker/link.js'
import { memoryBroker } from '../../lib/broker/memory.js'

/** A broker between processes whose answers the test gives. */
class ManualBroker implements Broker {
  readonly name = 'manual'
  readonly shared = true
  sink!: BrokerSink
  readonly calls: Array<{ call: string, channels: readonly string[], answer: (err?: Error) => void }> = []

  start (sink: BrokerSink) {
    this.sink = sink
  }

  subscribe (channels: readonly string[]) { return this.#later('subscribe', channels) }
  unsubscribe (channels: readonly string[]) { return this.#later('unsubscribe', channels) }
  publish (channel: string, _data: string) { return this.#later('publish', [channel]) }
  control (message: string, toNode?: string) { return this.#later('control', [message, toNode ?? '*']) }
  stop () {}

  #later (call: string, channels: readonly string[]) {
    return new Promise<void>((resolve, reject) => {
      this.calls.push({ call, channels, answer: (err) => { err === undefined ? resolve() : reject(err) } })
    })
  }
}

function recorder () {
  const log: string[] = []
  return {
    log,
    publication: (channel: string, data: string) => { log.push(`${channel}=${data}`) },
    state: (state: string, cause?: Error) => { log.push(cause ? `${state}: ${cause.message}` : state) },
    gap: (channel: string | null) => { log.push(`gap ${channel ?? '*'}`) },
    control: (message: string, from: string) => { log.push(`control ${message} ${from}`) },
    warning: (err: Error) => { log.push(`warning ${err.message}`) }
  }
}

const node = { id: 'n1', prefix: 'sc' }

function manual (options: Partial<LinkOptions> = {}) {
  const broker = new ManualBroker()
  const sink = recorder()
  const link = new BrokerLink(broker, { node, ...options }, sink)
  link.start()
  broker.sink.state('up')
  return { broker, sink, link }
}

t.test('memory: everything is synchronous, only subscribed channels are delivered', async (t) => {
  const sink = recorder()
  const link = new BrokerLink(memoryBroker(), { node }, sink)
  t.equal(link.start(), undefined)
  t.equal(link.state, 'up')
  t.equal(link.publish('a', '0'), undefined)
  t.equal(link.hold('a'), undefined)
  t.equal(link.publish('a', '1'), undefined)
  t.equal(link.publish('b', '2'), undefined)
  link.release('a')
  t.equal(link.publish('a', '3'), undefined)
  t.equal(link.stop(), undefined)
  await t.rejects(link.publish('a', '4') as Promise<void>, { name: 'BrokerError' })
  t.strictSame(sink.log, ['up', 'a=1'])
})

t.test('memory: a publish from within a delivery comes after it, on whatever channel', (t) => {
  const seen: string[] = []
  const link = new BrokerLink(memoryBroker(), { node }, {
    ...recorder(),
    publication (channel, data) {
      if (data === '1') link.publish('a', '2')
      if (data === '2') { link.publish('b', '3'); link.publish('a', '4') }
      seen.push(`${channel}${data}`)
    }
  })
  link.start()
  link.hold('a')
  link.hold('b')
  link.publish('a', '1')
  t.strictSame(seen, ['a1', 'a2', 'b3', 'a4'])
  t.end()
})

t.test('memory: a sink that throws is a warning, and the broker works on', (t) => {
  const sink = { ...recorder(), publication: (_: string, data: string) => { if (data === 'bad') throw new Error('oops'); sink.log.push(data) } }
  const link = new BrokerLink(memoryBroker(), { node }, sink)
  link.start()
  link.hold('a')
  link.publish('a', 'bad')
  link.publish('a', 'good')
  t.strictSame(sink.log, ['up', 'warning oops', 'good'])
  t.end()
})

t.test('memory: one broker serves one server', (t) => {
  const broker = memoryBroker()
  broker.start(recorder() as never, node)
  t.throws(() => broker.start(recorder() as never, node), { name: 'BrokerError' })
  t.end()
})

t.test('holds of a tick are one call, one per channel, at most 512 each', async (t) => {
  const { broker, link } = manual()
  const holds = []
  for (let i = 0; i < 600; i++) holds.push(link.hold(`c${i}`), link.hold(`c${i}`))
  t.equal(broker.calls.length, 0)
  await tick()
  t.strictSame(broker.calls.map((call) => [call.call, call.channels.length]), [['subscribe', 512], ['subscribe', 88]])
  for (const call of broker.calls) call.answer()
  await Promise.all(holds)
  t.equal(link.hold('c1'), undefined, 'the engine delivers it already')
  await link.stop()
})

t.test('a refused subscribe rejects every waiting hold with a BrokerError and can be tried again', async (t) => {
  const { broker, link } = manual()
  const holds = [link.hold('a'), link.hold('a'), link.hold('b')]
  await tick()
  broker.calls[0]!.answer(new Error('no permission'))
  for (const hold of holds) await t.rejects(hold as Promise<void>, { name: 'BrokerError', message: 'no permission' })
  const again = link.hold('a')
  await tick()
  t.strictSame(broker.calls[1]!.channels, ['a'])
  broker.calls[1]!.answer()
  await again
  await link.stop()
})

t.test('release: unsubscribed after the delay, unless held again; never two calls of a channel in flight', async (t) => {
  const { broker, link } = manual({ unsubscribeDelay: 40 })
  const held = link.hold('a')
  await tick()
  link.release('a')
  t.equal(link.hold('a'), held, 'the hold in flight serves')
  broker.calls[0]!.answer()
  await held
  link.release('a')
  await sleep(10)
  t.equal(link.hold('a'), undefined, 'held again in time')
  await sleep(60)
  t.equal(broker.calls.length, 1)
  link.release('a')
  link.release('a')
  while (broker.calls.length < 2) await sleep(5)
  t.strictSame([broker.calls[1]!.call, broker.calls[1]!.channels], ['unsubscribe', ['a']])
  const again = link.hold('a')
  await tick()
  await tick()
  t.equal(broker.calls.length, 2, 'waits for the unsubscribe in flight')
  broker.calls[1]!.answer()
  while (broker.calls.length < 3) await sleep(1)
  t.strictSame([broker.calls[2]!.call, broker.calls[2]!.channels], ['subscribe', ['a']])
  broker.calls[2]!.answer()
  await again
  await link.stop()
})

t.test('churn: ten thousand holds and releases of a channel cost one subscribe and one unsubscribe', async (t) => {
  const { broker, link } = manual({ unsubscribeDelay: 30 })
  for (let i = 0; i < 10_000; i++) {
    link.hold('a')
    link.release('a')
    if (i === 0) {
      await tick()
      broker.calls[0]!.answer()
      await tick()
    }
  }
  while (broker.calls.length < 2) await sleep(5)
  broker.calls[1]!.answer()
  await sleep(50)
  t.strictSame(broker.calls.map((call) => call.call), ['subscribe', 'unsubscribe'])
  await link.stop()
})

t.test('publishes: limits in flight, then busy; freed when the engine answers', async (t) => {
  const { broker, link } = manual({ maxInFlight: 3, maxInFlightBytes: 100 })
  const three = [link.publish('a', '1'), link.publish('a', '2'), link.publish('a', '3')]
  t.equal(link.inFlight, 3)
  await t.rejects(link.publish('a', '4') as Promise<void>, { name: 'BrokerError', code: 'SC_ERR_BROKER_BUSY' })
  broker.calls[0]!.answer()
  broker.calls[1]!.answer(new Error('x'))
  await three[0]
  await t.rejects(three[1] as Promise<void>)
  await tick()
  t.equal(link.inFlight, 1)
  const big = link.publish('a', 'x'.repeat(150))
  await t.rejects(link.publish('a', '5') as Promise<void>, { code: 'SC_ERR_BROKER_BUSY' })
  for (const call of broker.calls) call.answer()
  await big
  await tick()
  t.equal(link.inFlight, 0)
  t.equal(link.refused, 2)
  await link.stop()
})

t.test('down: publish, hold and control fail at once, the engine is not asked; states are told once', async (t) => {
  const { broker, sink, link } = manual()
  broker.sink.state('down', new Error('cut'))
  broker.sink.state('down', new Error('cut again'))
  for (const attempt of [link.publish('a', '1'), link.hold('a'), link.control('x')]) {
    await t.rejects(attempt as Promise<void>, { name: 'BrokerError', code: 'SC_ERR_BROKER_DOWN', message: /cut again/ })
  }
  t.equal(broker.calls.length, 0)
  broker.sink.state('up')
  broker.sink.gap(null)
  broker.sink.control('hello', 'n2')
  t.strictSame(sink.log, ['up', 'down: cut', 'up', 'gap *', 'control hello n2'])
  await link.stop()
})

t.test('stop: waiting holds fail, nothing reaches the sink, no timer is left', async (t) => {
  const { broker, sink, link } = manual()
  const a = link.hold('a')
  await tick()
  const b = link.hold('b')
  await link.stop()
  await t.rejects(a as Promise<void>, { name: 'BrokerError' })
  await t.rejects(b as Promise<void>, { name: 'BrokerError' })
  await tick()
  t.equal(broker.calls.length, 1)
  broker.sink.publication('a', '1')
  broker.sink.state('down')
  broker.sink.gap(null)
  broker.sink.control('x', 'n2')
  t.strictSame(sink.log, ['up'])
})
