import t from 'tap'
import { KeyedQueue } from '../../lib/socket/keyed-queue.js'

const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A queue, what its actions did, and what its observer and its owner were told. */
function setUp () {
  const log: unknown[] = []
  const faults: unknown[] = []
  let bytes = 0
  let held = 0
  const queue = new KeyedQueue({ fault: (err) => { faults.push(err) } }, {
    beginWaiting: () => { held += ++bytes; return bytes },
    endWaiting: (size) => { held -= size }
  })
  /** An action that goes on until it is told. */
  const slow = (name: string) => {
    let done!: () => void
    let fail!: (err: unknown) => void
    const running = new Promise<void>((resolve, reject) => { done = resolve; fail = reject })
    return { action: () => { log.push(name); return running }, done, fail }
  }
  const quick = (name: string) => () => { log.push(name) }
  return { queue, log, faults, slow, quick, held: () => held }
}

t.test('while nothing waits on a key its actions run at once, and nothing is counted', async (t) => {
  const { queue, log, quick, held } = setUp()
  queue.run('a', quick('1'), null)
  queue.run('a', quick('2'), null)
  t.strictSame([log, queue.pending, queue.isBusy('a'), held()], [['1', '2'], 0, false, 0])
  t.throws(() => queue.run('a', () => { throw new Error('no') }, null), /no/, 'what it throws comes out')
  t.equal(queue.isBusy('a'), false)
})

t.test('actions of a key wait for the one before, in order; other keys do not', async (t) => {
  const { queue, log, slow, quick, held } = setUp()
  const [first, second] = [slow('1'), slow('2')]
  queue.run('a', first.action, null)
  queue.run('a', second.action, null)
  queue.run('a', quick('3'), null)
  queue.run('b', quick('other'), null)
  t.strictSame([log, queue.pending, queue.isBusy('a'), queue.isBusy('b')], [['1', 'other'], 3, true, false])
  first.done()
  await turn()
  t.strictSame([log.slice(2), queue.pending], [['2'], 2])
  second.done()
  await turn()
  t.strictSame([log.slice(3), queue.pending, queue.isBusy('a'), held()], [['3'], 0, false, 0])
  queue.run('a', quick('4'), null)
  t.equal(log.at(-1), '4', 'and at once again')
})

t.test('several quick ones that waited run in one go', async (t) => {
  const { queue, log, slow, quick } = setUp()
  const first = slow('1')
  queue.run('a', first.action, null)
  for (const name of ['2', '3', '4']) queue.run('a', quick(name), null)
  first.done()
  await turn()
  t.strictSame(log, ['1', '2', '3', '4'])
})

t.test('what throws or rejects once it has waited is a fault, and holds up nothing', async (t) => {
  const { queue, log, faults, slow, quick, held } = setUp()
  const first = slow('1')
  queue.run('a', first.action, null)
  queue.run('a', () => { throw new Error('thrown') }, null)
  queue.run('a', async () => { throw new Error('rejected') }, null)
  queue.run('a', quick('4'), null)
  first.fail(new Error('first'))
  await turn()
  t.strictSame(faults.map((err) => (err as Error).message), ['first', 'thrown', 'rejected'])
  t.strictSame([log, queue.pending, held()], [['1', '4'], 0, 0])
})

t.test('a key is held by something else that was begun', async (t) => {
  const { queue, log, slow, quick } = setUp()
  const other = slow('other')
  queue.hold('a', other.action(), null)
  queue.run('a', quick('1'), null)
  t.strictSame([log, queue.isBusy('a'), queue.pending], [['other'], true, 2])
  other.done()
  await turn()
  t.strictSame([log, queue.isBusy('a')], [['other', '1'], false])
})

t.test('when it is cleared, what has not begun never will; what is under way ends', async (t) => {
  const { queue, log, slow, quick, held } = setUp()
  queue.clear()
  const [first, again] = [slow('1'), slow('again')]
  queue.run('a', first.action, null)
  queue.run('a', quick('2'), null)
  queue.clear()
  t.strictSame([queue.pending, queue.isBusy('a')], [1, false])
  queue.run('a', again.action, null)
  first.done()
  await turn()
  t.strictSame([log, queue.pending, queue.isBusy('a')], [['1', 'again'], 1, true], 'and it does not free the key for another')
  again.done()
  await turn()
  t.strictSame([queue.pending, held()], [0, 0])
})

t.test('each key is free by itself', async (t) => {
  const { queue, slow } = setUp()
  const [a, b] = [slow('a'), slow('b')]
  queue.run('a', a.action, null)
  queue.run('b', b.action, null)
  a.done()
  await turn()
  t.strictSame([queue.isBusy('a'), queue.isBusy('b')], [false, true])
  b.done()
  await turn()
  t.equal(queue.isBusy('b'), false)
})
