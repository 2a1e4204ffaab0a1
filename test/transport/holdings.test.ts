import t from 'tap'
import { Holdings } from '../../lib/transport/holdings.js'

t.test('what goes over the limit is told with each addition, never when something is let go', async (t) => {
  const told: number[] = []
  const holdings: Holdings = new Holdings(10, () => told.push(holdings.total))
  for (const bytes of [10, 1, 2, -1, 0, -2, 1]) holdings.add(bytes)
  t.strictSame(told, [11, 13, 11])
  t.equal(holdings.total, 11)
})

t.test('0 is no limit', async (t) => {
  const holdings = new Holdings(0, () => t.fail('told'))
  holdings.add(1e15)
  t.equal(holdings.total, 1e15)
})
