import t from 'tap'
import { EngineState } from '../../lib/broker/engine-state.js'
import { GuardedSink } from '../../lib/broker/guarded-sink.js'
import { ManualBroker, recorder } from './manual-broker.js'

function start () {
  const state = new EngineState('manual')
  const owner = recorder()
  return { state, owner, sink: new GuardedSink(new ManualBroker(), state, owner) }
}

t.test('publications: JSON, or known', (t) => {
  const { owner, sink } = start()
  sink.publication('a', '{"x":1}')
  sink.publication('a', '')
  sink.publication('a', 'made by this server', true)
  sink.publication('a', '1},{')
  sink.publication('a', '1},{')
  t.match(owner.log, ['a={"x":1}', 'a=', 'a=made by this server', /^warning Dropped.*not one JSON value/])
  t.strictSame([sink.unreadable, owner.log.length], [2, 4], 'counted each time, told once')
  t.end()
})

t.test('a state is told when it changes, with its cause', (t) => {
  const { state, owner, sink } = start()
  sink.state('down', new Error('before the first time'))
  t.match(state.error(), { code: 'SC_ERR_BROKER_DOWN', message: /before the first time/ })
  sink.state('up')
  sink.state('up')
  t.equal(state.cause, undefined)
  sink.state('down', new Error('cut'))
  sink.state('down')
  t.equal(state.cause!.message, 'cut', 'who says nothing has the same cause')
  t.strictSame(owner.log, ['up', 'down: cut'])
  t.end()
})

t.test('what the owner throws is a warning', (t) => {
  const warnings: string[] = []
  const fail = (): never => { throw new Error('oops') }
  const sink = new GuardedSink(new ManualBroker(), new EngineState('manual'), { publication: fail, state: fail, gap: fail, control: fail, warning: (err) => { warnings.push(err.message) } })
  sink.publication('a', '1')
  sink.state('up')
  sink.gap(null)
  sink.control('x', 'n2')
  t.strictSame(warnings, ['oops', 'oops', 'oops', 'oops'])
  t.end()
})

t.test('reasons are told once each, up to a number that no broker has', (t) => {
  const { owner, sink } = start()
  for (let i = 0; i < 1_000; i++) sink.dropped(`reason ${i % 100}`)
  t.equal(owner.log.length, 32)
  t.equal(new Set(owner.log).size, 32)
  t.end()
})

t.test('after the end nothing comes through', (t) => {
  const { state, owner, sink } = start()
  state.stop()
  sink.publication('a', '1')
  sink.publication('a', 'no JSON')
  sink.state('up')
  sink.gap(null)
  sink.control('x', 'n2')
  sink.dropped('reason')
  t.strictSame([owner.log, state.current, state.error().message], [[], 'down', 'The manual broker is down: stopped'])
  t.end()
})

t.test('a broker may hand the functions on, one by one or in an object of its own', (t) => {
  const { owner, sink } = start()
  const { publication, state } = sink
  state('up')
  publication('a', '1')
  const { gap, control, dropped } = { ...sink }
  gap('a')
  control('x', 'n2')
  dropped('something')
  t.match(owner.log, ['up', 'a=1', 'gap a', 'control x n2', /something/])
  t.end()
})
