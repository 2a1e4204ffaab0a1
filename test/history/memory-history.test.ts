// What the memory broker keeps of a channel's messages.
import t, { type Test } from 'tap'
import { MemoryHistory } from '../../lib/broker/memory-history.js'
import { memoryBroker } from '../../lib/broker/memory.js'
import { parsePosition, positionText } from '../../lib/broker/position.js'
import { Clock } from '../helpers/clock.js'

const limits = { size: 3, ttl: 10_000 }

function start (t: Test, maxBytes = 1_000_000) {
  const clock = new Clock(t)
  const { now } = Date
  Date.now = () => 1_000_000 + clock.now
  t.teardown(() => { Date.now = now })
  const history = new MemoryHistory(maxBytes)
  t.teardown(() => history.stop())
  const read = (channel: string, since: ReturnType<typeof history.add> | null = null, limit = 100) => {
    const { top, entries, gap } = history.read(channel, since, limit, limits)
    return { top: top.offset, data: entries.map(({ data }) => data), gap }
  }
  return { clock, history, read, add: (channel: string, data: string) => history.add(channel, data, limits) }
}

t.test('messages have consecutive positions, and the newest are kept', (t) => {
  const { add, history, read } = start(t)
  t.strictSame(read('a'), { top: 0, data: [], gap: null })
  const positions = ['1', '2', '3', '4', '5'].map((data) => add('a', data))
  t.strictSame(positions.map(({ offset }) => offset), [1, 2, 3, 4, 5])
  t.equal(new Set(positions.map(({ epoch }) => epoch)).size, 1)
  t.strictSame(read('a'), { top: 5, data: ['3', '4', '5'], gap: null })
  t.strictSame(read('a', null, 2), { top: 5, data: ['4', '5'], gap: null })
  t.strictSame(read('b'), { top: 0, data: [], gap: null }, 'each channel has its own')
  t.not(history.read('b', null, 1, limits).top.epoch, positions[0]!.epoch)
  const { bytes } = history
  for (let i = 0; i < 1_000; i++) read(`empty ${i}`)
  t.equal(history.bytes, bytes, 'to look at channels without messages takes no memory')
  t.end()
})

t.test('what follows a position is told to be whole exactly when it is', (t) => {
  const { add, history, read } = start(t)
  const empty = history.read('a', null, 1, limits).top
  t.strictSame(read('a', empty), { top: 0, data: [], gap: null })
  const positions = ['1', '2', '3'].map((data) => add('a', data))
  t.strictSame(read('a', empty), { top: 3, data: ['1', '2', '3'], gap: null }, 'all since before the first')
  positions.push(...['4', '5'].map((data) => add('a', data)))
  t.strictSame(read('a', empty), { top: 5, data: ['3', '4', '5'], gap: 'trimmed' })
  t.strictSame(read('a', positions[0]), { top: 5, data: ['3', '4', '5'], gap: 'trimmed' }, 'the second is missing')
  t.strictSame(read('a', positions[1]), { top: 5, data: ['3', '4', '5'], gap: null }, 'the position itself need not be kept')
  t.strictSame(read('a', positions[3]), { top: 5, data: ['5'], gap: null })
  t.strictSame(read('a', positions[4]), { top: 5, data: [], gap: null })
  t.strictSame(read('a', positions[1], 2), { top: 5, data: ['3', '4'], gap: null }, 'the oldest come first')
  const last = positions[4]!
  t.equal(read('a', { ...last, offset: 6 }).gap, 'unknown', 'a message that was never published')
  t.equal(read('a', { ...last, epoch: 'other' }).gap, 'unknown')
  t.equal(read('a', { ...last, check: 'x' }).gap, 'unknown')
  t.end()
})

