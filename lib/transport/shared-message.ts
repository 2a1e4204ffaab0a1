import type { BrokerPosition } from '../../types/broker.js'
import type { Deflate } from './deflate.js'
import { deflatedFrame, headerLength, writeFrame, writeHeader } from './frames.js'
import type { StreamBlock } from './stream-block.js'

/** The place of a publication in a channel with `recover`. */
export interface MessagePlace {
  readonly position: BrokerPosition
  /** The position of the publication before it; `null` if it is not known. */
  readonly previous: BrokerPosition | null
}

/**
 * A message for many sockets. Its frame is built on first use, compressed at most once, and never changed: a server does not
 * mask its frames, so all sockets share the same bytes (RFC 6455, section 5.1).
 */
export class SharedMessage {
  #frame: Buffer | null = null
  #wasWritten = false
  #deflated: Buffer | null = null
  #block: StreamBlock | null = null
  #headerLength = 0
  #bytes = -1

  constructor (readonly data: string | Buffer, readonly place: MessagePlace | null = null) {}

  /** Size of the payload in bytes. */
  get bytes (): number {
    if (this.#bytes === -1) this.#bytes = typeof this.data === 'string' ? Buffer.byteLength(this.data) : this.data.length
    return this.#bytes
  }

  /** Number of messages. */
  get count (): number { return 1 }

  get binary (): boolean {
    return typeof this.data !== 'string'
  }

  /** Size of the frame in bytes. */
  get frameBytes (): number { return headerLength(this.bytes) + this.bytes }

  /**
   * Writes the frame at `offset` and returns the offset of its end. The first time it is written from the payload: messages of one
   * turn are joined once for all sockets that get them, and then none needs a buffer of its own.
   */
  writeFrame (target: Buffer, offset: number): number {
    if (this.#frame === null && !this.#wasWritten) {
      this.#wasWritten = true
      return writeFrame(target, offset, this.data, this.bytes)
    }
    return offset + this.frame.copy(target, offset)
  }

  /** The frame: header and payload in one buffer. */
  get frame (): Buffer {
    if (this.#frame !== null) return this.#frame
    const length = this.bytes
    this.#headerLength = headerLength(length)
    // Not from the pool: a slow reader would keep a whole pool slab in memory.
    const frame = Buffer.allocUnsafeSlow(this.#headerLength + length)
    const start = writeHeader(frame, 0, length, this.binary)
    if (typeof this.data === 'string') frame.write(this.data, start, 'utf8')
    else this.data.copy(frame, start)
    return (this.#frame = frame)
  }

  /** The frame for sockets with compression. It is built once too. */
  deflatedFrame (deflate: Deflate): Buffer {
    return deflate.takes(this.bytes) ? (this.#deflated ??= deflatedFrame(this.data, deflate)) : this.frame
  }

  /** The form for event streams. It is made on first use, once for all streams. */
  streamBlock (make: (message: SharedMessage) => StreamBlock): StreamBlock {
    return (this.#block ??= make(this))
  }

  /** The payload without its header, for sockets that send through `ws`. */
  get payload (): Buffer {
    const frame = this.frame
    return frame.subarray(this.#headerLength)
  }
}

/** Messages that follow each other, for sockets that get all of them: their frames are one buffer. */
export class MessageSeries extends SharedMessage {
  #frames: Buffer | null = null
  #deflatedFrames: Buffer | null = null
  #length = -1

  constructor (readonly messages: readonly SharedMessage[], place: MessagePlace) {
    super('', place)
  }

  override get count (): number { return this.messages.length }

  override get bytes (): number {
    if (this.#length === -1) this.#length = this.messages.reduce((sum, { bytes }) => sum + bytes, 0)
    return this.#length
  }

  override get frameBytes (): number { return this.frame.length }

  override writeFrame (target: Buffer, offset: number): number { return offset + this.frame.copy(target, offset) }

  override get frame (): Buffer { return (this.#frames ??= Buffer.concat(this.messages.map(({ frame }) => frame))) }

  override deflatedFrame (deflate: Deflate): Buffer {
    return (this.#deflatedFrames ??= Buffer.concat(this.messages.map((message) => message.deflatedFrame(deflate))))
  }
}

/** Joins the frames of messages. */
export function joinFrames (messages: readonly SharedMessage[]): Buffer {
  let total = 0
  for (const message of messages) total += message.frameBytes
  const joined = Buffer.allocUnsafe(total)
  let at = 0
  for (const message of messages) at = message.writeFrame(joined, at)
  return joined
}
