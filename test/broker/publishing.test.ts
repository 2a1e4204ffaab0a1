import { setImmediate as tick } from 'node:timers/promises'
import t from 'tap'
import { memoryBroker } from '../../lib/broker/memory.js'
import { maxPublicationLength } from '../../lib/broker/publication.js'
import { Publishing } from '../../lib/broker/publishing.js'
import { ManualBroker, recorder, upState } from './manual-broker.js'

function manual ({ maxInFlight = 100, maxInFlightBytes = 1_000 } = {}) {
  const broker = new ManualBroker()
  const state = upState()
  return { broker, state, publishing: new Publishing(broker, state, { maxInFlight, maxInFlightBytes }) }
}

t.test('publishes: limits in flight, then busy; freed when the engine answers', async (t) => {
  const { broker, publishing } = manual({ maxInFlight: 3, maxInFlightBytes: 100 })
  const three = [publishing.publish('a', '1'), publishing.publish('a', '2'), publishing.publish('a', '3')]
  t.equal(publishing.inFlight, 3)
  await t.rejects(publishing.publish('a', '4') as Promise<void>, { name: 'BrokerError', code: 'SC_ERR_BROKER_BUSY' })
  broker.calls[0]!.answer()
  broker.calls[1]!.answer(new Error('x'))
  await three[0]
  await t.rejects(three[1] as Promise<void>)
  await tick()
  t.equal(publishing.inFlight, 1)
  const big = publishing.publish('a', 'x'.repeat(150))
  await t.rejects(publishing.publish('a', '5') as Promise<void>, { code: 'SC_ERR_BROKER_BUSY' })
  for (const call of broker.calls) call.answer()
  await big
  await tick()
  t.equal(publishing.inFlight, 0)
  t.equal(publishing.refused, 2)
})

t.test('publishes that share a promise of the broker land together', async (t) => {
  const { broker, publishing } = manual()
  let land!: () => void
  const shared = new Promise<void>((resolve) => { land = resolve })
  broker.publish = () => shared
  for (let i = 0; i < 64; i++) t.equal(publishing.publish('a', '12345'), shared, { diagnostic: false })
  t.equal(publishing.inFlight, 64)
  land()
  await tick()
  t.equal(publishing.inFlight, 0)
})

t.test('refused at once, and counted: while the engine is down, and what is too large to travel', async (t) => {
  const { broker, state, publishing } = manual()
  const large = 'x'.repeat(maxPublicationLength + 1)
  await t.rejects(publishing.publish('a', large) as Promise<void>, { name: 'BrokerError', message: /at most 8388608 characters of JSON, got 8388609/ })
  state.change('down', new Error('cut'))
  const refusal = await (publishing.publish('a', '1') as Promise<void>).catch((err: Error) => err)
  t.match(refusal, { code: 'SC_ERR_BROKER_DOWN', message: /cut/ })
  t.notMatch((refusal as Error).stack, /\n +at /, 'without a stack')
  t.strictSame([publishing.refused, publishing.inFlight, broker.calls.length], [2, 0, 0])

  const memory = memoryBroker()
  memory.start({ ...recorder(), publication () {} }, { id: 'n1', prefix: 'sc' })
  t.equal(new Publishing(memory, upState(), { maxInFlight: 1, maxInFlightBytes: 1 }).publish('a', large), undefined, 'inside the process there is no such limit')
})
