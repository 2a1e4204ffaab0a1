import type { Guarded } from '../barrier.js'

/** Maximum delay in milliseconds until an expiry is noticed. */
const tick = 100

/**
 * Notices when tokens expire, with one timer for any number of tokens. Tokens wait in buckets of one tick each. No timer runs
 * while no token waits.
 */
export class ExpiryWheel<Item extends Guarded> {
  readonly #onExpire: (item: Item) => void
  readonly #buckets = new Map<number, Set<Item>>()
  readonly #ticks = new Map<Item, number>()
  #timer: NodeJS.Timeout | null = null
  #last = 0

  constructor (onExpire: (item: Item) => void) {
    this.#onExpire = onExpire
  }

  /**
   * Schedules the expiry of an item and replaces an earlier one.
   * @param at milliseconds since the epoch
   */
  add (item: Item, at: number): void {
    this.remove(item)
    if (!Number.isFinite(at)) return
    if (this.#timer === null) {
      this.#last = Math.floor(Date.now() / tick)
      this.#timer = setInterval(() => this.#run(), tick).unref()
    }
    // Rounded up, and never a tick that has already run.
    const due = Math.max(Math.floor(at / tick) + 1, this.#last + 1)
    const bucket = this.#buckets.get(due)
    if (bucket === undefined) this.#buckets.set(due, new Set([item]))
    else bucket.add(item)
    this.#ticks.set(item, due)
  }

  remove (item: Item): void {
    const due = this.#ticks.get(item)
    if (due === undefined) return
    this.#ticks.delete(item)
    const bucket = this.#buckets.get(due)!
    bucket.delete(item)
    if (bucket.size === 0) this.#buckets.delete(due)
    if (this.#ticks.size === 0) this.stop()
  }

  stop (): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  #run (): void {
    const now = Math.floor(Date.now() / tick)
    // After a long sleep, more ticks may have passed than there are buckets.
    const due = now - this.#last > this.#buckets.size
      ? [...this.#buckets.keys()].filter((at) => at <= now).sort((a, b) => a - b)
      : Array.from({ length: Math.max(0, now - this.#last) }, (_, i) => this.#last + 1 + i)
    this.#last = Math.max(this.#last, now)
    for (const at of due) {
      const bucket = this.#buckets.get(at)
      if (bucket === undefined) continue
      // `onExpire` may remove other items from the same bucket.
      for (const item of bucket) {
        this.remove(item)
        try {
          this.#onExpire(item)
        } catch (err) {
          item.fault(err)
        }
      }
    }
  }
}
