import fc from 'fast-check'
import t from 'tap'
import { EventStreamParser, type StreamEvent } from '../../lib/client/event-stream.js'

/** Reads parts of a stream. */
function read (...parts: string[]): { events: StreamEvent[], lastEventId: string, retry: number | null } {
  const events: StreamEvent[] = []
  const parser = new EventStreamParser('start', (event) => { events.push(event) })
  for (const part of parts) parser.push(part)
  const { lastEventId, retry } = parser
  return { events, lastEventId, retry }
}

t.test('events as the standard reads them', async (t) => {
  t.strictSame(read('data: a\n\n').events, [{ event: 'message', data: 'a' }])
  t.strictSame(read('event: gap\ndata:a\ndata:  b\n\ndata\n\n').events, [{ event: 'gap', data: 'a\n b' }, { event: 'message', data: '' }])
  t.strictSame(read(': a comment\n\nevent: x\n\ndata: y\n\n').events, [{ event: 'message', data: 'y' }], 'an event without data is none')
  t.strictSame(read('data: a\r\ndata: b\rdata: c\n\r\n').events, [{ event: 'message', data: 'a\nb\nc' }])
  t.strictSame(read('data: cut off\n').events, [])
  t.match(read('id: 1\ndata: a\n\nid: 2\ndata: b\n'), { lastEventId: '1' }, 'the id of a whole event')
  t.match(read('id\n\n'), { lastEventId: '' })
  t.match(read('id: a\0b\n\nother: x\n\n'), { lastEventId: 'start' })
  t.match([read('retry: 10\n'), read('retry: 1s\n'), read('retry\n')], [{ retry: 10 }, { retry: null }, { retry: null }])
})

t.test('it does not matter where the text is cut', async (t) => {
  const piece = fc.constantFrom('data: a', 'data:', 'data', 'event: x', 'id: 7', 'id', 'retry: 5', ':', 'é🙂', '\r\n', '\n', '\r', '\n\n', ' ')
  fc.assert(fc.property(fc.array(piece, { maxLength: 40 }), fc.array(fc.nat(200), { maxLength: 20 }), (pieces, cuts) => {
    // A line's end at the end of the text may be half of one.
    const text = `${pieces.join('')}\n`
    const places = [...new Set([0, ...cuts.map((cut) => Math.min(cut, text.length)), text.length])].sort((a, b) => a - b)
    t.strictSame(read(...places.slice(1).map((end, i) => text.slice(places[i], end))), read(text), JSON.stringify(text))
  }), { numRuns: 300 })
})
