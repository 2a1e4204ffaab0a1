import fc from 'fast-check'
import t from 'tap'
import { addCounts, conformCounts } from '../../lib/cluster/counts.js'

const shape = { clients: 1, closes: { 1000: 1 } as Record<string, number>, broker: { state: 'up', inFlight: 0 } }

t.test('what a node says, in the shape of what this one counts', (t) => {
  t.strictSame(conformCounts({ clients: 4, closes: { 1006: 2, bad: 'x' }, more: 7, broker: { state: 'x'.repeat(2_000) } }, shape), {
    clients: 4, closes: { 1000: 0, 1006: 2 }, broker: { state: 'x'.repeat(1_000), inFlight: 0 }, more: 7
  })
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    const counts = conformCounts(value, shape)
    return Number.isFinite(counts.clients) && Number.isFinite(counts.closes[1000]) && Number.isFinite(counts.broker.inFlight) && typeof counts.broker.state === 'string'
  }))
  t.equal(conformCounts(JSON.parse('{"clients":1e999,"__proto__":{"clients":5}}'), shape).clients, 0)
  const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`c${i}`, i]))
  t.ok(Object.keys(conformCounts(many, shape)).length <= 1_003)
  t.end()
})

t.test('sums, also of objects inside', (t) => {
  const total = {}
  addCounts(total, { clients: 1, closes: { 1000: 1 }, broker: { state: 'up' }, list: [1] })
  addCounts(total, { clients: 2, closes: { 1000: 1, 1006: 3 } })
  t.strictSame(total, { clients: 3, closes: { 1000: 2, 1006: 3 }, broker: {} })
  t.end()
})
