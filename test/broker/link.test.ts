import t from 'tap'
import { setImmediate as tick } from 'node:timers/promises'
import { BrokerLink } from '../../lib/broker/link.js'
import { memoryBroker } from '../../lib/broker/memory.js'
import type { Broker, BrokerSink, MaybePromise } from '../../types/broker.js'
import { ManualBroker, recorder } from './manual-broker.js'

const node = { id: 'n1', prefix: 'sc' }

function manual () {
  const broker = new ManualBroker()
  const sink = recorder()
  const link = new BrokerLink(broker, { node }, sink)
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

// A broker is the application's own code as a rule: what it throws, rejects with or returns instead of a promise reaches whoever waits, and nobody else.
const misbehaviours: Record<string, { act: () => any, fails: boolean }> = {
  throws: { act: () => { throw new Error('no') }, fails: true },
  rejects: { act: () => Promise.reject(new Error('no')), fails: true },
  'answers with a rejecting thenable': { act: () => ({ then: (_: unknown, reject: (err: Error) => void) => reject(new Error('no')) }), fails: true },
  'has a then that throws': { act: () => ({ then () { throw new Error('no') } }), fails: true },
  'answers with a thenable': { act: () => ({ then: (resolve: () => void) => resolve() }), fails: false },
  'answers true': { act: () => true, fails: false },
  'answers 0': { act: () => 0, fails: false },
  'answers null': { act: () => null, fails: false },
  'cannot be looked at': { act: () => new Proxy({}, { get () { throw new Error('trap') } }), fails: false }
}
for (const [name, { act, fails }] of Object.entries({ ...misbehaviours, 'never answers': { act: () => new Promise<void>(() => {}), fails: true } })) {
  t.test(`a broker that ${name} when it is to stop`, async (t) => {
    const sink = recorder()
    const broker = { name: 'mine', shared: true, start (sink: BrokerSink) { sink.state('up') }, stop: act } as unknown as Broker
    const link = new BrokerLink(broker, { node, stopTimeout: 10 }, sink)
    await link.start()
    await t.resolves(Promise.resolve(link.stop()))
    t.equal(sink.log.length, fails ? 2 : 1, sink.log.join())
    if (fails) t.match(sink.log[1], /^warning .*(no|mine did not stop within 10 ms)/)
  })
}

t.test('a broker whose counters cannot be read', (t) => {
  const { broker, sink, link } = manual()
  Object.assign(broker, { stats () { throw new Error('no') } })
  t.equal(link.stats(), undefined)
  t.match(sink.log, ['up', /^warning .*no/])
  t.end()
})

for (const shared of [true, false]) {
  for (const [name, { act, fails }] of Object.entries(misbehaviours)) {
    t.test(`a broker ${shared ? 'between processes' : 'inside the process'} that ${name}`, async (t) => {
      const sink = recorder()
      const broker = { name: 'mine', shared, start (sink: BrokerSink) { sink.state('up') }, subscribe: act, unsubscribe: act, publish: act, control: act, stop () {} } as Broker
      const link = new BrokerLink(broker, { node, unsubscribeDelay: 1 }, sink)
      await link.start()
      const uncaught: unknown[] = []
      const onUncaught = (err: unknown): void => { uncaught.push(err) }
      process.on('unhandledRejection', onUncaught)
      t.teardown(() => process.off('unhandledRejection', onUncaught))
      for (const [call, ask] of Object.entries({ control: () => link.control('x', 'n2'), publish: () => link.publish('a', '1'), hold: () => link.hold('a') })) {
        let answer!: MaybePromise<void>
        t.doesNotThrow(() => { answer = ask() }, `${call} throws nothing at once`)
        if (fails) await t.rejects(answer as Promise<void>, { message: /no/ }, call)
        else await t.resolves(Promise.resolve(answer), call)
      }
      await tick()
      t.equal(link.inFlight, 0, 'nothing counts as under way')
      t.doesNotThrow(() => link.release('a'))
      await new Promise((resolve) => setTimeout(resolve, 20))
      t.strictSame(uncaught, [])
      await link.stop()
    })
  }
}
