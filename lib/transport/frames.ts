import type { Deflate } from './deflate.js'

// Frames of RFC 6455, section 5.2. A server does not mask its frames.

const finText = 0x81
const finBinary = 0x82
/** RSV1 bit: the payload is compressed (RFC 7692, section 6). */
const deflated = 0x40

/** Length of a frame header in bytes, for a payload of this length. */
export function headerLength (payloadLength: number): number {
  return payloadLength < 126 ? 2 : payloadLength < 65536 ? 4 : 10
}

/** Writes a frame header at `offset` and returns the offset of the payload. */
function writeHeader (target: Buffer, offset: number, payloadLength: number, binary: boolean): number {
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

/** Builds a frame in a new buffer, compressed when `deflate` takes the message. */
export function frameOf (data: string | Buffer, deflate: Deflate | null): Buffer {
  const length = typeof data === 'string' ? Buffer.byteLength(data) : data.length
  if (deflate?.takes(length) === true) return deflatedFrame(data, deflate)
  const frame = Buffer.allocUnsafe(headerLength(length) + length)
  writeFrame(frame, 0, data, length)
  return frame
}

/** Writes a frame at `offset` and returns the offset of its end. */
export function writeFrame (target: Buffer, offset: number, data: string | Buffer, length: number): number {
  const start = writeHeader(target, offset, length, typeof data !== 'string')
  if (typeof data === 'string') target.write(data, start, 'utf8')
  else data.copy(target, start)
  return start + length
}

/** Builds a frame with a compressed payload in a new buffer. */
export function deflatedFrame (data: string | Buffer, deflate: Deflate): Buffer {
  const payload = deflate.compress(data)
  const frame = Buffer.allocUnsafeSlow(headerLength(payload.length) + payload.length)
  payload.copy(frame, writeHeader(frame, 0, payload.length, typeof data !== 'string'))
  frame[0]! |= deflated
  return frame
}
