// Subscriptions that came while the broker cannot be reached: they wait for it, within bounds.
import t from 'tap'
import { Deadlines } from '../../lib/deadlines.js'
import { BrokerWaits, type WaitEnd } from '../../lib/handlers/broker-waits.js'
import type { Session } from '../../lib/socket/session.js'
import { Clock } from '../helpers/clock.js'
import { matchEach } from '../helpers/match-each.js'
import { setUpManual, turn } from './parts.js'

/** Sockets that tell whether they count as waiting for what is not their client's affair. */
function fakeSession () {
  const log: string[] = []
  const faults: unknown[] = []
  const session = { state: 'open', activity: { excuse: () => { log.push('excused') }, include: () => { log.push('included') } }, fault: (err: unknown) => { faults.push(err) } }
  return { session: session as never as Session, log, faults, close: () => { session.state = 'closed' } }
}

t.test('a wait settles when the broker is up, and its socket is read on meanwhile', async (t) => {
  const waits = new BrokerWaits(new Deadlines(1_000))
  const { session, log } = fakeSession()
  const wait = waits.begin(session, 'a')!
  t.equal(waits.size, 1)
  const first = wait.untilUp()
  t.strictSame(log, ['excused'])
  waits.up()
  t.strictSame([await first, log, waits.size, wait.ended], ['up', ['excused', 'included'], 1, null], 'it may have to wait once more')
  waits.up()
  t.strictSame(log, ['excused', 'included'], 'nobody waits')
  const second = wait.untilUp()
  waits.up()
  t.equal(await second, 'up')
  waits.done(wait)
  waits.done(wait)
  t.equal(waits.size, 0)
})

t.test('its time runs on while the broker is asked again, and is over once', async (t) => {
  const clock = new Clock(t)
  const waits = new BrokerWaits(new Deadlines(1_000))
  const { session, log } = fakeSession()
  const wait = waits.begin(session, 'a')!
  const first = wait.untilUp()
  await clock.advance(600)
  waits.up()
  await first
  const second = wait.untilUp()
  await clock.advance(600)
  t.strictSame([await second, wait.ended, await wait.untilUp()], ['late', 'late', 'late'])
  wait.end('closed')
  t.equal(wait.ended, 'late')
  t.strictSame(log, ['excused', 'included', 'excused', 'included'])
  waits.done(wait)
  await clock.advance(10_000)
  t.strictSame([waits.size, clock.armed], [0, 0])
})

t.test('one that is done has no time any more', async (t) => {
  const clock = new Clock(t)
  const waits = new BrokerWaits(new Deadlines(1_000))
  const wait = waits.begin(fakeSession().session, 'a')!
  waits.done(wait)
  await clock.advance(5_000)
  t.equal(wait.ended, null)
})

t.test('all that wait are woken, of every socket', async (t) => {
  const waits = new BrokerWaits(new Deadlines(1_000))
  const sockets = [fakeSession().session, fakeSession().session]
  const ends = sockets.flatMap((session) => ['a', 'b'].map((channel) => waits.begin(session, channel)!.untilUp()))
  t.equal(waits.size, 4)
  waits.up()
  t.strictSame(await Promise.all(ends), ['up', 'up', 'up', 'up'])
})

t.test('nobody waits where that is turned off, who is gone, or beyond the number that fits', async (t) => {
  const { session, close } = fakeSession()
  t.equal(new BrokerWaits(new Deadlines(0)).begin(session, 'a'), null)
  const waits = new BrokerWaits(new Deadlines(1_000))
  const some = Array.from({ length: 50_000 }, (_, n) => waits.begin(session, `channel ${n}`))
  t.notOk(some.includes(null))
  t.equal(waits.begin(session, 'one more'), null)
  waits.done(some[0]!)
  const next = waits.begin(session, 'one more')
  t.ok(next)
  for (const wait of [...some.slice(1), next]) waits.done(wait!)
  t.equal(waits.size, 0)
  close()
  t.equal(waits.begin(session, 'a'), null)
})

t.test('a socket that is gone waits no more, and no other is touched', async (t) => {
  const waits = new BrokerWaits(new Deadlines(1_000))
  const [ada, bob] = [fakeSession(), fakeSession()]
  const ends: WaitEnd[] = []
  for (const { session } of [ada, bob]) waits.begin(session, 'a')!.untilUp().then((why) => ends.push(why))
  waits.closed(ada.session)
  waits.closed(fakeSession().session)
  await turn()
  t.strictSame(ends, ['closed'])
  waits.up()
  await turn()
  t.strictSame(ends, ['closed', 'up'])
})

t.test('an unsubscribe that waits for its turn ends what waits before it, and keeps others from waiting', async (t) => {
  const waits = new BrokerWaits(new Deadlines(1_000))
  const { session } = fakeSession()
  const wait = waits.begin(session, 'a')!
  const end = wait.untilUp()
  const other = waits.begin(session, 'b')!
  waits.leaving(session, 'a')
  t.equal(await end, 'left')
  waits.done(wait)
  t.strictSame([other.ended, waits.size], [null, 1])
  t.equal(waits.begin(session, 'a'), null, 'a subscribe in between')
  t.equal(waits.left(session, 'a'), true, 'one was given up for it')
  t.equal(waits.left(session, 'a'), false, 'once')
  t.ok(waits.begin(session, 'a'), 'a subscribe that comes after it may wait')
})

