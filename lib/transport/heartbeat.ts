import type { Guarded } from '../barrier.js'

/** A connection that is kept alive. */
export interface Beating extends Guarded {
  /** When something last came from it, by `performance.now()`: the time of day may jump. */
  readonly lastSeen: number
  ping (): void
  /** Nothing came for the whole of `pingTimeout`. */
  pingTimedOut (): void
}

const slots = 16

/**
 * One timer for all connections: they are spread over the slots of a wheel that turns once per `pingInterval`, and each is
 * pinged when its slot comes by. One that may run out of time before its next visit is watched at every tick.
 */
export class Heartbeat {
  readonly #interval: number
  readonly #timeout: number
  readonly #wheel: Array<Set<Beating>> = Array.from({ length: slots }, () => new Set())
  readonly #slotOf = new Map<Beating, number>()
  readonly #suspects = new Set<Beating>()
  #at = 0
  #tickedAt = 0
  #timer: NodeJS.Timeout | null = null

  /** @param interval and timeout in milliseconds */
  constructor (interval: number, timeout: number) {
    this.#interval = interval
    this.#timeout = timeout
  }

  add (beating: Beating): void {
    // Its first ping comes when the wheel has turned once.
    this.#slotOf.set(beating, this.#at)
    this.#wheel[this.#at]!.add(beating)
    const now = performance.now()
    this.#watchIfDue(beating, now)
    if (this.#timer !== null) return
    this.#tickedAt = now
    this.#timer = setInterval(() => this.#tick(), this.#interval / slots).unref()
  }

  remove (beating: Beating): void {
    const slot = this.#slotOf.get(beating)
    if (slot === undefined) return
    this.#slotOf.delete(beating)
    this.#wheel[slot]!.delete(beating)
    this.#suspects.delete(beating)
    if (this.#slotOf.size === 0) this.stop()
  }

  stop (): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  #tick (): void {
    const now = performance.now()
    const late = now - this.#tickedAt > this.#interval / slots * 2
    this.#tickedAt = now
    this.#at = (this.#at + 1) % slots
    for (const beating of this.#wheel[this.#at]!) {
      try {
        beating.ping()
      } catch (err) {
        beating.fault(err)
      }
      this.#watchIfDue(beating, now)
    }
    // This process was busy; what clients sent meanwhile may still wait to be read.
    if (late) return
    for (const beating of this.#suspects) {
      const silence = now - beating.lastSeen
      if (silence >= this.#timeout) this.#timedOut(beating)
      else if (silence + this.#interval < this.#timeout) this.#suspects.delete(beating)
    }
  }

  #timedOut (beating: Beating): void {
    try {
      beating.pingTimedOut()
    } catch (err) {
      beating.fault(err)
    }
  }

  #watchIfDue (beating: Beating, now: number): void {
    if (now - beating.lastSeen + this.#interval >= this.#timeout) this.#suspects.add(beating)
  }
}
