import type { Broker, BrokerPosition, BrokerSink, BrokerState } from '../../types/broker.js'
import { scError } from '../errors.js'
import { asError } from '../untrusted.js'
import type { EngineState } from './engine-state.js'
import { isPublication } from './publication.js'

/** The owner of a link, as the link calls it. All calls are synchronous. */
export interface LinkSink {
  /** A publication of a held channel, in the engine's order. */
  publication (channel: string, data: string, position?: BrokerPosition): void
  /** The engine became reachable or unreachable; only called on a change. */
  state (state: BrokerState, cause?: Error): void
  /** Publications of this channel (`null`: of any channel) may have been lost. `position` is present for a followed channel. */
  gap (channel: string | null, position?: BrokerPosition): void
  /** A control message of another node. */
  control (message: string, fromNode: string): void
  /** An error occurred that no caller waits for. */
  warning (err: Error): void
}

/** Minimum milliseconds between two warnings with the same reason for dropped messages. */
const dropWarningInterval = 60_000
/** Maximum number of different reasons to remember; a broker has only a few. */
const maxDropReasons = 32

/**
 * Stands between a broker and the owner of its link. It lets only valid publications through, reports nothing after the end, and
 * turns errors thrown by the owner into warnings. Its methods are bound, so that a broker may pass them on one by one.
 */
export class GuardedSink implements BrokerSink {
  readonly #broker: Broker
  readonly #state: EngineState
  readonly #owner: LinkSink
  /** Number of publications that were not JSON. */
  #unreadable = 0
  /** When each reason was last reported. Reasons are texts of the broker and never contain dropped data. */
  readonly #droppedAt = new Map<string, number>()

  constructor (broker: Broker, state: EngineState, owner: LinkSink) {
    this.#broker = broker
    this.#state = state
    this.#owner = owner
  }

  /** Number of publications dropped because they were not JSON. */
  get unreadable (): number { return this.#unreadable }

  readonly publication = (channel: string, data: string, known?: boolean, position?: BrokerPosition): void => {
    if (this.#state.stopped) return
    // A broker inside the process delivers the text that the exchange just created.
    if (known !== true && this.#broker.shared && !isPublication(data)) {
      this.#unreadable++
      this.dropped('messages that are not one JSON value: somebody else writes to the engine; see the option brokerKey')
      return
    }
    try {
      this.#owner.publication(channel, data, position)
    } catch (err) {
      // Like `#tell`, but without a closure for each publication.
      this.#owner.warning(asError(err))
    }
  }

  readonly state = (state: BrokerState, cause?: Error): void => {
    if (this.#state.stopped || !this.#state.change(state, cause)) return
    this.#tell(() => this.#owner.state(state, cause))
  }

  readonly gap = (channel: string | null, position?: BrokerPosition): void => {
    if (!this.#state.stopped) this.#tell(() => this.#owner.gap(channel, position))
  }

  readonly control = (message: string, fromNode: string): void => {
    if (!this.#state.stopped) this.#tell(() => this.#owner.control(message, fromNode))
  }

  readonly dropped = (reason: string): void => {
    if (this.#state.stopped) return
    const now = performance.now()
    const before = this.#droppedAt.get(reason)
    if (before === undefined ? this.#droppedAt.size === maxDropReasons : now - before < dropWarningInterval) return
    this.#droppedAt.set(reason, now)
    this.#owner.warning(scError('SC_ERR_BROKER_DROPPED', [this.#broker.name, reason]))
  }

  /** Calls the owner. An error it throws becomes a warning, so the broker can go on. */
  #tell (act: () => void): void {
    try {
      act()
    } catch (err) {
      this.#owner.warning(asError(err))
    }
  }
}
