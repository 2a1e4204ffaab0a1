import t from 'tap'
import { memorySize } from '../lib/memory-size.js'
import { Stopwatch } from './helpers/stopwatch.js'

t.test('data counts as what it takes in memory', async (t) => {
  t.equal(memorySize('abc'), 40 + 6)
  t.equal(memorySize(5), 0)
  t.equal(memorySize(null), 0)
  t.equal(memorySize([1, 'ab']), 40 + 2 * 24 + 44)
  t.equal(memorySize({ key: 'ab' }), 40 + 24 + 6 + 44)
  t.equal(memorySize(Buffer.alloc(100)), 140)
  t.equal(memorySize(new Error('x')), 2_048)
  t.equal(memorySize(Array.from({ length: 30_000 }, () => ({}))), 40 + 30_000 * 64, 'more than any message has')
})

t.test('what leads back to itself, or to the same many times, takes no longer than what is there', async (t) => {
  const twice: Record<string, unknown> = {}
  twice.one = twice.other = twice
  const list: unknown[] = []
  list.push(list, list, list)
  let shared: unknown = 'x'.repeat(1_000)
  for (let level = 0; level < 60; level++) shared = [shared, shared]
  const watch = new Stopwatch()
  for (const [what, value, most] of [['an object', twice, 1_000], ['a list', list, 1_000], ['what is shared', shared, 10_000_000]] as const) {
    const bytes = memorySize(value)
    t.ok(bytes > 0 && bytes < most, `${what}: ${bytes} bytes`)
  }
  const took = watch.stop()
  t.ok(took < 2_000, `${took.toFixed()} ms`)
})

t.test('what cannot be looked at counts as the largest message there is', async (t) => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  t.equal(memorySize(proxy), 65_536)
  t.equal(memorySize({ get a () { throw new Error('no') } }), 65_536)
})
