// The last messages of a channel on a node: what they answer, and what only the engine can.
import t from 'tap'
import { Tail } from '../../../../lib/broker/remote/history/tail.js'
import type { BrokerPosition } from '../../../../types/broker.js'

const limits = { size: 10, ttl: 60_000 }
const at = (offset: number, check: string): BrokerPosition => ({ epoch: 'e', offset, check })
const frame = (first: number, check: string, messages: Array<string | null>, time = Date.now()) => ({ epoch: 'e', first, check, time, messages })
const texts = (tail: Tail, since: BrokerPosition | null, limit = 100, own = limits): unknown => {
  const page = tail.page(since, limit, own, Date.now())
  return page === null ? 'ask the engine' : page.gap ?? page.entries.map(({ data }) => data)
}

t.test('messages after a position, inside a frame and between two', (t) => {
  const tail = new Tail(at(4, 'd'))
  tail.add(frame(5, 'a', ['5', '6', '7']), limits)
  tail.add(frame(8, 'b', ['8']), limits)
  t.strictSame(tail.top, at(8, 'b'))
  t.strictSame(texts(tail, at(4, 'd')), ['5', '6', '7', '8'])
  t.strictSame(texts(tail, at(5, 'a')), ['6', '7', '8'])
  t.strictSame(texts(tail, at(7, 'a')), ['8'])
  t.strictSame(texts(tail, at(8, 'b')), [])
  t.strictSame(texts(tail, null, 0), [])
  const [first] = tail.page(at(4, 'd'), 100, limits, Date.now())!.entries
  t.equal(tail.page(at(4, 'd'), 100, limits, Date.now())!.entries[0], first, 'the same objects each time')
  t.strictSame(first!.position, at(5, 'a'))
  t.end()
})

t.test('what is not one of its positions', (t) => {
  const tail = new Tail(at(4, 'd'))
  tail.add(frame(5, 'a', ['5', '6']), limits)
  for (const wrong of [at(4, 'x'), at(5, 'x'), at(6, 'x'), { ...at(6, 'a'), epoch: 'f' }]) t.equal(texts(tail, wrong), 'unknown', JSON.stringify(wrong))
  t.equal(texts(tail, at(7, 'a')), 'ask the engine', 'another node may be ahead')
  t.equal(texts(tail, at(3, 'a')), 'ask the engine')
  t.equal(texts(tail, at(4, 'd'), 1), 'limit')
  t.strictSame(texts(tail, at(4, 'd'), 2), ['5', '6'])
  t.equal(texts(tail, at(4, 'd'), 2, { ...limits, size: 1 }), 'trimmed')
  tail.isWhole = true
  t.equal(texts(tail, at(3, 'a')), 'trimmed')
  t.end()
})

t.test('a position whose check is not known is one for the engine', (t) => {
  const tail = new Tail(at(4, ''))
  tail.add(frame(5, 'a', ['5']), limits)
  t.equal(texts(tail, at(4, 'd')), 'ask the engine')
  tail.extend([], at(4, 'd'))
  t.strictSame(texts(tail, at(4, 'd')), ['5'])
  t.equal(texts(tail, at(4, 'x')), 'unknown')
  const fresh = new Tail(at(0, ''))
  fresh.add(frame(1, 'a', ['1']), limits)
  t.strictSame(texts(fresh, at(0, '')), ['1'], 'nothing precedes the first message')
  t.end()
})

t.test('messages that cannot be used keep their offsets', (t) => {
  const tail = new Tail(at(0, ''))
  tail.add(frame(1, 'a', ['1', null, '3', null]), limits)
  t.strictSame(tail.top, at(4, 'a'))
  t.strictSame(texts(tail, at(0, '')), ['1', '3'])
  t.strictSame(texts(tail, at(2, 'a')), ['3'])
  t.strictSame(tail.page(at(2, 'a'), 100, limits, Date.now())!.entries[0]!.position, at(3, 'a'))
  t.end()
})

