import t from 'tap'
import { Deflate, negotiation } from '../../lib/transport/deflate.js'

const deflate = new Deflate({ threshold: 10 })

t.test('messages are compressed from a size on, and up to one', async (t) => {
  t.strictSame([9, 10, 11, 131_072, 131_073].map((bytes) => deflate.takes(bytes)), [false, true, true, true, false])
  t.strictSame([1_023, 1_024].map((bytes) => new Deflate(true).takes(bytes)), [false, true])
  t.strictSame([1_023, 1_024].map((bytes) => new Deflate({}).takes(bytes)), [false, true])
})

t.test('a client that may have asked for a smaller window is served by ws', async (t) => {
  const serves = (header?: string): boolean => deflate.serves({ headers: { 'sec-websocket-extensions': header } } as never)
  t.equal(serves(), true)
  t.equal(serves('permessage-deflate; client_max_window_bits'), true)
  t.equal(serves('permessage-deflate; server_max_window_bits=10'), false)
})

t.test('options of zlib are the application\'s', async (t) => {
  const text = Buffer.from(Array.from({ length: 20_000 }, (_item, i) => (i * 7919) % 251))
  const plain = new Deflate(true).compress(text)
  t.ok(new Deflate({ zlibDeflateOptions: { level: 0 } }).compress(text).length > plain.length)
  const repeated = Buffer.concat([text.subarray(0, 2_000), text.subarray(0, 2_000).reverse()])
  const far = Buffer.concat([repeated, repeated])
  t.ok(new Deflate({ serverMaxWindowBits: 9 }).compress(far).length >= new Deflate({ serverMaxWindowBits: true }).compress(far).length)
})

t.test('what is negotiated by default keeps no context', async (t) => {
  t.strictSame(negotiation(true), { threshold: 1_024, serverNoContextTakeover: true, clientNoContextTakeover: true, concurrencyLimit: 4 })
  t.equal(negotiation(false), false)
  const own = { threshold: 1 }
  t.equal(negotiation(own), own)
})
