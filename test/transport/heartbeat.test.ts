import t, { type Test } from 'tap'
import { Heartbeat } from '../../lib/transport/heartbeat.js'
import { Clock } from '../helpers/clock.js'

/** A connection that is pinged every 1,600 ms, 100 ms a slot. */
function setUp (t: Test, timeout = 4_000) {
  const clock = new Clock(t)
  const heartbeat = new Heartbeat(1_600, timeout)
  const log: unknown[] = []
  const make = (name = 'it', ping = (): void => {}) => {
    const target = {
      lastSeen: clock.now,
      heartbeatSlot: -1,
      ping () { log.push([name, 'ping', clock.now - 10_000]); ping() },
      pingTimedOut () { log.push([name, 'silent', clock.now - 10_000]); heartbeat.remove(target) },
      fault (err: unknown) { log.push([name, err]) }
    }
    heartbeat.add(target)
    return target
  }
  return { clock, heartbeat, log, make }
}

t.test('each is pinged once in an interval, the first time after a whole one', async (t) => {
  const { clock, log, make } = setUp(t, 100_000)
  make('a')
  await clock.advance(500)
  make('b')
  await clock.advance(4_500)
  t.strictSame(log, [['a', 'ping', 1_600], ['b', 'ping', 2_100], ['a', 'ping', 3_200], ['b', 'ping', 3_700], ['a', 'ping', 4_800]])
})

t.test('who is silent for the whole time is told so, not before', async (t) => {
  const { clock, log, make } = setUp(t)
  make()
  await clock.advance(3_950)
  t.strictSame(log.map((row: any) => row[1]), ['ping', 'ping'])
  await clock.advance(100)
  t.strictSame(log.at(-1), ['it', 'silent', 4_000])
  await clock.advance(10_000)
  t.equal(log.length, 3)
})

t.test('who answers is kept, and is watched again later', async (t) => {
  const { clock, log, make } = setUp(t)
  const target = make()
  for (let i = 0; i < 10; i++) {
    await clock.advance(1_600)
    target.lastSeen = clock.now
  }
  t.notOk(log.some((row: any) => row[1] === 'silent'))
  await clock.advance(4_100)
  t.strictSame(log.at(-1), ['it', 'silent', 20_000])
})

t.test('one whose time is shorter than an interval is watched from the beginning', async (t) => {
  const { clock, log, make } = setUp(t, 500)
  make()
  await clock.advance(600)
  t.strictSame(log, [['it', 'silent', 500]])
})

t.test('while this process was busy nobody is silent: what they sent may wait to be read', async (t) => {
  const { clock, log, make } = setUp(t, 500)
  const target = make()
  await clock.stall(700)
  t.strictSame(log, [])
  target.lastSeen = clock.now
  await clock.advance(400)
  t.strictSame(log, [])
  await clock.advance(200)
  t.equal((log.at(-1) as any)[1], 'silent')
})

t.test('a tick that is a little late judges as ever', async (t) => {
  const { clock, log, make } = setUp(t, 500)
  make()
  await clock.advance(400)
  await clock.stall(200)
  t.strictSame(log, [['it', 'silent', 600]])
})

t.test('a timer runs only while there is somebody', async (t) => {
  const { clock, heartbeat, make } = setUp(t)
  t.equal(clock.armed, 0)
  const [a, b] = [make('a'), make('b')]
  t.equal(clock.armed, 1)
  heartbeat.remove(a)
  heartbeat.remove(a)
  t.equal(clock.armed, 1)
  heartbeat.remove(b)
  t.equal(clock.armed, 0)
  make('c')
  t.equal(clock.armed, 1, 'and again')
  heartbeat.stop()
  heartbeat.stop()
  t.equal(clock.armed, 0)
})

t.test('who is gone is neither pinged nor judged', async (t) => {
  const { clock, heartbeat, log, make } = setUp(t, 500)
  const gone = make('gone')
  make('there').lastSeen = Infinity
  heartbeat.remove(gone)
  await clock.advance(2_000)
  t.strictSame(log, [['there', 'ping', 1_600]])
})

t.test('one that fails is told, and robs no other', async (t) => {
  const { clock, heartbeat, log, make } = setUp(t)
  const error = new Error('no')
  const bad = make('bad', () => { throw error })
  bad.pingTimedOut = () => { heartbeat.remove(bad); throw error }
  make('good')
  await clock.advance(4_100)
  t.strictSame(log, [
    ['bad', 'ping', 1_600], ['bad', error], ['good', 'ping', 1_600], ['bad', 'ping', 3_200], ['bad', error], ['good', 'ping', 3_200],
    ['bad', error], ['good', 'silent', 4_000]
  ])
})
