import { setTimeout as sleep, setImmediate as tick } from 'node:timers/promises'
import t from 'tap'
import { Subscriptions } from '../../lib/broker/subscriptions.js'
import { ManualBroker, upState } from './manual-broker.js'

function manual ({ unsubscribeDelay = 1_000 } = {}) {
  const broker = new ManualBroker()
  const state = upState()
  const warnings: string[] = []
  const subscriptions = new Subscriptions(broker, state, unsubscribeDelay, (err) => { warnings.push(err.message) })
  const stop = (): void => {
    state.stop()
    subscriptions.stop()
  }
  return { broker, state, subscriptions, warnings, stop }
}

t.test('holds of a tick are one call, one per channel, at most 512 each', async (t) => {
  const { broker, subscriptions, stop } = manual()
  const holds = []
  for (let i = 0; i < 600; i++) holds.push(subscriptions.hold(`c${i}`), subscriptions.hold(`c${i}`))
  t.equal(broker.calls.length, 0)
  await tick()
  t.strictSame(broker.calls.map((call) => [call.call, call.channels.length]), [['subscribe', 512], ['subscribe', 88]])
  for (const call of broker.calls) call.answer()
  await Promise.all(holds)
  t.equal(subscriptions.hold('c1'), undefined, 'the engine delivers it already')
  stop()
})

t.test('a refused subscribe rejects every waiting hold with a BrokerError and can be tried again', async (t) => {
  const { broker, subscriptions, stop } = manual()
  const holds = [subscriptions.hold('a'), subscriptions.hold('a'), subscriptions.hold('b')]
  await tick()
  broker.calls[0]!.answer(new Error('no permission'))
  for (const hold of holds) await t.rejects(hold as Promise<void>, { name: 'BrokerError', message: 'no permission' })
  const again = subscriptions.hold('a')
  await tick()
  t.strictSame(broker.calls[1]!.channels, ['a'])
  broker.calls[1]!.answer()
  await again
  stop()
})

t.test('release: unsubscribed after the delay, unless held again; never two calls of a channel in flight', async (t) => {
  const { broker, subscriptions, stop } = manual({ unsubscribeDelay: 500 })
  const held = subscriptions.hold('a')
  await tick()
  subscriptions.release('a')
  t.equal(subscriptions.hold('a'), held, 'the hold in flight serves')
  broker.calls[0]!.answer()
  await held
  subscriptions.release('a')
  await sleep(10)
  t.equal(subscriptions.hold('a'), undefined, 'held again in time')
  await sleep(600)
  t.equal(broker.calls.length, 1)
  subscriptions.release('a')
  subscriptions.release('a')
  while (broker.calls.length < 2) await sleep(5)
  t.strictSame([broker.calls[1]!.call, broker.calls[1]!.channels], ['unsubscribe', ['a']])
  const again = subscriptions.hold('a')
  await tick()
  await tick()
  t.equal(broker.calls.length, 2, 'waits for the unsubscribe in flight')
  broker.calls[1]!.answer()
  while (broker.calls.length < 3) await sleep(1)
  t.strictSame([broker.calls[2]!.call, broker.calls[2]!.channels], ['subscribe', ['a']])
  broker.calls[2]!.answer()
  await again
  stop()
})

t.test('churn: ten thousand holds and releases of a channel cost one subscribe and one unsubscribe', async (t) => {
  const { broker, subscriptions, stop } = manual({ unsubscribeDelay: 30 })
  for (let i = 0; i < 10_000; i++) {
    subscriptions.hold('a')
    subscriptions.release('a')
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
  stop()
})

t.test('while the engine is down no new channel is asked for; one that was confirmed stays held', async (t) => {
  const { broker, state, subscriptions, stop } = manual()
  const held = subscriptions.hold('a')
  await tick()
  broker.calls[0]!.answer()
  await held
  state.change('down', new Error('cut'))
  await t.rejects(subscriptions.hold('b') as Promise<void>, { code: 'SC_ERR_BROKER_DOWN', message: /cut/ })
  t.equal(subscriptions.hold('a'), undefined, 'the broker subscribes it again by itself')
  await tick()
  t.equal(broker.calls.length, 1)
  stop()
})

t.test('an unsubscribe that fails is a warning while the engine is up, and the channel is let go', async (t) => {
  const { broker, state, subscriptions, warnings, stop } = manual({ unsubscribeDelay: 1 })
  for (const up of [true, false]) {
    state.change('up')
    const held = subscriptions.hold('a')
    await tick()
    broker.calls.at(-1)!.answer()
    await held
    subscriptions.release('a')
    const before = broker.calls.length
    while (broker.calls.length === before) await sleep(1)
    if (!up) state.change('down')
    broker.calls.at(-1)!.answer(new Error('no'))
    await tick()
    t.strictSame(warnings, ['no'], up ? 'told' : 'of an engine that is down nothing else is expected')
  }
  stop()
})

t.test('a broker that throws refuses, and one that answers at once is as good as one that answers later', async (t) => {
  const throwing = manual()
  throwing.broker.subscribe = () => { throw new Error('thrown') }
  await t.rejects(throwing.subscriptions.hold('a') as Promise<void>, { name: 'BrokerError', message: 'thrown' })
  throwing.stop()
  const quick = manual({ unsubscribeDelay: 1 })
  const asked: string[] = []
  quick.broker.subscribe = (channels): any => { asked.push(`+${channels[0]}`) }
  quick.broker.unsubscribe = (channels): any => { asked.push(`-${channels[0]}`) }
  await quick.subscriptions.hold('a')
  quick.subscriptions.release('a')
  while (asked.length < 2) await sleep(1)
  t.strictSame(asked, ['+a', '-a'])
  quick.stop()
})
