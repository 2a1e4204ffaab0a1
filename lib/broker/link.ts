import type { Broker, BrokerCounters, BrokerHistoryLimits, BrokerHistoryPage, BrokerNode, BrokerPosition, BrokerState, MaybePromise } from '../../types/broker.js'
import { promiseOf } from '../promises.js'
import { answerOf } from './answer.js'
import { EngineState } from './engine-state.js'
import { brokerError } from './errors.js'
import { GuardedSink, type LinkSink } from './guarded-sink.js'
import { Publishing } from './publishing.js'
import { Subscriptions } from './subscriptions.js'

/** How a link uses its broker. */
export interface LinkOptions {
  readonly node: BrokerNode
  /**
   * Milliseconds between the last release of a channel and its unsubscribe. Brokers inside the process unsubscribe at once.
   * @default 1000
   */
  readonly unsubscribeDelay?: number
  /** Publishes that may wait for the engine's confirmation; more are refused with `SC_ERR_BROKER_BUSY`. @default 10000 */
  readonly maxInFlight?: number
  /** Characters of publishes that may wait for the engine's confirmation. @default 8388608 */
  readonly maxInFlightBytes?: number
  /** Milliseconds for the broker to disconnect; after that the link no longer waits for it. @default 5000 */
  readonly stopTimeout?: number
}

/** Connects the exchange to its broker, and enforces the rules that are the same for every broker. */
export class BrokerLink {
  readonly broker: Broker
  readonly node: BrokerNode
  readonly #owner: LinkSink
  readonly #state: EngineState
  readonly #sink: GuardedSink
  readonly #subscriptions: Subscriptions
  readonly #publishing: Publishing
  readonly #stopTimeout: number

  constructor (broker: Broker, options: LinkOptions, owner: LinkSink) {
    const { unsubscribeDelay = 1000, maxInFlight = 10_000, maxInFlightBytes = 8 * 1024 * 1024, stopTimeout = 5_000 } = options
    this.broker = broker
    this.node = options.node
    this.#owner = owner
    this.#stopTimeout = stopTimeout
    this.#state = new EngineState(broker.name)
    this.#sink = new GuardedSink(broker, this.#state, owner)
    this.#subscriptions = new Subscriptions(broker, this.#state, unsubscribeDelay, (err) => owner.warning(err))
    this.#publishing = new Publishing(broker, this.#state, { maxInFlight, maxInFlightBytes })
  }

