import type { Guarded } from '../barrier.js'

/** A connection with messages to write. */
export interface Flushable extends Guarded {
  flush (flusher: Flusher): void
}

/** Longest time in milliseconds that one slice of a large fan-out may block the event loop. */
const sliceTime = 8
const targetsPerClockRead = 32

/**
 * Writes the queues of all connections once per turn of the event loop, so that the messages of one turn share one system
 * call. A fan-out to very many connections is cut into slices; answers and pings are written before the next slice.
 */
export class Flusher {
  #urgent: Flushable[] = []
  #bulk: Flushable[] = []
  #bulkAt = 0
  #tickScheduled = false
  #sliceScheduled = false
  readonly #run = (): void => {
    this.#tickScheduled = false
    this.#flushUrgent()
    if (!this.#sliceScheduled) this.#flushBulk()
  }

  readonly #runSlice = (): void => {
    this.#sliceScheduled = false
    this.#flushUrgent()
    this.#flushBulk()
  }

  // Connections that got the same publications in one turn share the joined buffer.
  #lastParts: readonly object[] = []
  #lastJoined: Buffer | null = null

  add (target: Flushable, urgent: boolean): void {
    if (urgent) this.#urgent.push(target)
    else this.#bulk.push(target)
    if (!this.#tickScheduled) {
      this.#tickScheduled = true
      process.nextTick(this.#run)
    }
  }

  /** Joins frames, or messages, with `join`. Returns the previous buffer when the parts are the same ones. */
  joined<Part extends object> (parts: readonly Part[], join: (parts: readonly Part[]) => Buffer): Buffer {
    const last = this.#lastParts
    if (this.#lastJoined !== null && last.length === parts.length && parts.every((part, i) => part === last[i])) return this.#lastJoined
    this.#lastParts = parts
    return (this.#lastJoined = join(parts))
  }

  #flushUrgent (): void {
    if (this.#urgent.length === 0) return
    const targets = this.#urgent
    this.#urgent = []
    for (const target of targets) this.#flush(target)
  }

  #flush (target: Flushable): void {
    try {
      target.flush(this)
    } catch (err) {
      target.fault(err)
    }
  }

  #flushBulk (): void {
    const targets = this.#bulk
    if (targets.length === 0) return
    const end = performance.now() + sliceTime
    let at = this.#bulkAt
    while (at < targets.length) {
      this.#flush(targets[at++]!)
      if (at % targetsPerClockRead === 0 && performance.now() > end) break
    }
    if (at < targets.length) {
      this.#bulkAt = at
      this.#sliceScheduled = true
      setImmediate(this.#runSlice)
      return
    }
    this.#bulk = []
    this.#bulkAt = 0
    this.#lastParts = []
    this.#lastJoined = null
  }
}
