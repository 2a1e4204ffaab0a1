import type { ResolvedRemoteOptions } from './options.js'

/** The parts of the broker that liveness observes and reports to. */
export interface LivenessPort {
  /** Time of the oldest request without an answer, by `performance.now()`; `Infinity` when there is none. */
  readonly waitingSince: number
  /** Sends a message through the engine to this node itself. `returned` must be called when it arrives. */
  probe (): void
  /** The engine does not answer. */
  lost (cause: Error): void
}

/**
 * Checks that the engine still answers: requests within the option `timeout`, and each probe before the next one is due. Probes
 * detect connections that are dead but were not closed.
 */
export class Liveness {
  readonly #timeout: number
  readonly #probeInterval: number
  readonly #port: LivenessPort
  #timer: NodeJS.Timeout | null = null
  #lookedAt = 0
  #probeSentAt = 0
  #probeIsOut = false

  constructor ({ timeout, probeInterval }: Pick<ResolvedRemoteOptions, 'timeout' | 'probeInterval'>, port: LivenessPort) {
    this.#timeout = timeout
    this.#probeInterval = probeInterval
    this.#port = port
  }

  /** Starts checking when the engine is up. */
  start (): void {
    this.#probeIsOut = false
    this.#probeSentAt = this.#lookedAt = performance.now()
    const step = Math.max(10, Math.min(this.#timeout, this.#probeInterval) / 4)
    this.#timer = setInterval(() => this.#look(step), step)
    this.#timer.unref()
  }

  stop (): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  /** Call when the probe came back. */
  returned (): void {
    this.#probeIsOut = false
  }

  /** Checks for requests and probes without an answer. */
  #look (step: number): void {
    const now = performance.now()
    const late = now - this.#lookedAt > step * 2
    this.#lookedAt = now
    // This process was busy: answers may not have been read yet. They will be before the next check.
    if (late) return
    if (this.#port.waitingSince < now - this.#timeout) {
      this.#port.lost(new Error(`no answer within ${this.#timeout} ms; see the option timeout`))
      return
    }
    if (now - this.#probeSentAt < this.#probeInterval) return
    if (this.#probeIsOut) {
      this.#port.lost(new Error(`a probe did not come back within ${this.#probeInterval} ms; see the option probeInterval`))
      return
    }
    this.#probeSentAt = now
    this.#probeIsOut = true
    this.#port.probe()
  }
}
