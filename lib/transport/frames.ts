import type { Deflate } from './deflate.js'

// Server-to-client frames are not masked, so one frame can be built once and written to any number of
// sockets (RFC 6455, section 5.2).

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

function deflatedFrame (data: string | Buffer, deflate: Deflate): Buffer {
  const payload = deflate.compress(data)
  const frame = Buffer.allocUnsafeSlow(headerLength(payload.length) + payload.length)
  payload.copy(frame, writeHeader(frame, 0, payload.length, typeof data !== 'string'))
  frame[0]! |= deflated
  return frame
}

/** A message that many sockets get: its frame is built on first use and never changed. */
export class SharedMessage {
  #frame: Buffer | null = null
  #deflated: Buffer | null = null
  #headerLength = 0
  #bytes = -1

  constructor (readonly data: string | Buffer) {}

  /** Bytes of the payload. */
  get bytes (): number {
    if (this.#bytes === -1) this.#bytes = typeof this.data === 'string' ? Buffer.byteLength(this.data) : this.data.length
    return this.#bytes
  }

  get binary (): boolean {
    return typeof this.data !== 'string'
  }

  /** Header and payload in one buffer. */
  get frame (): Buffer {
    if (this.#frame !== null) return this.#frame
    const length = this.bytes
    this.#headerLength = headerLength(length)
    // Not from the pool: a slow reader would keep a whole pool slab alive.
    const frame = Buffer.allocUnsafeSlow(this.#headerLength + length)
    const start = writeHeader(frame, 0, length, this.binary)
    if (typeof this.data === 'string') frame.write(this.data, start, 'utf8')
    else this.data.copy(frame, start)
    return (this.#frame = frame)
  }

  /** The frame for sockets with compression: made once, too. */
  deflatedFrame (deflate: Deflate): Buffer {
    return deflate.takes(this.bytes) ? (this.#deflated ??= deflatedFrame(this.data, deflate)) : this.frame
  }

  /** The payload alone, for sockets whose frames `ws` has to build. */
  get payload (): Buffer {
    const frame = this.frame
    return frame.subarray(this.#headerLength)
  }
}
