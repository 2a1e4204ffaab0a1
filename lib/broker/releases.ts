/**
 * Released channels that wait for their unsubscribe. All of them wait for the same time, so they are due in the order in which
 * they were added.
 */
export class Releases<T> {
  readonly #delay: number
  readonly #due: (released: T[]) => void
  readonly #waiting = new Map<T, number>()
  #timer: NodeJS.Timeout | null = null

  /** @param delay milliseconds @param due called with everything that has waited for the delay */
  constructor (delay: number, due: (released: T[]) => void) {
    this.#delay = delay
    this.#due = due
  }

  add (item: T): void {
    // Deleted first, so that the map stays ordered by time.
    this.#waiting.delete(item)
    this.#waiting.set(item, performance.now() + this.#delay)
    this.#timer ??= this.#wait(this.#delay)
  }

  delete (item: T): void {
    this.#waiting.delete(item)
  }

  stop (): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#waiting.clear()
  }

  #wait (delay: number): NodeJS.Timeout {
    return setTimeout(() => this.#flush(), delay).unref()
  }

  #flush (): void {
    this.#timer = null
    const now = performance.now()
    const released: T[] = []
    for (const [item, time] of this.#waiting) {
      // One millisecond of tolerance: timers run in whole milliseconds.
      if (time > now + 1) {
        this.#timer = this.#wait(Math.max(1, time - now))
        break
      }
      this.#waiting.delete(item)
      released.push(item)
    }
    if (released.length !== 0) this.#due(released)
  }
}
