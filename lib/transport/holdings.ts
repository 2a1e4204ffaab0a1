/**
 * Memory in bytes that one server holds for its connections: queued output, and data that waits for hooks, handlers and streams.
 * It is one running total, so the limit is checked on every addition.
 */
export class Holdings {
  total = 0
  readonly #limit: number
  readonly #onOver: () => void

  /**
   * @param limit bytes; 0 for no limit
   * @param onOver makes room; called on every addition that exceeds the limit
   */
  constructor (limit: number, onOver: () => void) {
    this.#limit = limit === 0 ? Infinity : limit
    this.#onOver = onOver
  }

  /** @param bytes negative to release */
  add (bytes: number): void {
    this.total += bytes
    if (bytes > 0 && this.total > this.#limit) this.#onOver()
  }
}
