import t from 'tap'
import { errorTable } from '../../lib/errors.js'
import { closeReasons, isOrdinaryClose, isSendableCloseCode, reasonText, truncateReason } from '../../lib/protocol/close-codes.js'

t.test('each close code has a text of its own, and those of errors are among them', async (t) => {
  const texts = Object.values(closeReasons)
  t.equal(new Set(texts).size, texts.length)
  t.notOk(texts.includes(''))
  for (const [name, row] of Object.entries(errorTable)) {
    if ('closeCode' in row) t.ok(closeReasons[row.closeCode as number], name)
  }
})

t.test('normal and going away are ordinary ends, nothing else', async (t) => {
  t.same([999, 1000, 1001, 1002, 1005, 1006, 4000].filter(isOrdinaryClose), [1000, 1001])
})

t.test('an application may close with 1000, 1001, and 3000 to 4999', async (t) => {
  const codes = [0, 999, 1000, 1001, 1005, 2999, 3000, 3000.5, 4999, 5000, NaN, Infinity, '1000', null, undefined]
  t.same(codes.filter(isSendableCloseCode), [1000, 1001, 3000, 4999])
})

t.test('a reason is cut to 123 bytes, between characters', async (t) => {
  t.equal(truncateReason(''), '')
  for (const length of [1, 41, 42, 122, 123]) t.equal(truncateReason('x'.repeat(length)), 'x'.repeat(length), `${length} of one byte`)
  t.equal(truncateReason('x'.repeat(124)), 'x'.repeat(123))
  t.equal(truncateReason('€'.repeat(41)), '€'.repeat(41), '123 bytes')
  t.equal(truncateReason('€'.repeat(42)), '€'.repeat(41), '126 bytes')
  t.equal(truncateReason(`x${'€'.repeat(41)}`), `x${'€'.repeat(40)}`, 'the cut would be inside a character')
  t.equal(truncateReason(`xx${'😀'.repeat(31)}`), `xx${'😀'.repeat(30)}`)
})

t.test('any reason is text: objects as JSON, what no text can be made of is none', async (t) => {
  t.equal(reasonText(undefined), '')
  t.equal(reasonText(null), '')
  t.equal(reasonText('bye'), 'bye')
  t.equal(reasonText(''), '')
  t.equal(reasonText(7), '7')
  t.equal(reasonText({ a: [1] }), '{"a":[1]}')
  t.equal(reasonText(Symbol('s')), 'Symbol(s)', 'JSON has no text for it')
  t.equal(reasonText(5n), '5', 'JSON throws for it')
  const circle: Record<string, unknown> = {}
  circle.self = circle
  t.equal(reasonText(circle), '[object Object]')
  t.equal(reasonText({ toJSON () { throw new Error('no') }, toString () { throw new Error('no') } }), '')
  t.equal(reasonText({ toJSON: () => undefined, toString: () => 'text' }), 'text')
})