t.test('messages are too old from their ttl on, read or not', async (t) => {
  const { add, clock, history, read } = start(t)
  const first = add('a', '1')
  await clock.advance(5_000)
  const second = add('a', '2')
  await clock.advance(4_999)
  t.strictSame(read('a').data, ['1', '2'])
  await clock.advance(1)
  t.strictSame(read('a', first), { top: 2, data: ['2'], gap: null })
  const { bytes } = history
  await clock.advance(6_000)
  t.ok(history.bytes < bytes, 'a sweep drops what nobody reads')
  t.strictSame(read('a', second), { top: 2, data: [], gap: null }, 'who has all of it is told so')
  t.strictSame(read('a', first), { top: 2, data: [], gap: 'trimmed' })
  await clock.advance(86_400_000)
  t.strictSame(read('a', second), { top: 2, data: [], gap: null }, 'the read before kept it')
  await clock.advance(86_402_000)
  t.equal(history.bytes, 0, 'a channel that nobody uses is forgotten')
  t.equal(clock.armed, 0)
  t.equal(read('a', second).gap, 'unknown')
})

t.test('over the bytes of all channels whole channels are forgotten, the least recently published first', (t) => {
  const { add, history, read } = start(t, 10_000)
  const empty = history.read('new', null, 1, limits).top
  const a = add('a', 'x'.repeat(1_000))
  add('b', 'x'.repeat(1_000))
  add('a', 'y')
  add('c', 'x'.repeat(1_000))
  t.ok(history.bytes <= 10_000)
  const before = history.bytes
  add('d', 'x'.repeat(1_000))
  t.ok(history.bytes <= 10_000)
  t.ok(history.bytes <= before)
  t.equal(read('a', a).data.length, 1)
  t.strictSame(read('b').data, [])
  t.equal(read('new', empty).gap, 'unknown', 'it may be the channel that was forgotten')
  add('new', 'x')
  t.equal(read('new', empty).gap, 'unknown')
  t.equal(read('c').data.length, 1)
  add('e', 'x'.repeat(10_000))
  t.ok(history.bytes <= 10_000, 'one that is too large by itself too')
  t.end()
})

t.test('any channel may be the next that is published to, or forgotten', (t) => {
  const { add, history, read } = start(t, 6_000)
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  for (const name of names) add(name, 'x')
  for (const name of ['c', 'a', 'f', 'f', 'b']) add(name, 'x')
  const kept = () => names.filter((name) => read(name).top !== 0).join('')
  t.equal(kept(), 'abcdef')
  for (const [large, left] of [['x', 'abcf'], ['y', 'abf'], ['z', '']] as const) {
    add(large, 'x'.repeat(large === 'z' ? 2_000 : large === 'x' ? 600 : 100))
    t.equal(kept(), left, `after ${large}`)
    t.ok(history.bytes <= 6_000)
  }
  t.end()
})

t.test('the names of channels count', (t) => {
  const { add, history } = start(t, 100_000)
  for (let i = 0; i < 20; i++) add(`${i} ${'x'.repeat(20_000)}`, '1')
  t.ok(history.bytes > 40_000 && history.bytes <= 100_000, String(history.bytes))
  t.end()
})

t.test('positions as text', (t) => {
  const position = { epoch: 'Ab-_9', offset: 12, check: 'x' }
  t.strictSame(parsePosition(positionText(position)), position)
  t.strictSame(parsePosition('a.0.'), { epoch: 'a', offset: 0, check: '' })
  for (const text of ['', 'a', 'a.1', 'a.-1.', 'a.1.x y', '.1.', 'a.1.1.1', 'a.1e3.', `${'a'.repeat(25)}.1.`, `a.${'9'.repeat(16)}.`]) t.equal(parsePosition(text), null, text)
  t.end()
})

t.test('options of the memory broker', (t) => {
  t.throws(() => memoryBroker({ bytes: 1 } as never), { code: 'SC_ERR_OPTIONS', message: /memoryBroker has no option "bytes"; expected historyBytes/ })
  t.throws(() => memoryBroker({ historyBytes: -1 }), { code: 'SC_ERR_OPTIONS', message: /memoryBroker expects the option historyBytes to be a whole number of 0 or more, got -1/ })
  t.throws(() => memoryBroker({ historyBytes: '1' as never }), { message: /got "1"/ })
  t.throws(() => memoryBroker([] as never), { code: 'SC_ERR_OPTIONS', message: /memoryBroker expects its options to be an object, got array/ })
  t.end()
})
