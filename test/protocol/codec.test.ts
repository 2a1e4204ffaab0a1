import { runInNewContext } from 'node:vm'
import t from 'tap'
import { encodeMessage, jsonBytes, jsonCodec, jsonSize, looksLikeJson, rawPayload, toJson } from '../../lib/protocol/codec.js'

const codec = (encode: (object: unknown) => unknown) => ({ encode, decode: () => {} }) as never

t.test('JSON is decoded where it is an object or an array; anything else stays the text it is', async (t) => {
  t.same(jsonCodec.decode('{"a":1}'), { a: 1 })
  t.same(jsonCodec.decode(' \n\r\t[1]'), [1])
  t.same(jsonCodec.decode(Buffer.from('{"a":1}')), { a: 1 }, 'bytes too')
  for (const text of ['', '#2', '7', 'null', '"{"', '{', '[1', '   ']) t.equal(jsonCodec.decode(text), text)
  t.equal(jsonCodec.decode(Buffer.from('#2')), '#2')
})

t.test('a text looks like JSON when a brace or a bracket is the first that is no white space', async (t) => {
  for (const text of ['{', '[', ' {', '\n[', '\r{', '\t[', ' \n\r\t{']) t.equal(looksLikeJson(text), true, JSON.stringify(text))
  for (const text of ['', ' ', 'a{', '"{', ' a[', '\u00a0{', '}', ']', '\v{', '\b{', '\f{', '!{', '\x1f{']) t.equal(looksLikeJson(text), false, JSON.stringify(text))
})

t.test('what has no JSON is sent as null', async (t) => {
  t.equal(jsonCodec.encode(undefined as never), 'null')
  t.equal(jsonCodec.encode({ a: 1 }), '{"a":1}')
})

t.test('binary values are written as base64, wherever they are', async (t) => {
  const bytes = Buffer.from('abc')
  const form = { base64: true, data: bytes.toString('base64') }
  const own = new Uint8Array([...bytes])
  const view = new Uint8Array([0, ...bytes, 0]).subarray(1, 4)
  for (const [name, value] of Object.entries({ Buffer: bytes, Uint8Array: own, 'part of a buffer': view, DataView: new DataView(own.buffer), ArrayBuffer: own.buffer })) {
    t.same(JSON.parse(toJson(value)!), form, name)
    t.same(JSON.parse(toJson({ a: [1, null, { value }] })!), { a: [1, null, { value: form }] }, `${name} inside`)
    t.same(JSON.parse(toJson([[value]])!), [[form]], `${name} in arrays`)
  }
})

t.test('data without binary values is JSON as it is, dates and toJSON too', async (t) => {
  for (const value of [1, 'a', true, null, [], {}, [[]], [null], { a: null }, { a: new Date(0), b: [{ toJSON: () => 'x' }] }]) {
    t.equal(toJson(value), JSON.stringify(value))
  }
  for (const value of [undefined, () => {}, Symbol('s')]) t.equal(toJson(value), undefined)
  t.throws(() => toJson(1n), TypeError)
  const circle: unknown[] = []
  circle.push(circle)
  t.throws(() => toJson(circle), TypeError)
})

t.test('binary values are found in any depth', async (t) => {
  for (const depth of [1, 62, 63, 64, 65, 66, 100]) {
    let value: unknown = Buffer.from('abc')
    for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { value }
    t.match(toJson(value), '"base64":true', `${depth} deep`)
  }
})

t.test('sizes are those of the JSON', async (t) => {
  t.equal(jsonSize('äb'), 4)
  t.equal(jsonBytes('äb'), 5)
  t.equal(jsonSize({ a: Buffer.from('abc') }), '{"a":{"base64":true,"data":"YWJj"}}'.length)
  t.equal(jsonSize(undefined), 0)
  t.equal(jsonBytes(() => {}), 0)
  t.equal(jsonSize({ big: 12n, n: 1 }), '{"big":"12","n":1}'.length, 'a BigInt counts as its text')
  const circle: Record<string, unknown> = {}
  circle.self = circle
  t.equal(jsonSize(circle), Infinity)
  t.equal(jsonBytes({ toJSON () { throw new Error('no') } }), Infinity)
})

t.test('a codec gives text or bytes; anything else is its mistake', async (t) => {
  t.equal(encodeMessage(codec(() => 'text'), {}), 'text')
  const buffer = Buffer.from('abc')
  t.equal(encodeMessage(codec(() => buffer), {}), buffer, 'the same Buffer')
  const view = new Uint8Array([0, 1, 2, 3]).subarray(1, 3)
  const encoded = encodeMessage(codec(() => view), {}) as Buffer
  t.ok(Buffer.isBuffer(encoded))
  t.same([...encoded], [1, 2])
  t.equal(encoded.buffer, view.buffer, 'over the same bytes')
  t.same([...encodeMessage(codec(() => new Uint8Array([1, 2]).buffer), {}) as Buffer], [1, 2])
  t.same([...encodeMessage(codec(() => runInNewContext('new Uint8Array([1, 2]).buffer')), {}) as Buffer], [1, 2], 'an ArrayBuffer of another realm')
  for (const wrong of [undefined, null, 7, {}, [1]]) t.throws(() => encodeMessage(codec(() => wrong), {}), { code: 'SC_ERR_ARGUMENT', message: /codec to encode to text or bytes/ })
})

t.test('send() takes text, numbers and bytes', async (t) => {
  t.equal(rawPayload('text'), 'text')
  t.equal(rawPayload(7), '7')
  const buffer = Buffer.from('abc')
  t.equal(rawPayload(buffer), buffer)
  t.same([...rawPayload(new Uint8Array([1, 2]).buffer) as Buffer], [1, 2])
  t.same([...rawPayload([1, 2, 257]) as Buffer], [1, 2, 1], 'an array of numbers is bytes')
  for (const wrong of [undefined, null, {}, true, new Proxy([1], {})]) t.throws(() => rawPayload(wrong), { code: 'SC_ERR_ARGUMENT', message: /send.*text, a number or bytes/ })
})
