// Parts of histories: they end where this node is, whatever the engine has already.
import t from 'tap'
import { Pages, upTo } from '../../lib/exchange/pages.js'
import type { BrokerHistoryEntry, BrokerHistoryPage, BrokerPosition } from '../../types/broker.js'

const limits = { size: 100, ttl: 60_000 }
const at = (offset: number, epoch = 'e'): BrokerPosition => ({ epoch, offset, check: '' })
const entries = (from: number, to: number, epoch = 'e'): BrokerHistoryEntry[] => Array.from({ length: to - from + 1 }, (_, i) => ({ position: at(from + i, epoch), time: 0, data: String(from + i) }))

/** A link whose answers the test gives, in order. */
function linkOf (answers: { follow: Array<BrokerHistoryPage | Promise<void>>, read?: Array<BrokerHistoryPage | Promise<BrokerHistoryPage>> }) {
  const calls: unknown[] = []
  const link = {
    checkUp () {},
    followHistory (_channel: string, since: BrokerPosition | null, limit: number) { calls.push(['follow', since?.offset ?? null, limit]); return answers.follow.shift()! },
    readHistory (_channel: string, since: BrokerPosition | null, limit: number) { calls.push(['read', since?.offset ?? null, limit]); return answers.read!.shift()! }
  }
  return { calls, pages: new Pages(link) }
}

/** Reads, and returns what is used. */
async function read ({ pages }: ReturnType<typeof linkOf>, since: BrokerPosition | null, limit: number) {
  let used: any
  await pages.read('room', since, limit, limits, (page) => { used = { texts: page.entries.map(({ data }) => data).join(), top: page.top.offset, gap: page.gap } })
  return used
}

t.test('what this node has is used at once', async (t) => {
  const link = linkOf({ follow: [{ top: at(9), entries: entries(7, 9), gap: null }] })
  t.same(await read(link, at(6), 5), { texts: '7,8,9', top: 9, gap: null })
  t.same(link.calls, [['follow', 6, 5]])
})

t.test('it is asked again when the engine had to be read', async (t) => {
  const link = linkOf({ follow: [Promise.resolve(), { top: at(9), entries: entries(9, 9), gap: null }] })
  t.same(await read(link, null, 1), { texts: '9', top: 9, gap: null })
  t.same(link.calls, [['follow', null, 1], ['follow', null, 1]])
})

t.test('the first part of more messages comes from the engine, without those that were not delivered here yet', async (t) => {
  for (const later of [false, true]) {
    const part: BrokerHistoryPage = { top: at(12), entries: entries(7, 10), gap: null }
    const link = linkOf({ follow: [{ top: at(9), entries: [], gap: 'limit' }, ...(later ? [Promise.resolve()] : []), { top: at(9), entries: [], gap: null }], read: [later ? Promise.resolve(part) : part] })
    t.same(await read(link, at(6), 2), { texts: '7,8,9', top: 9, gap: null })
  }
  const more = linkOf({ follow: [{ top: at(9), entries: [], gap: 'limit' }, { top: at(9), entries: [], gap: null }], read: [{ top: at(12), entries: entries(7, 8), gap: null }] })
  t.same(await read(more, at(6), 2), { texts: '7,8', top: 9, gap: 'limit' })
})

t.test('what cannot be read on from a position is the newest messages, with the reason', async (t) => {
  const newest: BrokerHistoryPage = { top: at(9), entries: entries(8, 9), gap: null }
  t.same(await read(linkOf({ follow: [{ top: at(9), entries: [], gap: 'trimmed' }, newest] }), at(1), 2), { texts: '8,9', top: 9, gap: 'trimmed' })
  const late = linkOf({ follow: [{ top: at(9), entries: [], gap: 'limit' }, Promise.resolve(), newest], read: [{ top: at(12), entries: entries(11, 12), gap: 'trimmed' }] })
  t.same(await read(late, at(1), 2), { texts: '8,9', top: 9, gap: 'trimmed' }, 'trimmed while it is read')
})

t.test('a page up to a position', (t) => {
  const page = { top: at(5), entries: entries(1, 5), gap: null }
  t.equal(upTo(at(3), page).entries.length, 3)
  t.equal(upTo(at(0), page).entries.length, 0)
  t.equal(upTo(at(9), page).entries.length, 5)
  t.equal(upTo(at(9, 'f'), page).entries.length, 0)
  t.end()
})
