import t from 'tap'
import { Activity, Owed } from '../../lib/socket/activity.js'
import { Holdings } from '../../lib/transport/holdings.js'
import { Clock } from '../helpers/clock.js'

class Answer extends Owed {
  cancelled = 0
  expire (): void {}
  fault (): void {}
  override cancel (): void { this.cancelled++ }
}

/** What one socket has under way, and whether it is read. */
function setUp (limit = 4, byteLimit = 10_000) {
  const log: string[] = []
  const holdings = new Holdings(0, () => {})
  const activity = new Activity(limit, byteLimit, { holdings, pause: () => { log.push('pause') }, resume: () => { log.push('resume') } })
  return { activity, log, holdings }
}

t.test('reading pauses when as many actions wait as the limit, and goes on when half of them are done', async (t) => {
  const { activity, log } = setUp()
  const bytes = [1, 2, 3].map(() => activity.beginWaiting(null))
  t.strictSame([log, activity.paused], [[], false])
  bytes.push(activity.beginWaiting(null))
  t.strictSame([log, activity.paused, activity.waiting], [['pause'], true, 4])
  bytes.push(activity.beginWaiting(null))
  for (const expected of [['pause'], ['pause'], ['pause', 'resume'], ['pause', 'resume']]) {
    activity.endWaiting(bytes.pop()!)
    t.strictSame(log, expected, `${activity.waiting} left`)
  }
  t.equal(activity.resumed, true)
  t.equal(activity.paused, false)
})

t.test('and when as many bytes are held as the limit of bytes', async (t) => {
  const { activity, log, holdings } = setUp(0, 1_000)
  activity.holdBytes(999)
  t.strictSame(log, [])
  activity.holdBytes(1)
  t.strictSame([log, activity.heldBytes, holdings.total], [['pause'], 1_000, 1_000])
  activity.release(499)
  t.strictSame(log, ['pause'])
  activity.release(1)
  t.strictSame([log, holdings.total], [['pause', 'resume'], 500])
})

t.test('0 is no limit', async (t) => {
  const { activity, log } = setUp(0, 0)
  for (let i = 0; i < 100; i++) activity.beginWaiting('x'.repeat(10_000))
  activity.holdBytes(1e12)
  t.strictSame([log, activity.overrun], [[], false])
})

t.test('data counts by its size, and each action for more than that', async (t) => {
  const { activity } = setUp()
  const [small, large] = [activity.hold(null), activity.hold('x'.repeat(1_000))]
  t.ok(small >= 256)
  t.ok(large >= small + 1_000)
  t.equal(activity.heldBytes, small + large)
})

t.test('who sends faster than it is read is overrun', async (t) => {
  const { activity } = setUp(4, 1_000)
  activity.holdBytes(1_000 + 1_048_576)
  t.equal(activity.overrun, false)
  activity.holdBytes(1)
  t.equal(activity.overrun, true)
})

t.test('an action that is excused holds up nothing till it is under way again', async (t) => {
  const { activity, log } = setUp(2)
  const bytes = activity.beginWaiting(null)
  activity.excuse()
  t.strictSame([activity.waiting, activity.heldBytes], [0, bytes])
  activity.beginWaiting(null)
  t.strictSame(log, [])
  activity.include()
  t.strictSame([log, activity.waiting], [['pause'], 2])
})

t.test('each reason pauses by itself; reading goes on when none is left', async (t) => {
  for (const [first, second] of [['overRate', 'working'], ['working', 'overRate']] as const) {
    const { activity, log } = setUp(1)
    activity[first] = false
    activity[first] = true
    activity[first] = true
    t.strictSame([log, activity[first], activity[second], activity.paused], [['pause'], true, false, true])
    activity[second] = true
    const bytes = activity.beginWaiting(null)
    t.strictSame(log, ['pause'], 'it pauses once')
    activity[first] = false
    activity.endWaiting(bytes)
    t.strictSame([log, activity.resumed, activity.paused], [['pause'], false, true])
    activity[second] = false
    t.strictSame([log, activity.resumed, activity.paused], [['pause', 'resume'], true, false])
  }
})

t.test('when something was last done is known while reading waits for it', async (t) => {
  const clock = new Clock(t)
  const { activity } = setUp(2)
  t.equal(activity.progressAt, Infinity)
  const bytes = activity.beginWaiting(null)
  t.equal(activity.progressAt, Infinity)
  clock.now += 5
  activity.beginWaiting(null)
  t.equal(activity.progressAt, clock.now)
  clock.now += 5
  activity.beginWaiting(null)
  t.equal(activity.progressAt, clock.now - 5, 'more work is no progress')
  activity.endWaiting(bytes)
  t.equal(activity.progressAt, clock.now)
})

t.test('answers that are owed count with their data, till they are given', async (t) => {
  const { activity, holdings } = setUp()
  const answers = ['a', 'b', 'c'].map(() => new Answer())
  for (const answer of answers) activity.keep(answer, null)
  const each = activity.heldBytes / 3
  const never = new Answer()
  activity.forget(never)
  t.equal(activity.heldBytes, each * 3, 'one that was never kept changes nothing')
  activity.forget(answers[1]!)
  activity.forget(answers[1]!)
  t.strictSame([activity.heldBytes, holdings.total], [each * 2, each * 2])
  activity.end()
  t.strictSame(answers.map(({ cancelled }) => cancelled), [1, 0, 1], 'those that are left are let go')
  t.strictSame([activity.heldBytes, holdings.total], [0, 0])
})

t.test('they are forgotten in any order', async (t) => {
  for (const order of [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1]]) {
    const { activity } = setUp()
    const answers = [0, 1, 2].map(() => new Answer())
    for (const answer of answers) activity.keep(answer, null)
    activity.forget(answers[order[0]!]!)
    activity.forget(answers[order[1]!]!)
    const left = answers[order[2]!]!
    t.strictSame([left.priorOwed, left.nextOwed], [null, null])
    activity.end()
    t.strictSame(answers.map((answer) => answer.cancelled), answers.map((answer) => answer === left ? 1 : 0))
  }
})

t.test('it is quiet when no action waits and no answer is owed', async (t) => {
  const { activity } = setUp()
  await activity.whenQuiet()
  const bytes = activity.beginWaiting(null)
  activity.beginOwing()
  let quiet = false
  const waiting = activity.whenQuiet().then(() => { quiet = true })
  activity.endWaiting(bytes)
  await new Promise(setImmediate)
  t.strictSame([quiet, activity.isQuiet, activity.owed], [false, false, 1])
  activity.endOwing()
  await waiting
  t.strictSame([activity.isQuiet, activity.owed], [true, 0])
  activity.beginOwing()
  activity.endOwing()
  activity.beginOwing()
  const again = activity.whenQuiet()
  activity.endOwing()
  await again
  const other = activity.beginWaiting(null)
  t.equal(activity.isQuiet, false, 'an action waits')
  const last = activity.whenQuiet()
  activity.endWaiting(other)
  await last
})

t.test('when the connection is gone nothing is counted any more', async (t) => {
  const { activity, holdings, log } = setUp(1)
  const bytes = activity.beginWaiting(null)
  activity.end()
  activity.end()
  t.strictSame([activity.ended, activity.heldBytes, holdings.total, activity.progressAt, activity.paused], [true, 0, 0, Infinity, false])
  const late = new Answer()
  activity.keep(late, null)
  t.equal(late.heldBytes, 0)
  t.equal(activity.hold('x'), 0)
  activity.endWaiting(bytes)
  t.strictSame([activity.heldBytes, holdings.total, activity.waiting, log], [0, 0, 0, ['pause']])
})
