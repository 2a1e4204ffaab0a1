// Parts of histories that subscribers read who lag behind: one read serves all who miss the same.
import t from 'tap'
import type { BrokerHistoryEntry, BrokerHistoryPage, BrokerPosition } from '../../lib/index.js'
import { Parts } from '../../lib/exchange/parts.js'

const at = (offset: number, check = `c${offset}`, epoch = 'e'): BrokerPosition => ({ epoch, offset, check })
const limits = { size: 100_000, ttl: 60_000 }

interface Ask { since: number | 'oldest', answer: (page?: Partial<BrokerHistoryPage>) => void, fail: (err: Error) => void }

/** A broker with messages 1 to 5,000, which answers when it is told to. */
function start ({ time = Date.now(), data = 'x' } = {}) {
  const asked: Ask[] = []
  const entry = (offset: number): BrokerHistoryEntry => ({ position: at(offset), time, data })
  const parts = new Parts({
    readHistory: async (_channel, since, limit) => new Promise<BrokerHistoryPage>((resolve, reject) => {
      const before = since === 'oldest' ? 'oldest' : since!.offset
      const page = { top: at(5_000), entries: Array.from({ length: limit }, (_, i) => entry((before === 'oldest' ? 500 : before) + 1 + i)), gap: null }
      asked.push({ since: before, answer: (other = {}) => resolve({ ...page, ...other }), fail: reject })
    })
  })
  return { parts, asked, after: (offset: number | 'oldest', check?: string, channel = 'room') => parts.after(channel, offset === 'oldest' ? offset : at(offset, check), limits) }
}

const offsets = (page: unknown): [number, number] => {
  const { entries } = page as BrokerHistoryPage
  return [entries[0]!.position.offset, entries.at(-1)!.position.offset]
}

t.test('who lags behind in a part that was read is served from it', async (t) => {
  const { asked, after } = start()
  const first = after(100)
  const [second, third] = [after(100), after(600)]
  t.equal(asked.length, 1, 'a channel is read once at a time')
  asked[0]!.answer()
  t.strictSame(offsets(await first), [101, 1_100])
  t.strictSame([await second, await third], [undefined, undefined], 'the others ask again')
  for (const [offset, expected] of [[100, [101, 1_100]], [101, [102, 1_100]], [600, [601, 1_100]], [1_099, [1_100, 1_100]]] as const) {
    const page = after(offset)
    t.notOk(page instanceof Promise)
    t.strictSame(offsets(page), expected)
  }
  t.equal((after(600) as BrokerHistoryPage).entries[0], (after(600) as BrokerHistoryPage).entries[0], 'with the same messages')
  t.equal(asked.length, 1)
})

t.test('what is not in a part is read', async (t) => {
  const { asked, after } = start()
  const first = after(100)
  asked[0]!.answer()
  await first
  for (const [offset, check, channel] of [[99], [1_100], [100, 'other'], [600, 'other'], [600, undefined, 'another channel']] as Array<[number, string?, string?]>) {
    const before = asked.length
    const page = after(offset, check, channel)
    t.equal(asked.length, before + 1, `${offset} ${check ?? ''} ${channel ?? ''}`)
    asked.at(-1)!.answer({ entries: [], gap: 'unknown' })
    t.match(await page, { gap: 'unknown' })
  }
  t.notOk(after(600) instanceof Promise, 'an answer without messages is not kept')
})

t.test('a hole in a part is no reason to leave something out', async (t) => {
  const { asked, after } = start()
  const first = after(10)
  const entry = (offset: number): BrokerHistoryEntry => ({ position: at(offset), time: Date.now(), data: '' })
  asked[0]!.answer({ entries: [11, 12, 15, 16].map(entry) })
  await first
  t.strictSame(offsets(after(12)), [15, 16])
  t.strictSame(offsets(after(15)), [16, 16])
  t.ok(after(13) instanceof Promise, 'a message that could not be read')
})

t.test('the oldest messages are read each time: the next ones may be trimmed meanwhile', async (t) => {
  const { asked, after } = start()
  for (const reads of [1, 2]) {
    const page = after('oldest')
    t.strictSame([asked.length, asked.at(-1)!.since], [reads, 'oldest'])
    asked.at(-1)!.answer()
    t.strictSame(offsets(await page), [501, 1_500])
  }
})

t.test('messages that are older than the ttl are not served', async (t) => {
  const { asked, after } = start({ time: Date.now() - 60_001 })
  const first = after(100)
  asked[0]!.answer()
  await first
  t.ok(after(600) instanceof Promise)
})

t.test('parts take at most 16 MiB', async (t) => {
  const { asked, after } = start({ data: 'x'.repeat(3_500) })
  for (const offset of [0, 1_000, 2_000, 3_000, 4_000]) {
    const page = after(offset)
    asked.at(-1)!.answer()
    await page
  }
  t.ok(after(0) instanceof Promise, 'the oldest is gone')
  t.notOk(after(4_000) instanceof Promise)
})

t.test('when a read fails its reader is told, and the others ask again', async (t) => {
  const { asked, after } = start()
  const [first, second] = [after(100), after(100)]
  asked[0]!.fail(new Error('no'))
  await t.rejects(first as Promise<unknown>, { message: 'no' })
  t.equal(await second, undefined)
  const again = after(100)
  asked[1]!.answer()
  t.strictSame(offsets(await again), [101, 1_100])
})

t.test('what a broker answers at once is not kept', (t) => {
  let reads = 0
  const parts = new Parts({ readHistory: () => { reads++; return { top: at(1), entries: [{ position: at(1), time: Date.now(), data: '' }], gap: null } } })
  t.notOk(parts.after('room', at(0), limits) instanceof Promise)
  parts.after('room', at(0), limits)
  t.equal(reads, 2)
  t.end()
})
