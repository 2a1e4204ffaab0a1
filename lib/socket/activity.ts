/**
 * What one socket has under way: actions that wait on hooks, for which reading pauses when they are too many, and answers that
 * are still owed, for which a closing server waits.
 */
export class Activity {
  /** Set for each message that comes in: the first action of it that waits holds so many bytes. */
  arrivedBytes = 0
  waiting = 0
  #waitingBytes = 0
  owed = 0
  paused = false
  /** Reading went on after a pause since the heartbeat last judged it: it gets one more round. */
  resumed = false
  #quiet: (() => void) | null = null

  /** @param limit of waiting actions, and of the bytes they came in; 0 for none. Reading goes on when half of them are done. */
  constructor (readonly limit: number, readonly byteLimit: number, readonly port: { pause (): void, resume (): void }) {}

  get isQuiet (): boolean {
    return this.waiting === 0 && this.owed === 0
  }

  /** @returns the bytes that wait with it, for `endWaiting` */
  beginWaiting (): number {
    const bytes = this.arrivedBytes
    this.arrivedBytes = 0
    this.waiting++
    this.#waitingBytes += bytes
    if (this.paused || !(reached(this.waiting, this.limit) || reached(this.#waitingBytes, this.byteLimit))) return bytes
    this.paused = true
    this.port.pause()
    return bytes
  }

  endWaiting (bytes: number): void {
    this.waiting--
    this.#waitingBytes -= bytes
    if (this.paused && !reached(this.waiting * 2 - 1, this.limit) && !reached(this.#waitingBytes * 2 - 1, this.byteLimit)) {
      this.paused = false
      this.resumed = true
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

function reached (value: number, limit: number): boolean {
  return limit !== 0 && value >= limit
}
