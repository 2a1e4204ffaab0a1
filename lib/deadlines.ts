import type { Guarded } from './barrier.js'

/** An entry of a list of deadlines. */
export abstract class Timed implements Guarded {
  /** @internal */ expiresAt = 0
  /** @internal */ earlier: Timed | null = null
  /** @internal */ later: Timed | null = null
  /** @internal */ list: Deadlines | null = null

  /** Called once when the deadline passes, unless it was cancelled. */
  abstract expire (): void

  /** Handles an error of `expire`. */
  abstract fault (err: unknown): void

  cancel (): void {
    this.list?.remove(this)
  }
}

/**
 * Deadlines of one duration. Since all have the same duration, they expire in the order in which they were added. A linked list
 * with a single timer is enough for any number of them, and adding and removing take constant time.
 */
export class Deadlines {
  #first: Timed | null = null
  #last: Timed | null = null
  #timer: NodeJS.Timeout | null = null

  /** @param duration milliseconds; with 0 deadlines never expire */
  constructor (readonly duration: number) {}

  add (timed: Timed): void {
    if (this.duration === 0) return
    timed.list = this
    timed.expiresAt = performance.now() + this.duration
    timed.earlier = this.#last
    if (this.#last === null) this.#first = timed
    else this.#last.later = timed
    this.#last = timed
    if (this.#timer === null) this.#arm(this.duration)
  }

  remove (timed: Timed): void {
    if (timed.list !== this) return
    if (timed.earlier === null) this.#first = timed.later
    else timed.earlier.later = timed.later
    if (timed.later === null) this.#last = timed.earlier
    else timed.later.earlier = timed.earlier
    timed.earlier = timed.later = timed.list = null
  }

  /** Removes all deadlines without expiring them. */
  clear (): void {
    while (this.#first !== null) this.remove(this.#first)
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  /** Expires all deadlines immediately. */
  expireAll (): void {
    while (this.#first !== null) this.#expire(this.#first)
  }

  #expire (timed: Timed): void {
    this.remove(timed)
    try {
      timed.expire()
    } catch (err) {
      timed.fault(err)
    }
  }

  #arm (delay: number): void {
    // Open connections keep the process alive; deadlines must not.
    this.#timer = setTimeout(() => this.#run(), Math.max(1, Math.ceil(delay))).unref()
  }

  #run (): void {
    this.#timer = null
    const now = performance.now()
    while (this.#first !== null && this.#first.expiresAt <= now) this.#expire(this.#first)
    // The timer is not rescheduled when the head is removed: it fires at most once per duration without need.
    if (this.#first !== null && this.#timer === null) this.#arm(this.#first.expiresAt - now)
  }
}

/** The deadlines of a server: one list per duration in use. */
export class DeadlineSets {
  readonly acks: Deadlines
  readonly handshakes: Deadlines
  readonly hooks: Deadlines
  readonly handlers: Deadlines
  readonly #byDuration = new Map<number, Deadlines>()

  constructor (options: { ackTimeout: number, handshakeTimeout: number, hookTimeout: number, handlerTimeout: number }) {
    this.acks = this.of(options.ackTimeout)
    this.handshakes = this.of(options.handshakeTimeout)
    this.hooks = this.of(options.hookTimeout)
    this.handlers = this.of(options.handlerTimeout)
  }

  /** Returns the list of a duration in milliseconds. */
  of (duration: number): Deadlines {
    let deadlines = this.#byDuration.get(duration)
    if (deadlines === undefined) this.#byDuration.set(duration, deadlines = new Deadlines(duration))
    return deadlines
  }

  clear (): void {
    for (const deadlines of this.#byDuration.values()) deadlines.clear()
  }
}
