import t from 'tap'
import { ackText, callIdOf, eventText, lastCallId, parsePacket, publishText } from '../../lib/protocol/packets.js'

const parse = (value: unknown): unknown => parsePacket(value, 5)

t.test('an object with an event is an event; data and call id are kept', async (t) => {
  t.same(parse({ event: 'say', data: { a: 1 }, cid: 3 }), { kind: 'event', event: 'say', data: { a: 1 }, cid: 3 })
  t.same(parse({ event: 'say' }), { kind: 'event', event: 'say', data: undefined, cid: undefined })
  t.same(parse({ event: 'say', rid: 1 }), { kind: 'event', event: 'say', data: undefined, cid: undefined }, 'whatever else it has')
})

t.test('an object with the id of a call is the answer to it', async (t) => {
  t.same(parse({ rid: 3, data: 1 }), { kind: 'ack', rid: 3, error: undefined, data: 1 })
  t.same(parse({ rid: 'x', error: { name: 'E' } }), { kind: 'ack', rid: 'x', error: { name: 'E' }, data: undefined })
  t.same(parse({ event: null, rid: 3 }), { kind: 'ack', rid: 3, error: undefined, data: undefined }, 'an event that is null is none')
})

t.test('anything else is a raw message', async (t) => {
  for (const value of [undefined, null, 'text', 7, {}, [], { data: 1 }, { cid: 1 }, { rid: null }, { rid: 1.5 }, { rid: {} }]) t.same(parse(value), { kind: 'raw' })
})

t.test('a name must be text of 1 to so many characters', async (t) => {
  t.match(parse({ event: 'abcde' }), { kind: 'event' })
  t.same(parse({ event: 'abcdef', cid: 1 }), { kind: 'invalid', reason: 'An event expects a name of 1 to 5 characters, got 6; see the option maxEventNameLength', cid: 1 })
  t.same(parse({ event: '', cid: 'a' }), { kind: 'invalid', reason: 'An event expects a name of 1 to 5 characters, got 0; see the option maxEventNameLength', cid: 'a' })
  t.same(parse({ event: 7, cid: 1 }), { kind: 'invalid', reason: 'An event expects a name of type string, got number', cid: 1 })
  t.match(parse({ event: {}, cid: {} }), { kind: 'invalid', cid: undefined })
})

t.test('call ids are safe integers, or text of up to 32 characters', async (t) => {
  for (const cid of [0, 1, -1, Number.MAX_SAFE_INTEGER, '', 'a', 'a'.repeat(32)]) {
    t.match(parse({ event: 'say', cid }), { cid })
    t.equal(callIdOf({ cid }), cid)
  }
  for (const cid of [1.5, NaN, Infinity, Number.MAX_SAFE_INTEGER + 1, 'a'.repeat(33), true, null, {}, ['a']]) {
    t.equal((parse({ event: 'say', cid }) as { cid: unknown }).cid, undefined)
    t.equal(callIdOf({ cid }), undefined)
  }
  t.equal(callIdOf(7), undefined)
})

t.test('the call id of a message that is not decoded is read from its end', async (t) => {
  t.equal(lastCallId('{"event":"say","data":1,"cid":12}'), 12)
  t.equal(lastCallId(Buffer.from('{"event":"say","cid":123456789012345}')), 123456789012345)
  t.equal(lastCallId(`{"event":"${'a'.repeat(100)}","cid":7}`), 7)
  for (const text of ['', '{"event":"say"}', '{"cid":1,"event":"say"}', '{"cid":"1"}', '{"cid":}', '{"cid":1234567890123456}', '{"cid":1}]', '{"cid":1} ']) t.equal(lastCallId(text), undefined, text)
})

t.test('packets are written around JSON', async (t) => {
  t.equal(eventText('a"b', undefined), '{"event":"a\\"b"}')
  t.equal(eventText('a', '{"b":1}'), '{"event":"a","data":{"b":1}}')
  t.equal(eventText('a', '1', 7), '{"event":"a","data":1,"cid":7}')
  t.equal(eventText('a', undefined, 7), '{"event":"a","cid":7}')
  t.equal(publishText('a"b', '1'), '{"event":"#publish","data":{"channel":"a\\"b","data":1}}')
  t.equal(publishText('a"b', ''), '{"event":"#publish","data":{"channel":"a\\"b"}}')
  t.equal(ackText(7, undefined), '{"rid":7}')
  t.equal(ackText(7, '1'), '{"rid":7,"data":1}')
  t.equal(ackText('a"b', undefined), '{"rid":"a\\"b"}')
  t.equal(ackText('a', '[]'), '{"rid":"a","data":[]}')
})
