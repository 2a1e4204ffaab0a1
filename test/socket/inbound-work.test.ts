import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { InboundWork } from '../../lib/socket/inbound-work.js'
import type { Session } from '../../lib/socket/session.js'
import { Clock } from '../helpers/clock.js'

/** A worker for whom each packet and each message takes a millisecond of a clock that stands still otherwise. */
function setUp (t: Test) {
  const clock = new Clock(t)
  const done: unknown[] = []
  const activity = { ended: false, working: false, held: 0, holdBytes (bytes: number) { this.held += bytes; return bytes }, release (bytes: number) { this.held -= bytes } }
  const session = { activity, fault (err: unknown) { done.push(err) } }
  const work: InboundWork = new InboundWork(session as unknown as Session, {
    packet (value, data) {
      clock.now++
      done.push([value, data])
      if (value instanceof Error) throw value
      if (value === 'drop') activity.ended = true
    },
    message (data) {
      clock.now++
      done.push(data)
      if (data === 'array') work.takeArray([1, 2], data)
    },
    workDone () { done.push('done') }
  })
  return { work, activity, done, take: () => done.splice(0) }
}

t.test('what fits into the slice is done at once; reading does not pause for it', async (t) => {
  const { work, activity, take } = setUp(t)
  work.takeArray([1, 2, 3], 'text')
  work.begin()
  t.strictSame(take(), [[1, 'text'], [2, 'text'], [3, 'text'], 'done'])
  t.notOk(activity.working)
  await turn()
})

t.test('the rest waits for the next turns, four milliseconds in each, and reading pauses; what comes behind keeps its order', async (t) => {
  const { work, activity, done, take } = setUp(t)
  work.takeArray([1, 2, 3, 4, 5, 6], 'text')
  work.begin()
  t.strictSame(take(), [[1, 'text'], [2, 'text'], [3, 'text'], [4, 'text']])
  t.ok(activity.working)
  work.addMessage('array')
  work.addMessage('last')
  t.equal(activity.held, ('array'.length + 'last'.length) * 2 + 2 * 128)
  work.closed(() => { done.push('closed') })
  await turn()
  t.strictSame(take(), [[5, 'text'], [6, 'text'], 'array', [1, 'array']])
  t.equal(activity.held, 'last'.length * 2 + 128, 'what is begun is held no more')
  t.ok(activity.working)
  await turn()
  t.strictSame(take(), [[2, 'array'], 'last', 'done', 'closed'], 'the close comes after what was sent before it')
  t.notOk(activity.working)
  t.equal(activity.held, 0)
})

t.test('what had its share of the turn begins in the next one', async (t) => {
  const { work, activity, take } = setUp(t)
  work.beginLater()
  work.addMessage('a')
  t.ok(activity.working)
  t.strictSame(take(), [])
  await turn()
  t.strictSame(take(), ['a', 'done'])
  t.notOk(activity.working)
})

t.test('a connection that is gone does no more; what follows from its close does', async (t) => {
  const { work, done, take } = setUp(t)
  work.takeArray([1, 'drop', 3], 'text')
  work.addMessage('behind')
  work.closed(() => { done.push('closed') })
  work.begin()
  t.strictSame(take(), [[1, 'text'], ['drop', 'text'], 'done', 'closed'])
  await turn()
  t.strictSame(take(), [])
})

t.test('what a packet throws is a fault of the session, and its work ends', async (t) => {
  const { work, take } = setUp(t)
  const err = new Error('thrown')
  work.takeArray([1, err, 3], 'text')
  work.begin()
  t.strictSame(take(), [[1, 'text'], [err, 'text'], err])
  await turn()
  t.strictSame(take(), [])
})
