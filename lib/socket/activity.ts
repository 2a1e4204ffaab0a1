/**
 * What one socket has under way: actions that wait on hooks, for which reading pauses when they are too many, and answers that
 * are still owed, for which a closing server waits.
 */
export class Activity {
  waiting = 0
  owed = 0
  paused = false
  #quiet: (() => void) | null = null

  /** @param limit of waiting actions, 0 for none; reading goes on when half of them are done */
  constructor (readonly limit: number, readonly port: { pause (): void, resume (): void }) {}

  get isQuiet (): boolean {
    return this.waiting === 0 && this.owed === 0
  }

  beginWaiting (): void {
    if (++this.waiting < this.limit || this.limit === 0 || this.paused) return
    this.paused = true
    this.port.pause()
  }

  endWaiting (): void {
    this.waiting--
    if (this.paused && this.waiting * 2 <= this.limit) {
      this.paused = false
      this.port.resume()
    }
    this.#check()
  }

  beginOwing (): void {
    this.owed++
  }

  endOwing (): void {
    this.owed--
    this.#check()
  }

  /** Settles when nothing is under way. */
  whenQuiet (): Promise<void> {
    return this.isQuiet ? Promise.resolve() : new Promise((resolve) => { this.#quiet = resolve })
  }

  #check (): void {
    if (this.#quiet === null || !this.isQuiet) return
    this.#quiet()
    this.#quiet = null
  }
}
