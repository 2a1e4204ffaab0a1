import type { Broker, BrokerSink, BrokerState } from '../../types/broker.js'
import { scError } from '../errors.js'
import { asError } from '../untrusted.js'
import type { EngineState } from './engine-state.js'
import { isPublication } from './publication.js'

/** What a link tells its owner. Everything is called synchronously. */
export interface LinkSink {
  /** A publication of a held channel, in the engine's order. */
  publication (channel: string, data: string): void
  /** The engine became reachable or unreachable; only called on a change. */
  state (state: BrokerState, cause?: Error): void
  /** Publications of this channel (`null`: of any channel) may have been lost. */
  gap (channel: string | null): void
  /** A control message of another node. */
  control (message: string, fromNode: string): void
  /** Something went wrong that no caller is waiting for. */
  warning (err: Error): void
}

/** Milliseconds between two warnings of what was dropped for the same reason. */
const dropWarningInterval = 60_000
/** Reasons that are told apart; a broker has a handful. */
const maxDropReasons = 32

/**
 * Stands between a broker and the owner of its link: nothing comes through that is no publication, nothing after the end, and
 * what the owner throws is a warning. Its functions are fields of their own, so that a broker may hand them on one by one.
 */
export class GuardedSink implements BrokerSink {
  readonly #broker: Broker
  readonly #state: EngineState
  readonly #owner: LinkSink
  /** Publications that were no JSON. */
  #unreadable = 0
  /** When each reason to drop something was last told. Reasons are texts of brokers, never of what was dropped. */
  readonly #droppedAt = new Map<string, number>()

  constructor (broker: Broker, state: EngineState, owner: LinkSink) {
    this.#broker = broker
    this.#state = state
    this.#owner = owner
  }

  /** Publications that were dropped because they were no JSON. */
  get unreadable (): number { return this.#unreadable }

  readonly publication = (channel: string, data: string, known?: boolean): void => {
    if (this.#state.stopped) return
    // Inside the process it is the text that the exchange has just made.
    if (known !== true && this.#broker.shared && !isPublication(data)) {
      this.#unreadable++
      this.dropped('messages that are not one JSON value: somebody else writes to the engine; see the option brokerKey')
      return
    }
    try {
      this.#owner.publication(channel, data)
    } catch (err) {
      // As `#tell`, without a closure for each publication.
      this.#owner.warning(asError(err))
    }
  }

  readonly state = (state: BrokerState, cause?: Error): void => {
    if (this.#state.stopped || !this.#state.change(state, cause)) return
    this.#tell(() => this.#owner.state(state, cause))
  }

  readonly gap = (channel: string | null): void => {
    if (!this.#state.stopped) this.#tell(() => this.#owner.gap(channel))
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

  /** A broker goes on, whatever its owner's code does. */
  #tell (act: () => void): void {
    try {
      act()
    } catch (err) {
      this.#owner.warning(asError(err))
    }
  }
}
