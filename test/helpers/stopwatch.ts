/**
 * Measures durations for limits that must also hold on a busy machine.
 *
 * `own` excludes the time in which this process could not run because of others. Waiting and computing time count, so that a
 * server that is slow by itself is detected.
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

  /** The elapsed wall-clock time in milliseconds. */
  get wall (): number {
    return performance.now() - this.#from
  }

  /** The elapsed time in milliseconds, without the time in which other processes used the CPU. */
  get own (): number {
    this.#tick()
    return this.#own
  }

  /** The longest single delay of this process in milliseconds, caused by other processes or by itself. */
  get longest (): number {
    this.#tick()
    return this.#longest
  }

  /**
   * The total delay of this process in milliseconds, caused by other processes or by itself. Events due in this time arrive late
   * and together.
   */
  get heldUp (): number {
    this.#tick()
    return this.#heldUp
  }

  /** Stops the stopwatch. @returns `own` */
  stop (): number {
    clearInterval(this.#timer)
    return this.own
  }

  #tick (): void {
    const now = performance.now()
    const { user, system } = process.cpuUsage(this.#cpu)
    const passed = now - this.#at
    // A timer may be late by its own interval without any load.
    this.#own += Math.min(passed, 2 * this.#interval + (user + system) / 1_000)
    this.#longest = Math.max(this.#longest, passed - this.#interval)
    if (passed > 2 * this.#interval) this.#heldUp += passed - this.#interval
    this.#at = now
    this.#cpu = process.cpuUsage()
  }
}
