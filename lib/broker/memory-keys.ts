import { memorySize } from '../memory-size.js'

/** The bytes of a key in its map, without its text. */
const keyBytes = 88

/** The keys of a channel's messages. Each one is kept for the ttl of the history, however many messages follow. */
export class MemoryKeys {
  /** The time of each key, the oldest first. */
  readonly #times = new Map<string, number>()
  /** An upper estimate of the bytes that the keys take. */
  bytes = 0

  get size (): number { return this.#times.size }

  /** @returns whether the key is new */
  add (key: string, now: number, ttl: number): boolean {
    this.trim(now, ttl)
    if (this.#times.has(key)) return false
    this.#times.set(key, now)
    this.bytes += sizeOf(key)
    return true
  }

  trim (now: number, ttl: number): void {
    for (const [key, time] of this.#times) {
      if (time > now - ttl) return
      this.#times.delete(key)
      this.bytes -= sizeOf(key)
    }
  }
}

function sizeOf (key: string): number {
  return keyBytes + memorySize(key)
}
