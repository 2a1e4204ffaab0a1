/**
 * What one server holds in memory because of its connections, in bytes: what waits to be sent, and what waits for hooks, handlers
 * and streams. One number that is added to and taken from, so that it is looked at whenever something is added.
 */
export class Holdings {
  total = 0
  readonly #limit: number
  readonly #onOver: () => void

  /** @param limit 0 for none @param onOver makes room; called on every addition that goes over the limit */
  constructor (limit: number, onOver: () => void) {
    this.#limit = limit === 0 ? Infinity : limit
    this.#onOver = onOver
  }

  /** @param bytes fewer than none for what is let go */
  add (bytes: number): void {
    this.total += bytes
    if (bytes > 0 && this.total > this.#limit) this.#onOver()
  }
}