  /** Whether the engine can be reached. */
  get state (): BrokerState { return this.#state.current }

  /** Why the engine is down, if the broker gave a reason. */
  get cause (): Error | undefined { return this.#state.cause }

  /** Number of publishes that wait for the engine's confirmation. */
  get inFlight (): number { return this.#publishing.inFlight }

  /** Number of publishes refused because the engine was down or busy, or because they were too large. */
  get refused (): number { return this.#publishing.refused }

  /** The broker's counters, if it has any. A broker that throws causes a warning. */
  stats (): BrokerCounters | undefined {
    let counters: BrokerCounters | undefined
    try {
      counters = this.broker.stats?.()
    } catch (err) {
      this.#owner.warning(brokerError(err))
    }
    const { unreadable } = this.#sink
    return counters === undefined || unreadable === 0 ? counters : { ...counters, framesDropped: counters.framesDropped + unreadable }
  }

  /** Connects the broker. Throws or rejects when the engine cannot be reached and the broker does not retry. */
  start (): MaybePromise<void> {
    return this.broker.start(this.#sink, this.node)
  }

  /**
   * Disconnects the broker. Pending holds fail and timers are stopped. The owner is not called any more, except with a warning
   * when the broker fails to disconnect or takes too long. Never throws or rejects, so that closing the server continues.
   */
  stop (): MaybePromise<void> {
    if (this.#state.stopped) return
    this.#state.stop()
    this.#subscriptions.stop()
    const stopping = answerOf(() => this.broker.stop())
    if (stopping === undefined) return
    let timer: NodeJS.Timeout
    const late = new Promise<void>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`The broker ${this.broker.name} did not stop within ${this.#stopTimeout} ms`)), this.#stopTimeout)
    })
    return Promise.race([stopping, late])
      .catch((err: unknown) => { this.#owner.warning(brokerError(err)) })
      .finally(() => clearTimeout(timer))
  }

  /**
   * Call when a channel gets its first subscriber on this node. Returns nothing when the engine already delivers the channel,
   * otherwise a promise that resolves on the engine's confirmation. After a rejection (a `BrokerError`) the channel is not held.
   */
  hold (channel: string): MaybePromise<void> {
    if (this.broker.shared) return this.#subscriptions.hold(channel)
    // A broker inside the process usually answers at once.
    return answerOf(() => this.broker.subscribe([channel]))?.catch((err: unknown) => { throw brokerError(err) })
  }

  /**
   * Call when a channel loses its last subscriber on this node.
   * @param linger whether its subscribers are expected back soon, so that the unsubscribe waits longer
   */
  release (channel: string, linger = false): void {
    if (this.broker.shared) {
      this.#subscriptions.release(channel, linger)
      return
    }
    answerOf(() => this.broker.unsubscribe([channel]))?.catch((err: unknown) => {
      if (!this.#state.stopped) this.#owner.warning(brokerError(err))
    })
  }

  /**
   * Publishes. Returns nothing when the broker accepted at once, else a promise. The promise rejects with a
   * `BrokerError`, at once while the engine is down or too many publishes are in flight, or with what the broker refused it
   * with. Never throws.
   * @param limits of the channel's history, null where the message is not kept
   */
  publish (channel: string, data: string, limits: BrokerHistoryLimits | null = null): MaybePromise<void> {
    return this.#publishing.publish(channel, data, limits)
  }

  /**
   * Publishes a message once for its key; the broker must have `publishOnce`. Returns or resolves with false for a repeat. Otherwise
   * like `publish`.
   */
  publishOnce (channel: string, data: string, limits: BrokerHistoryLimits, key: string): MaybePromise<boolean> {
    return this.#publishing.publishOnce(channel, data, limits, key)
  }

  /**
   * Publishes a message with `history.append`, which the broker must have. Returns or resolves with its position, `null` for a repeat.
   * Otherwise like `publish`.
   */
  append (channel: string, data: string, limits: BrokerHistoryLimits, key: string | undefined): MaybePromise<BrokerPosition | null> {
    return this.#publishing.append(channel, data, limits, key)
  }

  /** @throws BrokerError while the engine is down */
  checkUp (): void {
    if (this.#state.current === 'down') throw this.#state.error()
  }

  /** Reads a channel's history. @throws BrokerError, at once or as a rejection, while the engine is down or when the broker fails */
  readHistory (channel: string, since: BrokerPosition | 'oldest' | null, limit: number, limits: BrokerHistoryLimits): MaybePromise<BrokerHistoryPage> {
    this.checkUp()
    let page: MaybePromise<BrokerHistoryPage>
    try {
      page = this.broker.history!.read(channel, since, limit, limits)
    } catch (err) {
      throw brokerError(err)
    }
    return promiseOf<BrokerHistoryPage>(page)?.catch((err: unknown) => { throw brokerError(err) }) ?? page
  }

  /**
   * Reads what this node received of a held channel after `since`. A promise resolves when the caller should ask again.
   * @throws BrokerError, at once or as a rejection, while the engine is down or when the broker fails
   */
  followHistory (channel: string, since: BrokerPosition | null, limit: number, limits: BrokerHistoryLimits): BrokerHistoryPage | Promise<void> {
    this.checkUp()
    let page: BrokerHistoryPage | Promise<void>
    try {
      page = this.broker.history!.follow!(channel, since, limit, limits)
    } catch (err) {
      throw brokerError(err)
    }
    return promiseOf<void>(page)?.catch((err: unknown) => { throw brokerError(err) }) ?? page
  }

  /** Sends a control message to one node, or to all other nodes. Never throws. */
  control (message: string, toNode?: string): MaybePromise<void> {
    return this.#state.current === 'down' ? Promise.reject(this.#state.error()) : answerOf(() => this.broker.control(message, toNode))
  }
}
