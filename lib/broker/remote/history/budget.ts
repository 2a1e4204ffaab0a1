import type { Followed } from './followed.js'

/** Maximum bytes of the messages of all followed channels. */
const maxBytes = 64 * 1024 * 1024

/** The memory that the messages of all followed channels take. */
export class Budget {
  readonly #followed: Iterable<Followed>
  #bytes = 0

  /** @param followed all channels. Over the budget, the messages of the first ones are dropped first */
  constructor (followed: Iterable<Followed>) {
    this.#followed = followed
  }

  /** Call when the messages of a channel changed. */
  changed (followed: Followed): void {
    this.#count(followed)
    if (this.#bytes <= maxBytes) return
    for (const other of this.#followed) {
      if (other === followed) continue
      other.tail?.clear()
      this.#count(other)
      if (this.#bytes <= maxBytes / 2) break
    }
  }

  /** Call when a channel is not followed any more. */
  forget (followed: Followed): void {
    this.#bytes -= followed.countedBytes
  }

  #count (followed: Followed): void {
    const bytes = followed.tail?.bytes ?? 0
    this.#bytes += bytes - followed.countedBytes
    followed.countedBytes = bytes
  }
}
