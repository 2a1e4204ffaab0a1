import type { Broker, BrokerHistoryLimits, BrokerPosition, MaybePromise } from '../../types/broker.js'
import { scError, withoutStack } from '../errors.js'
import { promiseOf } from '../promises.js'
import type { EngineState } from './engine-state.js'
import { maxPublicationLength } from './publication.js'

/** Publishes that share one promise of the broker. */
interface Flight {
  readonly accepted: Promise<unknown>
  count: number
  size: number
}

/** Limits for publishes that wait for the engine's confirmation: their number, and their total length in characters. */
export interface PublishLimits {
  readonly maxInFlight: number
  readonly maxInFlightBytes: number
}

/**
 * Publishes, and counts the publishes that wait for the engine's confirmation. A publish fails at once while the engine is down
 * or when too many are waiting.
 */
export class Publishing {
  readonly #broker: Broker
  readonly #state: EngineState
  readonly #maxInFlight: number
  readonly #maxInFlightBytes: number
  #inFlight = 0
  #inFlightBytes = 0
  #lastFlight: Flight | null = null
  #refused = 0

  constructor (broker: Broker, state: EngineState, { maxInFlight, maxInFlightBytes }: PublishLimits) {
    this.#broker = broker
    this.#state = state
    this.#maxInFlight = maxInFlight
    this.#maxInFlightBytes = maxInFlightBytes
  }

  /** Number of publishes that wait for the engine's confirmation. */
  get inFlight (): number { return this.#inFlight }

  /** Number of publishes refused because the engine was down or busy, or because they were too large. */
  get refused (): number { return this.#refused }

  publish (channel: string, data: string, limits: BrokerHistoryLimits | null = null): MaybePromise<void> {
    const refusal = this.#refusal(data)
    if (refusal !== null) return refusal
    // Like `answerOf`, but without a closure for each publication.
    let accepted: MaybePromise<void>
    try {
      accepted = promiseOf<void>(limits === null ? this.#broker.publish(channel, data) : this.#broker.history!.publish(channel, data, limits))
    } catch (err) {
      return Promise.reject(err)
    }
    if (accepted === undefined) return
    this.#fly(accepted, data.length)
    return accepted
  }

  publishOnce (channel: string, data: string, limits: BrokerHistoryLimits, key: string): MaybePromise<boolean> {
    return this.#answered(data, () => this.#broker.history!.publishOnce!(channel, data, limits, key))
  }

  append (channel: string, data: string, limits: BrokerHistoryLimits, key: string | undefined): MaybePromise<BrokerPosition | null> {
    return this.#answered(data, () => this.#broker.history!.append!(channel, data, limits, key))
  }

  /** Publishes with a call that has an answer. */
  #answered<Answer extends boolean | BrokerPosition | null> (data: string, publish: () => MaybePromise<Answer>): MaybePromise<Answer> {
    const refusal = this.#refusal(data)
    if (refusal !== null) return refusal
    let answer: MaybePromise<Answer>
    try {
      answer = publish()
    } catch (err) {
      return Promise.reject(err)
    }
    const accepted = promiseOf<Answer>(answer)
    if (accepted === undefined) return answer
    this.#fly(accepted, data.length)
    return accepted
  }

  /** Returns a rejection if a message cannot be published now. */
  #refusal (data: string): Promise<never> | null {
    if (this.#state.current === 'down') return this.#refuse(() => this.#state.error())
    if (this.#inFlight >= this.#maxInFlight || this.#inFlightBytes >= this.#maxInFlightBytes) {
      return this.#refuse(() => scError('SC_ERR_BROKER_BUSY', [this.#broker.name, this.#inFlight]))
    }
    if (data.length > maxPublicationLength && this.#broker.shared) {
      return this.#refuse(() => scError('SC_ERR_BROKER', [`A message between processes may have at most ${maxPublicationLength} characters of JSON, got ${data.length}`]))
    }
    return null
  }

  /** Counts a publish until its promise settles. */
  #fly (accepted: Promise<unknown>, length: number): void {
    this.#inFlight++
    this.#inFlightBytes += length
    const flight = this.#lastFlight
    if (flight !== null && flight.accepted === accepted) {
      flight.count++
      flight.size += length
    } else {
      this.#track({ accepted, count: 1, size: length })
    }
  }

  #refuse (make: () => Error): Promise<never> {
    this.#refused++
    return Promise.reject(withoutStack(make))
  }

  #track (flight: Flight): void {
    this.#lastFlight = flight
    const landed = (): void => {
      this.#inFlight -= flight.count
      this.#inFlightBytes -= flight.size
      if (this.#lastFlight === flight) this.#lastFlight = null
    }
    flight.accepted.then(landed, landed)
  }
}
