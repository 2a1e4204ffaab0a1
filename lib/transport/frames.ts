import type { Deflate } from './deflate.js'

// Frames of RFC 6455, section 5.2. Those from a server to its clients are not masked.

const finText = 0x81
const finBinary = 0x82
/** RSV1: the payload is compressed (RFC 7692, section 6). */
const deflated = 0x40

/** The bytes a frame's header takes for a payload of this length. */
export function headerLength (payloadLength: number): number {
  return payloadLength < 126 ? 2 : payloadLength < 65536 ? 4 : 10
}

/** Writes a header at `offset` and returns where the payload starts. */
export function writeHeader (target: Buffer, offset: number, payloadLength: number, binary: boolean): number {
  target[offset] = binary ? finBinary : finText
  if (payloadLength < 126) {
    target[offset + 1] = payloadLength
    return offset + 2
  }
  if (payloadLength < 65536) {
    target[offset + 1] = 126
    target[offset + 2] = payloadLength >>> 8
    target[offset + 3] = payloadLength & 0xff
    return offset + 4
  }
  target[offset + 1] = 127
  target.writeUInt32BE(Math.floor(payloadLength / 0x100000000), offset + 2)
  target.writeUInt32BE(payloadLength >>> 0, offset + 6)
  return offset + 10
}

/** A frame of its own. */
export function frameOf (data: string | Buffer, deflate: Deflate | null): Buffer {
  const length = typeof data === 'string' ? Buffer.byteLength(data) : data.length
  if (deflate?.takes(length) === true) return deflatedFrame(data, deflate)
  const frame = Buffer.allocUnsafe(headerLength(length) + length)
  writeFrame(frame, 0, data, length)
  return frame
}

/** Writes a frame at `offset` and returns where it ends. */
export function writeFrame (target: Buffer, offset: number, data: string | Buffer, length: number): number {
  const start = writeHeader(target, offset, length, typeof data !== 'string')
  if (typeof data === 'string') target.write(data, start, 'utf8')
  else data.copy(target, start)
  return start + length
}

/** A frame of its own whose payload is compressed. */
export function deflatedFrame (data: string | Buffer, deflate: Deflate): Buffer {
  const payload = deflate.compress(data)
  const frame = Buffer.allocUnsafeSlow(headerLength(payload.length) + payload.length)
  payload.copy(frame, writeHeader(frame, 0, payload.length, typeof data !== 'string'))
  frame[0]! |= deflated
  return frame
}
