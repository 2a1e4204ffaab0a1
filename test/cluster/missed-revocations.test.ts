import { setImmediate as tick } from 'node:timers/promises'
import t from 'tap'
import { MissedRevocations } from '../../lib/cluster/missed-revocations.js'

function start (answer: (id: string, query: any) => unknown) {
  const asked: Array<[id: string, query: unknown]> = []
  const learned: unknown[] = []
  const failed: string[] = []
  const catchUp = new MissedRevocations({
    async query (id, query) {
      asked.push([id, query.revocations])
      return answer(id, query.revocations)
    },
    learn: (entries, life) => { learned.push([entries.length, life]) },
    failed: (err) => { failed.push(err.message) }
  })
  return { catchUp, asked, learned, failed }
}

const ids = Array.from({ length: 10 }, (_, i) => `n${i}`)

t.test('three nodes are asked, piece by piece', async (t) => {
  const entry = { user: 'ann', at: 1 }
  const { catchUp, asked, learned, failed } = start((_id, { after }) => after === 0 ? { entries: [entry, entry], next: 2, life: 60 } : { entries: [entry], next: null })
  catchUp.nodes(ids)
  t.equal(asked.length, 0, 'it is not wanted yet')
  catchUp.begin(5_000)
  catchUp.nodes(ids.slice(0, 1))
  catchUp.nodes(ids)
  catchUp.nodes(ids)
  for (let i = 0; i < 5; i++) await tick()
  t.equal(new Set(asked.map(([id]) => id)).size, 3)
  t.equal(asked.length, 6)
  t.strictSame(asked.filter(([id]) => id === 'n0').map(([, query]) => query), [{ after: 0, within: 5_000 }, { after: 2, within: 5_000 }])
  t.equal(learned.filter(([count]: any) => count === 2).length, 3)
  t.strictSame(failed, [])
})

t.test('another one is asked for one that fails or answers with something else, but not for ever', async (t) => {
  const { catchUp, asked, failed } = start((id) => id === 'n0' ? Promise.reject(new Error('away')) : { entries: 'none' })
  catchUp.begin(undefined)
  catchUp.nodes(ids)
  for (let i = 0; i < 20; i++) await tick()
  t.equal(failed.length, 6)
  t.equal(asked.length, 9)
  t.match(failed.find((message) => message !== 'away'), /something else than revocations/)
})

t.test('one that never comes to an end, and what comes after a new beginning', async (t) => {
  const endless = start(() => ({ entries: [], next: 1 }))
  endless.catchUp.begin(undefined)
  endless.catchUp.nodes(['n1'])
  for (let i = 0; i < 5; i++) await tick()
  t.equal(endless.asked.length, 2, 'a piece that leads nowhere is the last one')
  let answer!: (value: unknown) => void
  const late = start(() => new Promise((resolve) => { answer = resolve }))
  late.catchUp.begin(undefined)
  late.catchUp.nodes(['n1'])
  late.catchUp.stop()
  answer({ entries: [{ user: 'ann', at: 1 }], next: 5 })
  await tick()
  t.strictSame([late.learned, late.asked.length], [[], 1])
})
