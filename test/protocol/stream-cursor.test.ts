import t from 'tap'
import { SentCursor, StreamCursor, cursorPosition, cursorPositionOf, left } from '../../lib/protocol/stream-cursor.js'

t.test('a cursor has the position of each channel, whatever channels the next stream has', async (t) => {
  const cursor = new StreamCursor(['a', 'b', 'c', 'd'])
  cursor.move('a', cursorPositionOf('epoch-_1.0.'))
  cursor.move('b', cursorPosition({ epoch: 'e', offset: 123_456_789, check: 'ch-_k' }))
  cursor.move('c', left)
  cursor.move('elsewhere', cursorPositionOf('e.1.'))
  const sent = new SentCursor(cursor.text)
  t.equal(sent.of('a'), 'epoch-_1.0.')
  t.equal(sent.of('b'), 'e.123456789.ch-_k')
  t.equal(sent.of('c'), 'left')
  t.equal(sent.of('d'), null)
  t.equal(sent.of('elsewhere'), undefined)
  t.notOk(cursor.has('elsewhere'))
  t.notOk(cursor.isShared)
})

t.test('the text follows each move', async (t) => {
  const cursor = new StreamCursor(['a'])
  t.ok(cursor.isShared)
  const texts = new Set([cursor.text])
  cursor.move('a', cursorPositionOf('e.1.'))
  texts.add(cursor.text)
  cursor.move('a', cursorPosition({ epoch: 'e', offset: 2, check: '' }))
  texts.add(cursor.text)
  cursor.leaveAll()
  texts.add(cursor.text)
  t.equal(texts.size, 4)
  t.equal(new SentCursor(cursor.text).of('a'), 'left')
})

t.test('the longest cursor is short enough for a header, and needs no escapes', async (t) => {
  const channels = Array.from({ length: 20 }, (_, i) => `channel ${i}`)
  const cursor = new StreamCursor(channels)
  for (const channel of channels) cursor.move(channel, cursorPositionOf(`${'e'.repeat(24)}.999999999999999.${'c'.repeat(8)}`))
  t.ok(cursor.text.length <= 1_024, `${cursor.text.length}`)
  t.equal(encodeURIComponent(cursor.text), cursor.text)
  const sent = new SentCursor(cursor.text)
  for (const channel of channels) t.equal(sent.of(channel), `${'e'.repeat(24)}.999999999999999.${'c'.repeat(8)}`)
})

t.test('text that is no cursor stands for positions that no history knows', async (t) => {
  const { text } = new StreamCursor(['a'])
  for (const bad of ['', 'x', `${text}~`, `~${text}`, `${text}\n`, `${text}..`, `${text}e.1`, `${text}e.é.`, `${text}e.1.c.d`, ' ', text.repeat(500), '__proto__']) t.equal(new SentCursor(bad).of('a'), '', JSON.stringify(bad).slice(0, 50))
})
