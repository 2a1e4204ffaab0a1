import t from 'tap'
import { inspect } from '../../lib/protocol/inspect.js'

const found = (value: unknown, depth = 5, nodes = 5): string | undefined => {
  const finding = inspect(value, depth, nodes)
  return finding === null ? undefined : 'key' in finding ? finding.key : finding.kind
}

t.test('what is no object has nothing to look at', async (t) => {
  for (const value of [undefined, null, 1, 'text', true]) t.equal(found(value, 0, 0), undefined)
})

t.test('as deep as the limit is not too deep', async (t) => {
  t.equal(found([[1]], 2), undefined)
  t.equal(found([[1]], 1), 'depth')
  t.equal(found({ a: { b: 1 } }, 2), undefined)
  t.equal(found({ a: { b: 1 } }, 1), 'depth')
  t.equal(found([{ a: [] }], 3), undefined)
  t.equal(found([{ a: [] }], 2), 'depth')
  t.equal(found([null, { a: null }], 2), undefined, 'null is no object')
})

t.test('as many values as the limit are not too many', async (t) => {
  t.equal(found([1, 2, 3, 4, 5]), undefined)
  t.equal(found([1, 2, 3, 4, 5, 6]), 'nodes')
  t.equal(found({ a: 1, b: 1, c: 1, d: 1, e: 1 }), undefined)
  t.equal(found({ a: 1, b: 1, c: 1, d: 1, e: 1, f: 1 }), 'nodes')
  t.equal(found([[1, 2], { a: 1 }]), undefined, 'all together')
  t.equal(found([[1, 2], { a: 1, b: 2 }]), 'nodes')
  t.equal(found({ a: [1, 2], b: { c: 1 } }), undefined)
  t.equal(found({ a: [1, 2, 3], b: { c: 1 } }), 'nodes')
})

t.test('each message is counted from the beginning', async (t) => {
  for (let i = 0; i < 3; i++) t.equal(found([1, 2, 3, 4, 5]), undefined)
})

t.test('keys that could reach a prototype are found anywhere', async (t) => {
  t.equal(found(JSON.parse('{"__proto__":1}')), '__proto__')
  t.equal(found(JSON.parse('{"a":[{"__proto__":null}]}')), '__proto__')
  t.equal(found({ constructor: { prototype: 1 } }), 'constructor.prototype')
  t.equal(found([{ constructor: { prototype: undefined } }]), 'constructor.prototype')
})

t.test('keys that look like them are allowed', async (t) => {
  t.equal(found({ constructor: {} }), undefined)
  t.equal(found({ constructor: 'me', prototype: 1 }), undefined)
  t.equal(found({ other: { prototype: 1 } }), undefined)
  t.equal(found({ constructor: { a: { prototype: 1 } } }), undefined)
  t.equal(found({ constructor: { a: JSON.parse('{"__proto__":1}') } }), '__proto__', 'but what is in them is looked at')
})
