import type { BrokerState } from '../../types/broker.js'
import { downError } from './errors.js'

/** Whether the engine of a link can be reached, and whether the link was stopped. */
export class EngineState {
  readonly #broker: string
  #current: BrokerState = 'down'
  #cause: Error | undefined
  #stopped = false

  constructor (broker: string) {
    this.#broker = broker
  }

  get current (): BrokerState { return this.#current }

  /** Why the engine is down, if the broker gave a reason. */
  get cause (): Error | undefined { return this.#cause }

  /** True after `stop`: nothing is reported any more. */
  get stopped (): boolean { return this.#stopped }

  /** Sets the state reported by the broker. @returns whether it changed */
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

  /** The error of every operation while the engine is down. */
  error (): Error {
    return downError(this.#broker, this.#cause)
  }
}
