import { randomBytes } from 'node:crypto'

/** A masked text frame as clients send it. */
export function clientFrame (text, opcode = 1) {
  const payload = Buffer.from(text)
  const head = payload.length < 126 ? Buffer.alloc(2) : Buffer.alloc(4)
  head[0] = 0x80 | opcode
  if (payload.length < 126) {
    head[1] = 0x80 | payload.length
  } else if (payload.length < 65536) {
    head[1] = 0x80 | 126
    head.writeUInt16BE(payload.length, 2)
  } else {
    throw new RangeError(`expected a message of less than 64 KiB, got ${payload.length} bytes`)
  }
  const mask = randomBytes(4)
  mask[0] |= 1 // servers may skip the unmasking when the key is zero
  for (let i = 0; i < payload.length; i++) payload[i] ^= mask[i & 3]
  return Buffer.concat([head, mask, payload])
}

/** Bit RSV1 of the first byte. */
const compressed = 0x40
const nothing = Buffer.alloc(0)

/**
 * Counts the frames of one connection by their headers alone. The payload is looked at only when it is so short that it can
 * be a ping, when the frame is a control frame, or while `readText` is set.
 */
export class FrameCounter {
  /** Called with each text while it is set; with null for one that is compressed. */
  readText = null
  #rest = nothing
  #skip = 0

  /** @param {(opcode: number, payload: Buffer) => boolean} onShort gets payloads of up to 2 bytes and control frames; returns whether it is a message to count */
  constructor (onShort) {
    this.onShort = onShort
  }

  /**
   * @param {Buffer} chunk is not kept
   * @returns {number} messages that began in it
   */
  take (chunk) {
    let at = 0
    let count = 0
    if (this.#skip > 0) {
      if (this.#skip >= chunk.length) {
        this.#skip -= chunk.length
        return 0
      }
      at = this.#skip
      this.#skip = 0
    } else if (this.#rest.length > 0) {
      chunk = Buffer.concat([this.#rest, chunk])
      this.#rest = nothing
    }
    while (at < chunk.length) {
      const left = chunk.length - at
      if (left < 2) return this.#keep(chunk, at, count)
      const opcode = chunk[at] & 0x0f
      let length = chunk[at + 1] & 0x7f
      let head = 2
      if (length === 126) {
        head = 4
        if (left < head) return this.#keep(chunk, at, count)
        length = chunk.readUInt16BE(at + 2)
      } else if (length === 127) {
        head = 10
        if (left < head) return this.#keep(chunk, at, count)
        length = Number(chunk.readBigUInt64BE(at + 2))
      }
      const end = at + head + length
      const short = length <= 2 || opcode >= 8
      if (short || this.readText !== null) {
        if (end > chunk.length) return this.#keep(chunk, at, count)
        const payload = chunk.subarray(at + head, end)
        if (!short || this.onShort(opcode, payload)) {
          this.readText?.((chunk[at] & compressed) === 0 ? payload.toString() : null)
          count++
        }
      } else {
        count++
        if (end > chunk.length) {
          this.#skip = end - chunk.length
          return count
        }
      }
      at = end
    }
    return count
  }

  #keep (chunk, at, count) {
    this.#rest = Buffer.from(chunk.subarray(at))
    return count
  }
}
