import type { Guarded } from '../barrier.js'

/** A connection that the heartbeat keeps alive. */
export interface HeartbeatTarget extends Guarded {
  /** Time of the last data from the client, by `performance.now()`: the system clock may jump. */
  readonly lastSeen: number
  /** Set by the heartbeat: the slot of its wheel in which the connection is, or -1. */
  heartbeatSlot: number
  ping (): void
  /** The client was silent for the whole `pingTimeout`. */
  pingTimedOut (): void
}

const slots = 16

/**
 * One timer for all connections. They are spread over the slots of a wheel that turns once per `pingInterval`, and a connection
 * is pinged when its slot is reached. A connection that may time out before its next ping is checked at every tick.
 */
export class Heartbeat {
  readonly #interval: number
  readonly #timeout: number
  readonly #wheel: Array<Set<HeartbeatTarget>> = Array.from({ length: slots }, () => new Set())
  readonly #suspects = new Set<HeartbeatTarget>()
  #size = 0
  #at = 0
  #tickedAt = 0
  #timer: NodeJS.Timeout | null = null

  /**
   * @param interval milliseconds between two pings of a connection
   * @param timeout milliseconds of silence after which a connection has timed out
   */
  constructor (interval: number, timeout: number) {
    this.#interval = interval
    this.#timeout = timeout
  }

  add (target: HeartbeatTarget): void {
    // The first ping comes after one full turn of the wheel.
    target.heartbeatSlot = this.#at
    this.#size++
    this.#wheel[this.#at]!.add(target)
    const now = performance.now()
    this.#watchIfDue(target, now)
    if (this.#timer !== null) return
    this.#tickedAt = now
    this.#timer = setInterval(() => this.#tick(), this.#interval / slots).unref()
  }

  remove (target: HeartbeatTarget): void {
    if (target.heartbeatSlot === -1) return
    this.#wheel[target.heartbeatSlot]!.delete(target)
    target.heartbeatSlot = -1
    this.#suspects.delete(target)
    if (--this.#size === 0) this.stop()
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
    for (const target of this.#wheel[this.#at]!) {
      try {
        target.ping()
      } catch (err) {
        target.fault(err)
      }
      this.#watchIfDue(target, now)
    }
    // This process was busy; data that clients sent meanwhile may not have been read yet.
    if (late) return
    for (const target of this.#suspects) {
      const silence = now - target.lastSeen
      if (silence >= this.#timeout) this.#timedOut(target)
      else if (silence + this.#interval < this.#timeout) this.#suspects.delete(target)
    }
  }

  #timedOut (target: HeartbeatTarget): void {
    try {
      target.pingTimedOut()
    } catch (err) {
      target.fault(err)
    }
  }

  #watchIfDue (target: HeartbeatTarget, now: number): void {
    if (now - target.lastSeen + this.#interval >= this.#timeout) this.#suspects.add(target)
  }
}
