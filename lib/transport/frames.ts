// Server-to-client frames are not masked, so one frame can be built once and written to any number of
// sockets (RFC 6455, section 5.2).

const finText = 0x81
const finBinary = 0x82

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

/** A message that many sockets get: its frame is built on first use and never changed. */
export class SharedMessage {
  #frame: Buffer | null = null
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

  /** The payload alone, for sockets whose frames `ws` has to build. */
  get payload (): Buffer {
    const frame = this.frame
    return frame.subarray(this.#headerLength)
  }
}
