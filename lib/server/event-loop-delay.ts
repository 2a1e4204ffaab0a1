import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'

/** Milliseconds between two measurements. */
const resolution = 20

const none = { mean: 0, p99: 0, max: 0 }

/** The delay of the event loop. Measured from the first read on, because it needs a timer. */
export class EventLoopDelay {
  #histogram: IntervalHistogram | null = null
  #stopped = false

  /** Delays in milliseconds since the last call. */
  read (): { mean: number, p99: number, max: number } {
    if (this.#histogram === null) {
      if (this.#stopped) return { ...none }
      this.#histogram = monitorEventLoopDelay({ resolution })
      this.#histogram.enable()
      return { ...none }
    }
    // The histogram counts the whole interval between two runs of its timer, in nanoseconds.
    const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - resolution)
    const { count, mean, max } = this.#histogram
    const delay = count === 0 ? { ...none } : { mean: late(mean), p99: late(this.#histogram.percentile(99)), max: late(max) }
    this.#histogram.reset()
    return delay
  }

  stop (): void {
    this.#stopped = true
    this.#histogram?.disable()
  }
}
