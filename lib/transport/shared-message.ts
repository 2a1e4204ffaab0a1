import type { BrokerPosition } from '../../types/broker.js'
import type { Deflate } from './deflate.js'
import { deflatedFrame, headerLength, writeFrame } from './frames.js'
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
  #bytes = -1

  constructor (readonly data: string | Buffer, readonly place: MessagePlace | null = null) {}

  /** Size of the payload in bytes. */
  get bytes (): number {
    if (this.#bytes === -1) this.#bytes = this.countBytes()
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
  get frame (): Buffer { return (this.#frame ??= this.buildFrame()) }

  /** The frame for sockets with compression. It is built once too. */
  deflatedFrame (deflate: Deflate): Buffer { return (this.#deflated ??= this.buildDeflated(deflate)) }

  /** The form for event streams. It is made on first use, once for all streams. */
  streamBlock (make: (message: SharedMessage) => StreamBlock): StreamBlock {
    return (this.#block ??= make(this))
  }

  /** The payload without its header, for sockets that send through `ws`. */
  get payload (): Buffer { return this.frame.subarray(headerLength(this.bytes)) }

  protected countBytes (): number { return typeof this.data === 'string' ? Buffer.byteLength(this.data) : this.data.length }

  protected buildFrame (): Buffer {
    // Not from the pool: a slow reader would keep a whole pool slab in memory.
    const frame = Buffer.allocUnsafeSlow(this.frameBytes)
    writeFrame(frame, 0, this.data, this.bytes)
    return frame
  }

  protected buildDeflated (deflate: Deflate): Buffer {
    return deflate.takes(this.bytes) ? deflatedFrame(this.data, deflate) : this.frame
  }
}

/** Messages that follow each other, for sockets that get all of them: their frames are one buffer. */
export class MessageSeries extends SharedMessage {
  constructor (readonly messages: readonly SharedMessage[], place: MessagePlace) {
    super('', place)
  }

  override get count (): number { return this.messages.length }
  // Asked for once for each socket; the frame is needed all the same.
  override get frameBytes (): number { return this.frame.length }
  override writeFrame (target: Buffer, offset: number): number { return offset + this.frame.copy(target, offset) }
  protected override countBytes (): number { return this.messages.reduce((sum, { bytes }) => sum + bytes, 0) }

  protected override buildFrame (): Buffer { return joinFrames(this.messages, Buffer.allocUnsafeSlow) }

  protected override buildDeflated (deflate: Deflate): Buffer {
    return Buffer.concat(this.messages.map((message) => message.deflatedFrame(deflate)))
  }
}

/** Joins the frames of messages. */
export function joinFrames (messages: readonly SharedMessage[], allocate: (bytes: number) => Buffer = Buffer.allocUnsafe): Buffer {
  let total = 0
  for (const message of messages) total += message.frameBytes
  const joined = allocate(total)
  let at = 0
  for (const message of messages) at = message.writeFrame(joined, at)
  return joined
}
