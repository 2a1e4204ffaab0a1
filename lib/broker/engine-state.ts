import type { BrokerState } from '../../types/broker.js'
import { downError } from './errors.js'

/** Whether the engine of a link can be reached, and whether the link is still in use. */
export class EngineState {
  readonly #broker: string
  #current: BrokerState = 'down'
  #cause: Error | undefined
  #stopped = false

  constructor (broker: string) {
    this.#broker = broker
  }

  get current (): BrokerState { return this.#current }

  /** Why the engine is down, when the broker said. */
  get cause (): Error | undefined { return this.#cause }

  /** Nothing is told any more. */
  get stopped (): boolean { return this.#stopped }

  /** Takes what the broker said. @returns whether it is another state than before */
  change (state: BrokerState, cause?: Error): boolean {
    this.#cause = state === 'down' ? cause ?? this.#cause : undefined
    if (state === this.#current) return false
    this.#current = state
    return true
  }

  stop (): void {
    this.#stopped = true
    this.#current = 'down'
    this.#cause = new Error('stopped')
  }

  /** What everything fails with while the engine is down. */
  error (): Error {
    return downError(this.#broker, this.#cause)
  }
}
