import t from 'tap'
import { jsonCodec } from '../../lib/protocol/codec.js'
import { eventText, publishText } from '../../lib/protocol/packets.js'
import { isStreamEventName, readPublishText, readStreamPacket, retryText, streamEventText } from '../../lib/protocol/stream-events.js'

t.test('each line of the data has the name of its field', async (t) => {
  t.equal(streamEventText(null, '{"a":1}'), 'data: {"a":1}\n\n')
  t.equal(streamEventText('gap', '1'), 'event: gap\ndata: 1\n\n')
  t.equal(streamEventText(null, '[\n1,\r\n2,\r3]'), 'data: [\ndata: 1,\ndata: 2,\ndata: 3]\n\n')
})

t.test('a publication is read without parsing its data', async (t) => {
  for (const channel of ['news', 'a"b\\c', '{"channel":"x"}', 'é\u2028😀', ',"pos":"', '\\']) {
    for (const json of ['', '1', '"text"', '{"pos":"x","channel":"y"}', '[",\\"pos\\":\\""]', 'not parsed']) {
      for (const position of ['', 'epoch.12.check']) {
        const packet = readPublishText(publishText(channel, json, position), position !== '')
        t.strictSame(packet, { kind: 'publication', channel, json: `{"channel":${JSON.stringify(channel)}${json === '' ? '' : `,"data":${json}`}}` })
        if (json !== 'not parsed') t.match(readStreamPacket(jsonCodec, publishText(channel, json, position)), { kind: 'publication', channel })
      }
    }
  }
  t.equal(readPublishText(eventText('price', '1'), false), null)
})

t.test('other packets', async (t) => {
  t.strictSame(readStreamPacket(jsonCodec, eventText('price', '{"a":1}')), { kind: 'event', event: 'price', data: { a: 1 } })
  t.strictSame(readStreamPacket(jsonCodec, '{"rid":3,"data":4}'), { kind: 'answer', id: 3, error: undefined, data: 4 })
  for (const raw of ['text', '[]', '{}', '{"event":5}']) t.equal(readStreamPacket(jsonCodec, raw).kind, 'raw', raw)
})

t.test('names of events', async (t) => {
  for (const name of ['price', 'a b', 'a:b', '#x', 'é', 'Gap']) t.ok(isStreamEventName(name), name)
  for (const name of ['message', 'open', 'error', 'subscribed', 'gap', 'kick', 'disconnect', 'a\nb', 'a\rb', 'a\0b', '\n']) t.notOk(isStreamEventName(name), JSON.stringify(name))
})

t.test('clients come back after 2 to 5 seconds, not all at once', async (t) => {
  const times = Array.from({ length: 200 }, () => Number(/^retry: (\d+)\n$/.exec(retryText())![1]))
  t.ok(times.every((time) => time >= 2_000 && time <= 5_000))
  t.ok(new Set(times).size > 50)
})
