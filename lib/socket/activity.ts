import { Timed } from '../deadlines.js'
import { memorySize } from '../memory-size.js'
import type { Holdings } from '../transport/holdings.js'

/** Bytes that a waiting action takes beside its data: closures, promises, a list entry. */
const actionBytes = 256

/** Bytes that may be held above the limit that pauses reading: data read before the pause still arrives. */
const overrunBytes = 1_048_576

/** An action with an asynchronous handler, and the data that it keeps. */
export abstract class Owed extends Timed {
  /** @internal */ priorOwed: Owed | null = null
  /** @internal */ nextOwed: Owed | null = null
  /** @internal Bytes counted for this action. */ heldBytes = 0
}

/** The part of a connection that an activity uses. */
export interface PausableConnection {
  readonly holdings: Holdings
  pause (): void
  resume (): void
}

/**
 * The work of one socket that is under way: messages that wait for hooks, handlers and streams (reading pauses when they are too
 * many or too large), and answers still to be sent (a closing server waits for them).
 */
export class Activity {
  /** Number of actions that wait for hooks. */
  waiting = 0
  /** Number of answers still to be sent. */
  owed = 0
  /** Bytes of messages that wait for hooks, handlers and streams. */
  heldBytes = 0
  /** Whether reading is paused because hooks, handlers or streams are slow. */
  #waitingPauses = false
  /** Whether reading is paused because the socket exceeded its rate. */
  #ratePauses = false
  /** Whether reading is paused while a message with many packets is processed. */
  #workPauses = false
  /** Set when reading resumes after a pause. The heartbeat then gives the client one more round before it ends the connection. */
  resumed = false
  #progressAt = 0
  #ended = false
  #firstOwed: Owed | null = null
  #quiet: (() => void) | null = null

  /**
   * @param limit maximum of actions that wait for hooks; 0 for no limit
   * @param byteLimit maximum of held bytes; 0 for no limit. Reading resumes when both are at half of their limits or below.
   */
  constructor (readonly limit: number, readonly byteLimit: number, readonly connection: PausableConnection) {}

  get isQuiet (): boolean {
    return this.waiting === 0 && this.owed === 0
  }

  /** Whether more is held than a pause of reading can explain: the client sends faster than the server reads. */
  get overrun (): boolean {
    return this.byteLimit !== 0 && this.heldBytes > this.byteLimit + overrunBytes
  }

  /** Counts the data of a message that is kept. @returns the bytes to pass to `release` */
  hold (data: unknown): number {
    return this.holdBytes(actionBytes + memorySize(data))
  }

  /** Like `hold`, for a known size. @returns the bytes to pass to `release` */
  holdBytes (bytes: number): number {
    if (this.#ended) return 0
    this.heldBytes += bytes
    this.connection.holdings.add(bytes)
    this.#pauseIfOver()
    return bytes
  }

  /** Stops counting bytes that `hold` or `holdBytes` counted. */
  release (bytes: number): void {
    if (this.#ended) return
    this.heldBytes -= bytes
    this.connection.holdings.add(-bytes)
    this.#resumeIfDone()
  }

  /** Counts an action that waits for hooks. @returns the bytes to pass to `endWaiting` */
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

  /**
   * Stops counting an action that waits for something outside the client's control, so that it does not pause reading. Its bytes
   * still count.
   */
  excuse (): void {
    this.endWaiting(0)
  }

  /** Counts an excused action again. */
  include (): void {
    this.waiting++
    this.#pauseIfOver()
  }

  /** Whether reading from the socket is paused. */
  get paused (): boolean {
    return this.#waitingPauses || this.#ratePauses || this.#workPauses
  }

  /**
   * Time of the last progress (`performance.now()`) while slow hooks, handlers or streams pause reading; otherwise `Infinity`.
   */
  get progressAt (): number {
    return this.#waitingPauses ? this.#progressAt : Infinity
  }

  /** Whether reading is paused until the socket is within its rate again. */
  get overRate (): boolean {
    return this.#ratePauses
  }

  set overRate (over: boolean) {
    if (over === this.#ratePauses) return
    if (over && !this.paused) this.connection.pause()
    this.#ratePauses = over
    if (!over) this.#resume()
  }

  /** Whether reading is paused until all packets of a message are processed. */
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

  /** Tracks an action with an asynchronous handler, and counts its data. */
  keep (owed: Owed, data: unknown): void {
    if (this.#ended) return
    owed.heldBytes = this.hold(data)
    owed.nextOwed = this.#firstOwed
    if (this.#firstOwed !== null) this.#firstOwed.priorOwed = owed
    this.#firstOwed = owed
  }

  /** Stops tracking an action. Does nothing when the action was never kept. */
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

  /** Whether the connection is gone. */
  get ended (): boolean {
    return this.#ended
  }

  /** Call when the connection is gone: cancels tracked actions and stops counting their bytes. */
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

  /** Resolves when no action waits and no answer is outstanding. */
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