t.test('each of several unsubscribes is told of what was given up for it', async (t) => {
  const waits = new BrokerWaits(new Deadlines(1_000))
  const { session } = fakeSession()
  for (const channel of ['a', 'a', 'b']) waits.leaving(session, channel)
  t.equal(waits.left(session, 'a'), false, 'nothing was given up')
  t.equal(waits.begin(session, 'a'), null)
  t.ok(waits.begin(session, 'c'))
  t.equal(waits.left(session, 'a'), true)
  t.equal(waits.left(session, 'b'), false)
  t.equal(waits.left(session, 'b'), false)
  waits.leaving(session, 'a')
  waits.closed(session)
  t.equal(waits.left(session, 'a'), false, 'of a socket that is gone nothing is kept')
})

t.test('while the broker is down a subscribe waits, and is answered when it is up', async (t) => {
  const { enter, core, broker, answer } = await setUpManual(t, { socketChannelLimit: 2 })
  const ada = (await enter()).hear('subscribe', 'error')
  broker.sink.state('down')
  ada.say('#subscribe', 'a', 1)
  await turn()
  t.strictSame([ada.told, core.brokerWaits.size, ada.session.activity.waiting, ada.session.subscriptions.joining], [[], 1, 0, 1])
  ada.say('#subscribe', 'b', 2)
  t.match((await ada.call('#subscribe', 'c')).error, { code: 'SC_ERR_CHANNEL_LIMIT' }, 'those that wait count')
  broker.sink.state('up')
  await turn()
  t.strictSame([ada.told, ada.session.activity.waiting], [[], 2], 'the engine is asked')
  await answer()
  t.strictSame([ada.told, core.brokerWaits.size, ada.session.subscriptions.joining], [[{ rid: 1 }, { rid: 2 }], 0, 0])
  t.strictSame(ada.socket.subscriptions(), ['a', 'b'])
})

t.test('one that goes down again makes it wait on; one that refuses then fails it', async (t) => {
  const { enter, core, broker, answer } = await setUpManual(t, {})
  const ada = await enter()
  broker.sink.state('down')
  ada.say('#subscribe', 'a', 1)
  await turn()
  for (let n = 0; n < 2; n++) {
    broker.sink.state('up')
    broker.sink.state('down')
    await turn()
    t.strictSame([ada.told, core.brokerWaits.size, ada.session.subscriptions.joining], [[], 1, 1])
  }
  broker.sink.state('up')
  await answer(new Error('not for you'))
  matchEach(t, ada.told, [{ rid: 1, error: { name: 'BrokerError', message: 'Failed to subscribe socket to the a channel' } }])
  t.strictSame([core.brokerWaits.size, ada.session.subscriptions.joining, core.hub.channelCount], [0, 0, 0])
})

t.test('a wait that is over fails the subscribe with why the broker is down', async (t) => {
  const { enter, core, broker, warnings } = await setUpManual(t, { subscribeTimeout: 1_000 })
  const clock = new Clock(t)
  const ada = (await enter()).hear('error')
  broker.sink.state('down')
  ada.say('#subscribe', 'a', 1)
  await clock.advance(2_000)
  matchEach(t, ada.told, [{ rid: 1, error: { name: 'BrokerError', message: 'Failed to subscribe socket to the a channel' } }])
  matchEach(t, ada.events, [['error', { code: 'SC_ERR_SUBSCRIBE', cause: { code: 'SC_ERR_BROKER_DOWN' } }]])
  t.strictSame([warnings.length, core.brokerWaits.size, ada.session.subscriptions.joining], [1, 0, 0])
})

t.test('one that may not wait fails at once', async (t) => {
  const { enter, core, broker } = await setUpManual(t, { subscribeTimeout: 0 })
  const ada = await enter()
  broker.sink.state('down')
  t.match((await ada.call('#subscribe', 'a')).error, { name: 'BrokerError' })
  t.strictSame([core.brokerWaits.size, ada.session.subscriptions.joining], [0, 0])
})

t.test('a client that gives up what waits is answered as if it had been there, and nobody is warned', async (t) => {
  const { enter, core, broker, warnings } = await setUpManual(t, {})
  const ada = (await enter()).hear('subscribe', 'unsubscribe', 'error')
  broker.sink.state('down')
  ada.say('#subscribe', 'a', 1)
  ada.say('#subscribe', 'b')
  await turn()
  ada.say('#unsubscribe', 'a', 2)
  ada.say('#unsubscribe', 'b')
  await turn()
  matchEach(t, ada.told, [{ rid: 1, error: { name: 'BrokerError', message: 'Failed to subscribe socket to the a channel - it was unsubscribed meanwhile' } }, { rid: 2 }])
  t.strictSame([ada.events, warnings, core.brokerWaits.size, ada.session.subscriptions.joining], [[], [], 0, 0])
  t.match((await ada.call('#unsubscribe', 'a')).error, { code: 'SC_ERR_NOT_SUBSCRIBED' })
})

t.test('who left while it waited is told nothing, and nothing is left', async (t) => {
  const { enter, core, broker, warnings } = await setUpManual(t, {})
  const ada = (await enter()).hear('subscribe', 'error')
  broker.sink.state('down')
  for (const channel of ['a', 'b']) ada.say('#subscribe', channel, channel)
  await turn()
  ada.session.end(1000)
  await turn()
  broker.sink.state('up')
  await turn()
  t.strictSame([ada.told, ada.events, warnings, core.brokerWaits.size, ada.session.subscriptions.joining, core.hub.channelCount], [[], [], [], 0, 0, 0])
})
