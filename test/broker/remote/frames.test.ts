import t from 'tap'
import fc from 'fast-check'
import { decodeFrame, encodeFrame, frameFields, isOtherVersion, maxFrameMessages } from '../../../lib/broker/remote/frames.js'

t.test('frames: any messages come back as they were', (t) => {
  fc.assert(fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 1, maxLength: maxFrameMessages }), fc.constantFrom('m' as const, 'c' as const, 'p' as const), (messages, kind) => {
    t.strictSame(decodeFrame(encodeFrame(kind, 'node-1', messages)), { kind, nodeId: 'node-1', messages, fields: null, hasUnknown: false }, { diagnostic: false })
  }), { numRuns: 300 })
  t.end()
})

t.test('frames: nothing else is read, and nothing throws', (t) => {
  const good = encodeFrame('m', 'n1', ['ab', 'c'])
  t.ok(decodeFrame(good))
  for (const bad of [
    '', 'x', '{"a":1}', 'sc1', 'sc1 ', 'sc2 m n1 1\na', 'SC1 m n1 1\na', 'sc1 x n1 1\na', 'sc1 mn1 1\na', 'sc1 m  1\na', 'sc1 m n1 1', 'sc1 m n1 \n', 'sc1 m n1 ,\n',
    'sc1 m n1 1,\na', 'sc1 m n1 ,1\na', 'sc1 m n1 -1\na', 'sc1 m n1 1.0\na', 'sc1 m n1 1e1\naaaaaaaaaa', 'sc1 m n1 2\na', 'sc1 m n1 1\nab', 'sc1 m n.1 1\na', `sc1 m ${'n'.repeat(65)} 1\na`,
    'sc1 m n1 99999999999999999999999\na', `sc1 m n1 ${Array(65).fill(0).join(',')}\n`, `sc1 m n1 ${'0'.repeat(2000)}\n`, ' ' + good, good + ' '
  ]) t.equal(decodeFrame(bad), null, JSON.stringify(bad).slice(0, 60))
  fc.assert(fc.property(fc.nat(good.length - 1), fc.string({ unit: 'binary', maxLength: 3 }), (at, text) => {
    const frame = decodeFrame(good.slice(0, at) + text + good.slice(at + 1))
    if (frame !== null) t.equal(frame.messages.join('').length, (good.slice(0, at) + text + good.slice(at + 1)).split('\n').slice(1).join('\n').length, { diagnostic: false })
  }), { numRuns: 2000 })
  t.end()
})

t.test('frames: optional fields of messages', (t) => {
  t.strictSame(frameFields, [], 'this version has none, and writes none')
  const value = fc.string({ unit: 'grapheme', maxLength: 8 })
  fc.assert(fc.property(fc.array(fc.tuple(fc.string({ unit: 'binary', maxLength: 20 }), value, value), { minLength: 1, maxLength: maxFrameMessages }), (rows) => {
    const messages = rows.map(([message]) => message)
    const fields = new Map([['position', rows.map(([, position]) => position)], ['origin', rows.map(([, , origin]) => origin)]])
    const text = encodeFrame('m', 'n1', messages, fields)
    t.strictSame(decodeFrame(text, ['position', 'origin']), { kind: 'm', nodeId: 'n1', messages, fields, hasUnknown: false }, { diagnostic: false })
    // Who knows one of them, or none, has the messages all the same.
    t.strictSame(decodeFrame(text, ['origin', 'other']), { kind: 'm', nodeId: 'n1', messages, fields: new Map([...fields].slice(1)), hasUnknown: true }, { diagnostic: false })
    t.strictSame(decodeFrame(text), { kind: 'm', nodeId: 'n1', messages, fields: null, hasUnknown: true }, { diagnostic: false })
  }), { numRuns: 200 })
  for (const bad of [
    'sc1 m n1 1 \na', 'sc1 m n1 1 x\na', 'sc1 m n1 1 =1\na', 'sc1 m n1 1 x=1,2\na', 'sc1 m n1 1 x=1 \na', 'sc1 m n1 1 x=1  y=1\na', 'sc1 m n1 1 x=1 x=2\na', 'sc1 m n1 1 x=%\na', 'sc1 m n1 1 x="\na',
    'sc1 m n1 1 x1=1\na', `sc1 m n1 1 ${'x'.repeat(17)}=1\na`, 'sc1 m n1 2 x=1\na', 'sc1 m n1 1, x=1\na', 'sc1 m n1  x=1\na', `sc1 m n1 1 x=${'1'.repeat(40_000)}\na`
  ]) t.equal(decodeFrame(bad, ['x']), null, JSON.stringify(bad).slice(0, 60))
  t.end()
})

t.test('frames: of another version', (t) => {
  for (const other of ['sc2 m n1 1\na', 'sc10 anything', 'sc2s x', 'sc0 ']) t.ok(isOtherVersion(other), other)
  for (const none of [encodeFrame('m', 'n1', ['a']), 'sc1s x', 'sc1', 'sc m', 'scx m', 'SC2 m', '{}', '', 'sc99999 m']) t.notOk(isOtherVersion(none), none)
  t.end()
})
