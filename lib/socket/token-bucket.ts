/**
 * Allows `rate` actions per second and up to `burst` at once. Needs two numbers per bucket and no timer: tokens are added when
 * the bucket is used.
 */
export class TokenBucket {
  #tokens: number
  #filledAt: number

  constructor (readonly rate: number, readonly burst: number, now: number) {
    this.#tokens = burst
    this.#filledAt = now
  }

  /** Takes a token. @returns 0, or the milliseconds until a token is available */
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

  /** Returns a token that was not needed. */
  refund (): void {
    if (this.#tokens < this.burst) this.#tokens++
  }

  /** Whether at least half of the burst was left after the last `take`. */
  get recovered (): boolean {
    return this.#tokens * 2 >= this.burst
  }

  /** Whether the bucket would be full by now, and so could be replaced by a new one. */
  isFull (now: number): boolean {
    return this.#tokens + (now - this.#filledAt) * this.rate / 1000 >= this.burst
  }
}
