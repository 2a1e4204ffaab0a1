import { Timed } from '../deadlines.js'
import { memorySize } from '../memory-size.js'
import type { Holdings } from '../transport/holdings.js'

/** What an action takes beside its data while it waits: closures, promises, a place in a list. */
const actionBytes = 256

/** Bytes that may be held beyond what makes reading pause: what had been read before the pause comes all the same. */
const overrunBytes = 1_048_576

/** An action whose handler goes on asynchronously, with the data that it keeps. */
export abstract class Owed extends Timed {
  /** @internal */ priorOwed: Owed | null = null
  /** @internal */ nextOwed: Owed | null = null
  /** @internal What is counted for it. */ heldBytes = 0
}

/** What an activity asks of the connection. */
export interface PausableConnection {
  readonly holdings: Holdings
  pause (): void
  resume (): void
}

/**
 * What one socket has under way: messages that wait for hooks, handlers and streams, for which reading pauses when they are too
 * many or too large, and answers that are still owed, for which a closing server waits.
 */
export class Activity {
  /** Actions that wait on hooks. */
  waiting = 0
  /** Answers that are still owed. */
  owed = 0
  /** Bytes of messages that wait for hooks, handlers and streams. */
  heldBytes = 0
  /** Reading pauses because hooks, handlers or streams are slow. */
  #waitingPauses = false
  /** Reading pauses because the socket sent more than its rate. */
  #ratePauses = false
  /** Reading pauses because a message with many packets is worked on. */
  #workPauses = false
  /** Reading went on after a pause since the heartbeat last judged it: it gets one more round. */
  resumed = false
  #progressAt = 0
  #ended = false
  #firstOwed: Owed | null = null
  #quiet: (() => void) | null = null

  /** @param limit of actions that wait on hooks, and of the bytes that are held; 0 for none. Reading goes on when half of them are done. */
  constructor (readonly limit: number, readonly byteLimit: number, readonly connection: PausableConnection) {}

  get isQuiet (): boolean {
    return this.waiting === 0 && this.owed === 0
  }

  /** More is held than a pause of reading can bring about: the client sends faster than it is read. */
  get overrun (): boolean {
    return this.byteLimit !== 0 && this.heldBytes > this.byteLimit + overrunBytes
  }

  /** Data of a message are kept. @returns what `release` gets */
  hold (data: unknown): number {
    return this.holdBytes(actionBytes + memorySize(data))
  }

  /** The same where the size is known. */
  holdBytes (bytes: number): number {
    if (this.#ended) return 0
    this.heldBytes += bytes
    this.connection.holdings.add(bytes)
    this.#pauseIfOver()
    return bytes
  }

  /** It waits no more. */
  release (bytes: number): void {
    if (this.#ended) return
    this.heldBytes -= bytes
    this.connection.holdings.add(-bytes)
    this.#resumeIfDone()
  }

  /** An action waits on hooks. @returns what `endWaiting` gets */
  beginWaiting (data: unknown): number {
    this.waiting++
    return this.hold(data)
  }

  endWaiting (bytes: number): void {
    this.waiting--
    this.release(bytes)
    this.#resumeIfDone()
    this.#check()
  }

  /** An action that waits does so for something that is not the client's affair: it does not hold up reading. Its bytes still count. */
  excuse (): void {
    this.endWaiting(0)
  }

  /** What was excused is under way again. */
  include (): void {
    this.waiting++
    this.#pauseIfOver()
  }

  /** Nothing is read from the socket for now. */
  get paused (): boolean {
    return this.#waitingPauses || this.#ratePauses || this.#workPauses
  }

  /** When something that reading waits for was last done, by `performance.now()`; `Infinity` while it waits for nothing. */
  get progressAt (): number {
    return this.#waitingPauses ? this.#progressAt : Infinity
  }

  /** Whether reading pauses until the socket is within its rate again. */
  get overRate (): boolean {
    return this.#ratePauses
  }

  set overRate (over: boolean) {
    if (over === this.#ratePauses) return
    if (over && !this.paused) this.connection.pause()
    this.#ratePauses = over
    if (!over) this.#resume()
  }

  /** Whether reading pauses until the packets of a message are done. */
  get working (): boolean {
    return this.#workPauses
  }

  set working (working: boolean) {
    if (working === this.#workPauses) return
    if (working && !this.paused) this.connection.pause()
    this.#workPauses = working
    if (!working) this.#resume()
  }

  #pauseIfOver (): void {
    if (this.#waitingPauses || !(reached(this.waiting, this.limit) || reached(this.heldBytes, this.byteLimit))) return
    this.#progressAt = performance.now()
    if (!this.paused) this.connection.pause()
    this.#waitingPauses = true
  }

  #resumeIfDone (): void {
    if (!this.#waitingPauses) return
    this.#progressAt = performance.now()
    if (reached(this.waiting * 2 - 1, this.limit) || reached(this.heldBytes * 2 - 1, this.byteLimit)) return
    this.#waitingPauses = false
    this.#resume()
  }

  #resume (): void {
    if (this.paused) return
    this.resumed = true
    this.connection.resume()
  }

  /** A handler goes on asynchronously. */
  keep (owed: Owed, data: unknown): void {
    if (this.#ended) return
    owed.heldBytes = this.hold(data)
    owed.nextOwed = this.#firstOwed
    if (this.#firstOwed !== null) this.#firstOwed.priorOwed = owed
    this.#firstOwed = owed
  }

  /** It is done. One that was never kept changes nothing. */
  forget (owed: Owed): void {
    const { heldBytes } = owed
    if (heldBytes === 0) return
    owed.heldBytes = 0
    if (owed.priorOwed === null) this.#firstOwed = owed.nextOwed
    else owed.priorOwed.nextOwed = owed.nextOwed
    if (owed.nextOwed !== null) owed.nextOwed.priorOwed = owed.priorOwed
    owed.priorOwed = owed.nextOwed = null
    this.release(heldBytes)
  }

  beginOwing (): void {
    this.owed++
  }

  endOwing (): void {
    this.owed--
    this.#check()
  }

  /** The connection is gone. */
  get ended (): boolean {
    return this.#ended
  }

  /** The connection is gone: what still waits is let go, and counted no more. */
  end (): void {
    if (this.#ended) return
    this.#ended = true
    this.connection.holdings.add(-this.heldBytes)
    this.heldBytes = 0
    this.#waitingPauses = false
    for (let owed = this.#firstOwed; owed !== null;) {
      const next: Owed | null = owed.nextOwed
      owed.priorOwed = owed.nextOwed = null
      owed.heldBytes = 0
      owed.cancel()
      owed = next
    }
    this.#firstOwed = null
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
