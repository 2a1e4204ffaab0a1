import { constants, inflateRawSync } from 'node:zlib'
import t from 'tap'
import { Deflate } from '../../lib/transport/deflate.js'
import { frameOf } from '../../lib/transport/frames.js'
import { joinFrames, MessageSeries, SharedMessage } from '../../lib/transport/shared-message.js'

const deflate = new Deflate({ threshold: 10 })

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

t.test('messages are joined, the first time without a buffer for each', async (t) => {
  for (const data of ['é€', Buffer.from('é€'), 'x'.repeat(126), 'y'.repeat(65_536), '']) {
    const made = (): SharedMessage => new SharedMessage(data)
    const position = { epoch: 'e', offset: 2, check: 'c' }
    const series = new MessageSeries([made(), made()], { position, previous: null })
    const [first, second] = [made(), made()]
    const frame = made().frame
    t.equal(first.frameBytes, frame.length)
    t.equal(series.frameBytes, frame.length * 2)
    const expected = Buffer.concat([frame, frame, frame, frame])
    for (let time = 1; time <= 3; time++) t.ok(joinFrames([first, second, series]).equals(expected), `time ${time}`)
    t.ok(first.frame.equals(frame))
    t.equal(first.frame.buffer.byteLength, frame.length, 'its own frame keeps nothing else in memory')
    second.frame[0] = 0
    t.equal(joinFrames([second])[0], 0, 'who gets other messages beside it gets a copy of the frame')
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