t.test('messages that were read: before the first one, and after the last one', (t) => {
  const tail = new Tail(at(4, 'd'))
  tail.add(frame(5, 'e', ['5']), limits)
  tail.extend([{ position: at(3, 'c'), time: Date.now(), data: '3' }, { position: at(4, 'd'), time: Date.now(), data: '4' }], at(2, 'b'))
  t.strictSame(texts(tail, at(2, 'b')), ['3', '4', '5'])
  t.strictSame(texts(tail, at(3, 'c')), ['4', '5'])
  t.equal(texts(tail, at(3, 'x')), 'unknown')
  tail.append([{ position: at(7, 'g'), time: Date.now(), data: '7' }], at(8, 'h'), limits)
  t.strictSame(tail.top, at(8, 'h'))
  t.strictSame(texts(tail, at(5, 'e')), ['7'])
  t.equal(texts(tail, at(6, 'f')), 'ask the engine', 'the check of a message that could not be read is not known')
  t.strictSame(texts(tail, at(7, 'g')), [])
  t.end()
})

t.test('the size, the ttl and the memory', (t) => {
  const tail = new Tail(at(0, ''))
  for (let n = 1; n <= 30; n++) tail.add(frame(n, `c${n}`, [String(n)]), limits)
  t.strictSame((texts(tail, at(20, 'c20')) as string[]).length, 10)
  t.equal(texts(tail, at(19, 'c19')), 'trimmed')
  t.strictSame(tail.floor, at(20, 'c20'), 'the check of the position before the first message is still known')
  const bytes = tail.bytes
  tail.add(frame(31, 'c31', ['31']), limits)
  t.equal(tail.bytes, bytes, 'one came and one went')
  tail.clear()
  t.strictSame([tail.bytes, tail.floor, texts(tail, at(30, 'c30')), texts(tail, at(31, 'c31'))], [0, at(31, 'c31'), 'ask the engine', []])

  const old = new Tail(at(0, ''))
  old.add(frame(1, 'a', ['1'], Date.now() - 60_000), limits)
  old.add(frame(2, 'b', ['2']), limits)
  t.equal(texts(old, at(0, '')), 'trimmed')
  t.strictSame(texts(old, at(1, 'a')), ['2'])

  const large = new Tail(at(0, ''))
  for (let n = 1; n <= 8; n++) large.add(frame(n, `c${n}`, ['x'.repeat(100_000)]), { size: 1_000, ttl: 60_000 })
  t.ok(large.bytes <= 1024 * 1024 && large.floor.offset === 3, '1 MiB, of two bytes for a character')
  large.add(frame(9, 'c9', ['x'.repeat(2_000_000)]), { size: 1_000, ttl: 60_000 })
  t.strictSame(large.floor, at(8, 'c8'), 'the last message stays, however large')
  t.end()
})

t.test('the newest messages, as many as are here for certain', (t) => {
  const tail = new Tail(at(4, 'd'))
  t.strictSame(texts(tail, null, 0), [])
  t.equal(texts(tail, null, 1), 'ask the engine')
  tail.add(frame(5, 'a', ['5', null, '7']), limits)
  tail.add(frame(8, 'b', ['8']), limits)
  t.strictSame(texts(tail, null, 1), ['8'])
  t.strictSame(texts(tail, null, 3), ['7', '8'], 'one cannot be used')
  t.strictSame(texts(tail, null, 4), ['5', '7', '8'])
  t.equal(texts(tail, null, 5), 'ask the engine')
  t.strictSame(texts(tail, null, 5, { ...limits, size: 2 }), ['7', '8'])
  t.strictSame(tail.newest(5, limits, Date.now(), true)!.entries.map(({ data }) => data), ['5', '7', '8'], 'fewer, when the engine has told')
  tail.isWhole = true
  t.strictSame(texts(tail, null, 100), ['5', '7', '8'])
  const old = new Tail(at(4, 'd'))
  old.add(frame(5, 'a', ['5'], Date.now() - limits.ttl), limits)
  old.add(frame(6, 'b', ['6']), limits)
  t.strictSame(texts(old, null, 10), ['6'], 'what precedes an expired message is expired too')
  t.strictSame(texts(new Tail(at(0, '')), null, 10), [], 'nothing precedes the first message')
  t.end()
})

t.test('a read of the newest messages keeps the check that is known', (t) => {
  const tail = new Tail(at(4, 'd'))
  tail.add(frame(5, 'a', ['5']), limits)
  tail.extend([], at(4, ''))
  t.strictSame(texts(tail, at(4, 'd')), ['5'])
  tail.extend([{ position: at(4, 'd'), time: Date.now(), data: '4' }], at(3, ''))
  t.strictSame(texts(tail, null, 2), ['4', '5'])
  t.equal(texts(tail, at(3, 'c')), 'ask the engine')
  t.end()
})
