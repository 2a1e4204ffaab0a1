import t from 'tap'
import * as ws from 'ws'
import { frameOf, headerLength, writeFrame } from '../../lib/transport/frames.js'
import { SharedMessage } from '../../lib/transport/shared-message.js'

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
