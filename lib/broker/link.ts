import type { Broker, BrokerCounters, BrokerNode, BrokerSink, BrokerState, MaybePromise } from '../../types/broker.js'
import { ScError, scError } from '../errors.js'
import { isInstance, messageOf } from '../untrusted.js'
import { isPublication, maxPublicationLength } from './publication.js'

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

/** How a link deals with its broker. */
export interface LinkOptions {
  readonly node: BrokerNode
  /** Milliseconds between the last release of a channel and its unsubscribe. Brokers inside the process unsubscribe at once. @default 1000 */
  readonly unsubscribeDelay?: number
  /** Publishes that may wait for the engine's word; more are refused with `SC_ERR_BROKER_BUSY`. @default 10000 */
  readonly maxInFlight?: number
  /** Characters of publishes that may wait for the engine's word. @default 8388608 */
  readonly maxInFlightBytes?: number
}

/** Milliseconds between two warnings of what was dropped for the same reason. */
const dropWarningInterval = 60_000
/** Reasons that are told apart; a broker has a handful. */
const maxDropReasons = 32

/** Channels in one call of a broker's `subscribe` or `unsubscribe`. */
const batchSize = 512

/** Where a channel of a broker between processes stands. */
interface Interest {
  readonly channel: string
  /** Somebody on this node wants it. */
  held: boolean
  /** The engine confirmed it. */
  active: boolean
  /** A call of the broker for this channel is queued or in flight. */
  busy: boolean
  /** Settles when the channel is active, or can't be. */
  waiting: Deferred | null
}

interface Deferred {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (err: unknown) => void
}

/** The publishes that one promise of the broker answers. */
interface Flight {
  readonly accepted: Promise<void>
  count: number
  size: number
}

/**
 * Stands between an exchange and its broker, and keeps the rules that are the same for every broker: channels are
 * subscribed on first and unsubscribed some time after last interest, one call per channel in flight, calls of a tick
 * in one batch; a publish fails at once while the engine is down, or when too many wait for it.
 */
export class BrokerLink {
  readonly broker: Broker
  readonly node: BrokerNode
  readonly #sink: LinkSink
  readonly #unsubscribeDelay: number
  readonly #maxInFlight: number
  readonly #maxInFlightBytes: number
  readonly #interests = new Map<string, Interest>()
  /** Released channels with the time at which the engine is to be unsubscribed, earliest first. */
  readonly #releases = new Map<Interest, number>()
  #releaseTimer: NodeJS.Timeout | null = null
  #subscribeQueue: Interest[] = []
  #subscribeTick: NodeJS.Immediate | null = null
  #state: BrokerState = 'down'
  #cause: Error | undefined
  #stopped = false
  #inFlight = 0
  #inFlightBytes = 0
  #lastFlight: Flight | null = null
  #refused = 0
  /** Publications that were no JSON. */
  #unreadable = 0
  /** When each reason to drop something was last told. Reasons are texts of brokers, never of what was dropped. */
  readonly #droppedAt = new Map<string, number>()

  constructor (broker: Broker, options: LinkOptions, sink: LinkSink) {
    this.broker = broker
    this.node = options.node
    this.#sink = sink
    this.#unsubscribeDelay = options.unsubscribeDelay ?? 1000
    this.#maxInFlight = options.maxInFlight ?? 10_000
    this.#maxInFlightBytes = options.maxInFlightBytes ?? 8 * 1024 * 1024
  }

  /** Whether the engine can be reached. */
  get state (): BrokerState {
    return this.#state
  }

  /** Why the engine is down, when the broker said. */
  get cause (): Error | undefined {
    return this.#cause
  }

  /** Publishes that wait for the engine's word. */
  get inFlight (): number {
    return this.#inFlight
  }

  /** Publishes refused because the engine was down or busy. */
  get refused (): number {
    return this.#refused
  }

  /** What the broker counted, when it counts. */
  stats (): BrokerCounters | undefined {
    const counters = this.broker.stats?.()
    return counters === undefined || this.#unreadable === 0 ? counters : { ...counters, framesDropped: counters.framesDropped + this.#unreadable }
  }

