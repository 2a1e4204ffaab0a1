import { constants, inflateRawSync } from 'node:zlib'
import t from 'tap'
import * as ws from 'ws'
import { Deflate, negotiation } from '../../lib/transport/deflate.js'
import { SharedMessage, frameOf, headerLength, writeFrame } from '../../lib/transport/frames.js'

const deflate = new Deflate({ threshold: 10 })
const sizes = [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 70_000]

/** What ws reads from frames. */
function read (bytes: Buffer): Array<[data: string, binary: boolean]> {
  const messages: Array<[string, boolean]> = []
  // There are no type declarations for it.
  const receiver = new (ws as any).Receiver({ isServer: false, allowSynchronousEvents: true })
  receiver.on('message', (data: Buffer, binary: boolean) => messages.push([data.toString(), binary]))
  receiver.on('error', (err: Error) => { throw err })
  receiver.write(bytes)
  return messages
}

t.test('a frame of any size is what ws reads, text and bytes', async (t) => {
  for (const size of sizes) {
    const text = 'x'.repeat(size)
    for (const frame of [frameOf(text, null), new SharedMessage(text).frame]) t.strictSame(read(frame), [[text, false]], `${size} characters`)
    const bytes = Buffer.from(text)
    for (const frame of [frameOf(bytes, null), new SharedMessage(bytes).frame]) t.strictSame(read(frame), [[text, true]], `${size} bytes`)
    t.equal(frameOf(text, null).length, headerLength(size) + size)
  }
  t.strictSame(read(frameOf('é€😀', null)), [['é€😀', false]])
  t.strictSame(read(new SharedMessage('é€😀').frame), [['é€😀', false]])
})

t.test('a length of more than four bytes is written whole', async (t) => {
  const header = Buffer.alloc(10)
  const huge = { length: 0x123456789, copy: () => 0 } as unknown as Buffer
  t.equal(writeFrame(header, 0, huge, huge.length), 10 + 0x123456789)
  t.strictSame([...header], [0x82, 127, 0, 0, 0, 1, 0x23, 0x45, 0x67, 0x89])
})

t.test('frames are written one behind the other', async (t) => {
  const target = Buffer.alloc(300 + 4 + 2 + 2)
  let at = writeFrame(target, 0, 'x'.repeat(300), 300)
  at = writeFrame(target, at, Buffer.from('ab'), 2)
  t.equal(at, target.length)
  t.strictSame(read(target), [['x'.repeat(300), false], ['ab', true]])
})

t.test('a message for many is framed once, and knows its size', async (t) => {
  for (const data of ['é€', Buffer.from('é€')]) {
    const message = new SharedMessage(data)
    t.equal(message.bytes, 5)
    t.equal(message.bytes, 5)
    t.equal(message.binary, typeof data !== 'string')
    t.equal(message.frame, message.frame)
    t.strictSame(message.payload.toString(), 'é€')
    t.equal(message.payload.buffer, message.frame.buffer, 'the payload is a part of the frame')
    t.equal(message.frame.buffer.byteLength, message.frame.length, 'which keeps nothing else in memory')
  }
})

t.test('a message that is worth it is compressed once for all', async (t) => {
  const message = new SharedMessage('x'.repeat(500))
  const frame = message.deflatedFrame(deflate)
  t.equal(message.deflatedFrame(deflate), frame)
  t.equal(frame[0], 0x81 | 0x40)
  t.equal(frame.length, 2 + frame[1]!)
  const inflate = (bytes: Buffer): string => inflateRawSync(Buffer.concat([bytes, Buffer.from([0, 0, 0xff, 0xff])]), { finishFlush: constants.Z_SYNC_FLUSH }).toString()
  t.equal(inflate(frame.subarray(2)), 'x'.repeat(500))
  t.notOk(frame.includes(Buffer.from([0, 0, 0xff, 0xff])), 'without what ends every compressed message')
  t.equal(frame.buffer.byteLength, frame.length, 'and keeps nothing else in memory')
  const own = frameOf(Buffer.from('x'.repeat(500)), deflate)
  t.equal(own[0], 0x82 | 0x40)
  t.equal(inflate(own.subarray(2)), 'x'.repeat(500))
  const small = new SharedMessage('x')
  t.equal(small.deflatedFrame(deflate), small.frame)
  t.equal(frameOf('x', deflate)[0], 0x81)
})

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
