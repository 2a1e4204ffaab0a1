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
  /** Reading pauses because hooks are slow. */
  #waitingPauses = false
  /** Reading pauses because the socket sent more than its rate. */
  #ratePauses = false
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
    if (this.#waitingPauses || !(reached(this.waiting, this.limit) || reached(this.#waitingBytes, this.byteLimit))) return bytes
    if (!this.paused) this.port.pause()
    this.#waitingPauses = true
    return bytes
  }

  endWaiting (bytes: number): void {
    this.waiting--
    this.#waitingBytes -= bytes
    if (this.#waitingPauses && !reached(this.waiting * 2 - 1, this.limit) && !reached(this.#waitingBytes * 2 - 1, this.byteLimit)) {
      this.#waitingPauses = false
      this.#resume()
    }
    this.#check()
  }

  /** An action that waits does so for something that is not the client's affair: it does not hold up reading. Its bytes still count. */
  excuse (): void {
    this.endWaiting(0)
  }

  /** What was excused is under way again. */
  include (): void {
    const { arrivedBytes } = this
    this.arrivedBytes = 0
    this.beginWaiting()
    this.arrivedBytes = arrivedBytes
  }

  /** Nothing is read from the socket for now. */
  get paused (): boolean {
    return this.#waitingPauses || this.#ratePauses
  }

  /** Whether reading pauses until the socket is within its rate again. */
  get overRate (): boolean {
    return this.#ratePauses
  }

  set overRate (over: boolean) {
    if (over === this.#ratePauses) return
    if (over && !this.paused) this.port.pause()
    this.#ratePauses = over
    if (!over) this.#resume()
  }

  #resume (): void {
    if (this.paused) return
    this.resumed = true
    this.port.resume()
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
