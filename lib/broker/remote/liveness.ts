import type { ResolvedRemoteOptions } from './options.js'

/** What liveness looks at, and tells. */
export interface LivenessPort {
  /** Since when the engine has owed an answer; `Infinity` when it owes none. */
  readonly waitingSince: number
  /** Sends a message to this node itself, through the engine; `returned` is to be called when it is back. */
  probe (): void
  /** The engine is silent. */
  lost (cause: Error): void
}

/**
 * Whether the engine still answers: what it was asked, within the option `timeout`, and probes, each before the next. Those find
 * connections that are dead without having been closed.
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

  /** The engine is up. */
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

  /** The probe is back. */
  returned (): void {
    this.#probeIsOut = false
  }

  /** Looks for what the engine left unanswered. */
  #look (step: number): void {
    const now = performance.now()
    const late = now - this.#lookedAt > step * 2
    this.#lookedAt = now
    // This process was busy; answers may be waiting to be read. They are, before the next look.
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