  /** Connects the broker. Fails when the engine cannot be used and the broker is not to retry. */
  start (): MaybePromise<void> {
    const sink: BrokerSink = {
      publication: (channel, data, known) => this.#publication(channel, data, known === true),
      state: (state, cause) => this.#stateChanged(state, cause),
      gap: (channel) => { if (!this.#stopped) this.#tell(() => this.#sink.gap(channel)) },
      control: (message, fromNode) => { if (!this.#stopped) this.#control(message, fromNode) },
      dropped: (reason) => { if (!this.#stopped) this.#dropped(reason) }
    }
    return this.broker.start(sink, this.node)
  }

  /** Disconnects the broker. Holds that wait fail; no timer is left and the sink hears nothing more. */
  stop (): MaybePromise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#state = 'down'
    this.#cause = new Error('stopped')
    if (this.#releaseTimer !== null) clearTimeout(this.#releaseTimer)
    if (this.#subscribeTick !== null) clearImmediate(this.#subscribeTick)
    this.#releaseTimer = null
    this.#subscribeTick = null
    this.#subscribeQueue = []
    this.#releases.clear()
    const error = this.#downError()
    for (const interest of this.#interests.values()) settle(interest, error)
    this.#interests.clear()
    return this.broker.stop()
  }

  /**
   * Says that a channel has its first subscriber on this node. Returns nothing when the engine delivers it already, else
   * a promise that settles when the engine confirmed. After a rejection (a `BrokerError`) the channel is not held.
   */
  hold (channel: string): MaybePromise<void> {
    if (!this.broker.shared) return this.#subscribeLocal(channel)
    let interest = this.#interests.get(channel)
    if (interest === undefined) {
      if (this.#state === 'down') return Promise.reject(this.#downError())
      interest = { channel, held: true, active: false, busy: false, waiting: null }
      this.#interests.set(channel, interest)
    } else {
      interest.held = true
      this.#releases.delete(interest)
      if (interest.active && !interest.busy) return
    }
    interest.waiting ??= deferred()
    // A call in flight looks at `held` when it is done.
    if (!interest.busy) this.#queueSubscribe(interest)
    return interest.waiting.promise
  }

  /** A broker inside the process answers at once, as a rule; a refusal in either form becomes a rejection. */
  #subscribeLocal (channel: string): MaybePromise<void> {
    try {
      return this.broker.subscribe([channel])?.catch((err: unknown) => { throw brokerError(err) })
    } catch (err) {
      return Promise.reject(brokerError(err))
    }
  }

  /** Says that a channel lost its last subscriber on this node. */
  release (channel: string): void {
    if (!this.broker.shared) {
      try {
        this.#background(this.broker.unsubscribe([channel]))
      } catch (err) {
        this.#sink.warning(brokerError(err))
      }
      return
    }
    const interest = this.#interests.get(channel)
    if (interest === undefined || !interest.held) return
    interest.held = false
    if (interest.active && !interest.busy) this.#scheduleRelease(interest)
  }

  /**
   * Publishes. Returns nothing when the broker accepted at once, else a promise. The promise rejects with a
   * `BrokerError`, at once while the engine is down or too many publishes are in flight. Never throws.
   */
  publish (channel: string, data: string): MaybePromise<void> {
    if (this.#state === 'down') {
      this.#refused++
      return Promise.reject(withoutStack(() => this.#downError()))
    }
    if (this.#inFlight >= this.#maxInFlight || this.#inFlightBytes >= this.#maxInFlightBytes) {
      this.#refused++
      return Promise.reject(withoutStack(() => scError('SC_ERR_BROKER_BUSY', [this.broker.name, this.#inFlight])))
    }
    if (data.length > maxPublicationLength && this.broker.shared) {
      this.#refused++
      return Promise.reject(withoutStack(() => scError('SC_ERR_BROKER', [`A message between processes may have at most ${maxPublicationLength} characters of JSON, got ${data.length}`])))
    }
    const accepted = this.broker.publish(channel, data)
    if (accepted === undefined) return
    const flight = this.#lastFlight
    this.#inFlight++
    this.#inFlightBytes += data.length
    if (flight !== null && flight.accepted === accepted) {
      flight.count++
      flight.size += data.length
    } else {
      this.#track({ accepted, count: 1, size: data.length })
    }
    return accepted
  }

  /** Sends a control message to one node, or to all others. */
  control (message: string, toNode?: string): MaybePromise<void> {
    if (this.#state === 'down') return Promise.reject(this.#downError())
    return this.broker.control(message, toNode)
  }

  #publication (channel: string, data: string, known: boolean): void {
    if (this.#stopped) return
    // Inside the process it is the text that the exchange has just made.
    if (!known && this.broker.shared && !isPublication(data)) {
      this.#unreadable++
      this.#dropped('messages that are not one JSON value: somebody else writes to the engine; see the option brokerKey')
      return
    }
    try {
      this.#sink.publication(channel, data)
    } catch (err) {
      // As `#tell`, without a closure for each publication.
      this.#sink.warning(asError(err))
    }
  }

  #control (message: string, fromNode: string): void {
    this.#tell(() => this.#sink.control(message, fromNode))
  }

  #dropped (reason: string): void {
    const now = performance.now()
    const before = this.#droppedAt.get(reason)
    if (before === undefined ? this.#droppedAt.size === maxDropReasons : now - before < dropWarningInterval) return
    this.#droppedAt.set(reason, now)
    this.#sink.warning(scError('SC_ERR_BROKER_DROPPED', [this.broker.name, reason]))
  }

  /** A broker goes on, whatever its owner's code does. */
  #tell (act: () => void): void {
    try {
      act()
    } catch (err) {
      this.#sink.warning(asError(err))
    }
  }

  #stateChanged (state: BrokerState, cause?: Error): void {
    if (this.#stopped) return
    this.#cause = state === 'down' ? cause ?? this.#cause : undefined
    if (state === this.#state) return
    this.#state = state
    this.#tell(() => this.#sink.state(state, cause))
  }

  #downError (): Error {
    return scError('SC_ERR_BROKER_DOWN', [this.broker.name, this.#cause?.message ?? 'not connected'], { cause: this.#cause })
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

  #queueSubscribe (interest: Interest): void {
    interest.busy = true
    this.#subscribeQueue.push(interest)
    this.#subscribeTick ??= setImmediate(() => this.#flushSubscribes())
  }

  #flushSubscribes (): void {
    this.#subscribeTick = null
    const queue = this.#subscribeQueue
    this.#subscribeQueue = []
    for (let at = 0; at < queue.length; at += batchSize) this.#subscribe(queue.slice(at, at + batchSize))
  }

  #subscribe (batch: Interest[]): void {
    const done = (): void => {
      if (this.#stopped) return
      for (const interest of batch) this.#subscribed(interest)
    }
    const failed = (err: unknown): void => {
      if (this.#stopped) return
      for (const interest of batch) this.#interests.delete(interest.channel)
      const error = brokerError(err)
      for (const interest of batch) settle(interest, error)
    }
    this.#call(() => this.broker.subscribe(batch.map((interest) => interest.channel)), done, failed)
  }

  #subscribed (interest: Interest): void {
    interest.busy = false
    interest.active = true
    settle(interest)
    if (!interest.held) this.#scheduleRelease(interest)
  }

  #scheduleRelease (interest: Interest): void {
    // Taken out first, so that the map stays ordered by time.
    this.#releases.delete(interest)
    this.#releases.set(interest, performance.now() + this.#unsubscribeDelay)
    this.#releaseTimer ??= this.#releaseIn(this.#unsubscribeDelay)
  }

  #releaseIn (delay: number): NodeJS.Timeout {
    const timer = setTimeout(() => this.#flushReleases(), delay)
    timer.unref()
    return timer
  }

  #flushReleases (): void {
    this.#releaseTimer = null
    const now = performance.now()
    let batch: Interest[] = []
    for (const [interest, due] of this.#releases) {
      // A millisecond of grace: timers are whole milliseconds.
      if (due > now + 1) {
        this.#releaseTimer = this.#releaseIn(Math.max(1, due - now))
        break
      }
      this.#releases.delete(interest)
      interest.busy = true
      if (batch.push(interest) === batchSize) {
        this.#unsubscribe(batch)
        batch = []
      }
    }
    if (batch.length > 0) this.#unsubscribe(batch)
  }

  #unsubscribe (batch: Interest[]): void {
    const done = (): void => {
      if (this.#stopped) return
      for (const interest of batch) this.#unsubscribed(interest)
    }
    const failed = (err: unknown): void => {
      if (this.#stopped) return
      if (this.#state === 'up') this.#sink.warning(brokerError(err))
      done()
    }
    this.#call(() => this.broker.unsubscribe(batch.map((interest) => interest.channel)), done, failed)
  }

  #unsubscribed (interest: Interest): void {
    interest.busy = false
    interest.active = false
    if (interest.held) this.#queueSubscribe(interest)
    else this.#interests.delete(interest.channel)
  }

  #call (call: () => MaybePromise<void>, done: () => void, failed: (err: unknown) => void): void {
    let result: MaybePromise<void>
    try {
      result = call()
    } catch (err) {
      failed(err)
      return
    }
    if (result === undefined) done()
    else result.then(done, failed)
  }

  #background (result: MaybePromise<void>): void {
    if (result !== undefined) result.catch((err: unknown) => { if (!this.#stopped) this.#sink.warning(brokerError(err)) })
  }
}

function settle (interest: Interest, err?: Error): void {
  const waiting = interest.waiting
  interest.waiting = null
  if (waiting === null) return
  if (err === undefined) waiting.resolve()
  else waiting.reject(err)
}

function deferred (): Deferred {
  let resolve!: () => void
  let reject!: (err: unknown) => void
  const promise = new Promise<void>((_resolve, _reject) => {
    resolve = _resolve
    reject = _reject
  })
  // The caller of `hold` may be gone by then; its own chain still reports a rejection nobody handles.
  promise.catch(() => {})
  return { promise, resolve, reject }
}

/** Makes an error for a refusal: tens of thousands a second must cost little, and their stack would tell nothing. */
function withoutStack (make: () => Error): Error {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return make()
  } finally {
    Error.stackTraceLimit = limit
  }
}

function asError (value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value))
}

/** Callers see `BrokerError`s only, whatever a broker rejects with. */
function brokerError (err: unknown): Error {
  return isInstance(err, ScError) ? err : scError('SC_ERR_BROKER', [messageOf(err)], { cause: err })
}
