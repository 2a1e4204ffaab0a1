import t from 'tap'
import { Deadlines } from '../../lib/deadlines.js'
import { type CallCallback, Calls, tell } from '../../lib/socket/calls.js'
import { Clock } from '../helpers/clock.js'

const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const none = new Deadlines(0)

function setUp () {
  const thrown: unknown[] = []
  const answers: unknown[] = []
  const calls = new Calls((err) => thrown.push(err))
  const callback: CallCallback = (err, data) => { answers.push(err === null ? data : err) }
  return { calls, thrown, answers, callback }
}

t.test('each call has an id of its own, and is answered once', async (t) => {
  const { calls, answers, callback } = setUp()
  t.strictSame([calls.open('a', callback, none), calls.open('b', callback, none)], [1, 2])
  t.strictSame([calls.has(1), calls.has(2), calls.has(3), calls.has('1')], [true, true, false, false])
  t.equal(calls.settle(2, null, 'two'), true)
  t.equal(calls.settle(2, null, 'again'), false)
  t.equal(calls.has(2), false)
  const error = new Error('no')
  t.equal(calls.settle(1, error, undefined), true)
  t.equal(calls.settle(9, null, 'nobody'), false)
  t.strictSame(answers, ['two', error])
})

t.test('a call that is not answered in time fails, and an answer is too late then', async (t) => {
  const clock = new Clock(t)
  const { calls, answers, callback } = setUp()
  const deadlines = new Deadlines(100)
  calls.open('slow', callback, deadlines)
  calls.open('quick', callback, deadlines)
  calls.settle(2, null, 'in time')
  await clock.advance(1_000)
  t.equal(answers.length, 2)
  t.match(answers[1], { code: 'SC_ERR_ACK_TIMEOUT', name: 'TimeoutError', message: /slow/ })
  t.equal(calls.settle(1, null, 'late'), false)
})

t.test('what a callback throws or rejects with is told, and goes no further', async (t) => {
  const clock = new Clock(t)
  const { calls, thrown } = setUp()
  const error = new Error('no')
  calls.open('a', () => { throw error }, none)
  calls.open('b', async () => { throw error }, none)
  calls.open('c', () => { throw error }, new Deadlines(10))
  calls.settle(1, null, 1)
  t.strictSame(thrown, [error])
  calls.settle(2, null, 1)
  await turn()
  t.equal(thrown.length, 2)
  await clock.advance(100)
  t.strictSame(thrown, [error, error, error])
  const told: unknown[] = []
  tell((err, data) => { told.push(err, data) }, error, 7, () => t.fail('nothing was thrown'))
  t.strictSame(told, [error, 7])
})

t.test('when the connection is gone all fail, those that are made meanwhile excepted', async (t) => {
  const { calls, answers, callback } = setUp()
  calls.open('a', (err, data) => { callback(err, data); calls.open('later', callback, none) }, none)
  calls.open('b', callback, none)
  calls.abort('connectAbort', 4009, 'why')
  t.match(answers, [
    { name: 'BadConnectionError', message: /'a'/, code: 4009, type: 'connectAbort', reason: 'why' },
    { name: 'BadConnectionError', message: /'b'/, code: 4009, type: 'connectAbort', reason: 'why' }
  ])
  t.equal(calls.has(3), true)
})
