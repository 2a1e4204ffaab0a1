import type { Deflate } from './deflate.js'
import { deflatedFrame, headerLength, writeHeader } from './frames.js'

/**
 * A message that many sockets get. Its frame is built on first use, compressed at most once, and never changed: frames from a
 * server are not masked, so the same bytes go to any number of sockets (RFC 6455, section 5.1).
 */
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
