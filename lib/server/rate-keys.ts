import { TokenBucket } from '../socket/token-bucket.js'

/** Number of buckets checked for each one added, so that full ones do not pile up. */
const sweepStep = 2

/** Token buckets shared by several sockets, such as those of one user or one address. */
export class RateKeys {
  readonly #rate: number
  readonly #burst: number
  readonly #buckets = new Map<string, TokenBucket>()
  #sweeper: IterableIterator<[string, TokenBucket]> | null = null

  constructor (rate: number, burst: number) {
    this.#rate = rate
    this.#burst = burst
  }

  /** Takes a token from the bucket of a key. @returns 0, or the milliseconds until one is available */
  take (key: string, now: number): number {
    let bucket = this.#buckets.get(key)
    if (bucket === undefined) {
      this.#sweep(now)
      this.#buckets.set(key, bucket = new TokenBucket(this.#rate, this.#burst, now))
    }
    return bucket.take(now)
  }

  get size (): number { return this.#buckets.size }

  #sweep (now: number): void {
    for (let i = 0; i < sweepStep; i++) {
      this.#sweeper ??= this.#buckets.entries()
      const next = this.#sweeper.next()
      if (next.done === true) {
        this.#sweeper = null
        return
      }
      const [key, bucket] = next.value
      if (bucket.isFull(now)) this.#buckets.delete(key)
    }
  }
}
