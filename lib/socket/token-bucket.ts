/**
 * Lets `rate` actions a second through, and up to `burst` at once.
 * Two numbers per bucket and no timer: the tokens that came meanwhile are counted when somebody asks.
 */
export class TokenBucket {
  #tokens: number
  #filledAt: number

  constructor (readonly rate: number, readonly burst: number, now: number) {
    this.#tokens = burst
    this.#filledAt = now
  }

  /** Takes a token. @returns 0, or the milliseconds until there is one */
  take (now: number): number {
    const tokens = this.#tokens + Math.max(0, now - this.#filledAt) * this.rate / 1000
    this.#tokens = tokens < this.burst ? tokens : this.burst
    this.#filledAt = now
    if (this.#tokens >= 1) {
      this.#tokens--
      return 0
    }
    return Math.ceil((1 - this.#tokens) * 1000 / this.rate)
  }

  /** Gives back a token that turned out not to be needed. */
  refund (): void {
    if (this.#tokens < this.burst) this.#tokens++
  }

  /** Whether it has recovered: at least half of the burst is there. */
  get recovered (): boolean {
    return this.#tokens * 2 >= this.burst
  }

  /** Whether it would be full by now, so that a new one would be the same. */
  isFull (now: number): boolean {
    return this.#tokens + (now - this.#filledAt) * this.rate / 1000 >= this.burst
  }
}
