/**
 * Measures how long something took, for limits that must hold on a machine that is busy with other work too.
 *
 * `own` leaves out the time in which this process was kept from running. Time in which it waits counts, and time in
 * which it computes counts: a server that is slow by itself is found out.
 */
export class Stopwatch {
  readonly #interval = 5
  readonly #timer = setInterval(() => this.#tick(), this.#interval)
  readonly #from = performance.now()
  #at = this.#from
  #cpu = process.cpuUsage()
  #own = 0
  #longest = 0
  #heldUp = 0

  constructor () {
    this.#timer.unref()
  }

  /** Milliseconds by the clock. */
  get wall (): number {
    return performance.now() - this.#from
  }

  /** Milliseconds without those in which others had the processor. */
  get own (): number {
    this.#tick()
    return this.#own
  }

  /** The longest that this process was held up at once, by others or by itself, in milliseconds. */
  get longest (): number {
    this.#tick()
    return this.#longest
  }

  /** How long this process was held up in all, by others or by itself, in milliseconds: what was due then comes later, and at once. */
  get heldUp (): number {
    this.#tick()
    return this.#heldUp
  }

  /** @returns `own`; it runs no more. */
  stop (): number {
    clearInterval(this.#timer)
    return this.own
  }

  #tick (): void {
    const now = performance.now()
    const { user, system } = process.cpuUsage(this.#cpu)
    const passed = now - this.#at
    // A timer that is late by its own interval is ordinary.
    this.#own += Math.min(passed, 2 * this.#interval + (user + system) / 1_000)
    this.#longest = Math.max(this.#longest, passed - this.#interval)
    if (passed > 2 * this.#interval) this.#heldUp += passed - this.#interval
    this.#at = now
    this.#cpu = process.cpuUsage()
  }
}
