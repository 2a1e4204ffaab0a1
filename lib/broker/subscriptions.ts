import type { Broker, MaybePromise } from '../../types/broker.js'
import { answerOf } from './answer.js'
import type { EngineState } from './engine-state.js'
import { brokerError } from './errors.js'
import { Releases } from './releases.js'

/** Maximum number of channels in one call of a broker's `subscribe` or `unsubscribe`. */
const batchSize = 512

/**
 * Milliseconds between the last release and the unsubscribe of a channel whose subscribers are expected back: stock clients
 * reconnect 10 to 20 seconds after they lost their connection.
 */
const lingerDelay = 30_000

/** The state of a channel of a broker between processes. */
interface Interest {
  readonly channel: string
  /** A subscriber on this node needs the channel. */
  held: boolean
  /** The engine confirmed the subscription. */
  active: boolean
  /** A subscribe or unsubscribe of the channel is queued or in flight. */
  busy: boolean
  /** The subscribers are expected back soon after a release. */
  lingers: boolean
  /** Settles when the channel becomes active or the subscribe fails. */
  waiting: Deferred | null
}

interface Deferred {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (err: unknown) => void
}

/**
 * The channels that this node needs from a broker between processes. A channel is subscribed for its first subscriber and
 * unsubscribed some time after its last one. Each channel has at most one call in flight, and the calls of a tick are batched.
 */
export class Subscriptions {
  readonly #broker: Broker
  readonly #state: EngineState
  readonly #warn: (err: Error) => void
  readonly #interests = new Map<string, Interest>()
  readonly #releases: Releases<Interest>
  readonly #lingering: Releases<Interest>
  #queue: Interest[] = []
  #tick: NodeJS.Immediate | null = null

  /**
   * @param unsubscribeDelay milliseconds between the last release of a channel and its unsubscribe
   * @param warn called when an unsubscribe failed
   */
  constructor (broker: Broker, state: EngineState, unsubscribeDelay: number, warn: (err: Error) => void) {
    this.#broker = broker
    this.#state = state
    this.#warn = warn
    const due = (released: Interest[]): void => this.#unsubscribeAll(released)
    this.#releases = new Releases(unsubscribeDelay, due)
    this.#lingering = new Releases(Math.max(unsubscribeDelay, lingerDelay), due)
  }

  /**
   * Call when a channel gets its first subscriber. Returns nothing when the engine already delivers the channel, otherwise a
   * promise of its confirmation.
   */
  hold (channel: string): MaybePromise<void> {
    let interest = this.#interests.get(channel)
    if (interest === undefined) {
      if (this.#state.current === 'down') return Promise.reject(this.#state.error())
      interest = { channel, held: true, active: false, busy: false, lingers: false, waiting: null }
      this.#interests.set(channel, interest)
    } else {
      interest.held = true
      this.#releases.delete(interest)
      this.#lingering.delete(interest)
      if (interest.active && !interest.busy) return
    }
    interest.waiting ??= deferred()
    // A call in flight checks `held` when it is done.
    if (!interest.busy) this.#queueSubscribe(interest)
    return interest.waiting.promise
  }

  /** Call when a channel loses its last subscriber. @param lingers whether its subscribers are expected back soon */
  release (channel: string, lingers = false): void {
    const interest = this.#interests.get(channel)
    if (interest === undefined || !interest.held) return
    interest.held = false
    interest.lingers = lingers
    if (interest.active && !interest.busy) this.#scheduleRelease(interest)
  }

  /** Fails pending holds and stops all timers. Call after the state was stopped. */
  stop (): void {
    if (this.#tick !== null) clearImmediate(this.#tick)
    this.#tick = null
    this.#queue = []
    this.#releases.stop()
    this.#lingering.stop()
    const error = this.#state.error()
    for (const interest of this.#interests.values()) settle(interest, error)
    this.#interests.clear()
  }

  #queueSubscribe (interest: Interest): void {
    interest.busy = true
    this.#queue.push(interest)
    this.#tick ??= setImmediate(() => this.#flushSubscribes())
  }

  #flushSubscribes (): void {
    this.#tick = null
    const queue = this.#queue
    this.#queue = []
    for (let at = 0; at < queue.length; at += batchSize) this.#subscribe(queue.slice(at, at + batchSize))
  }

  #subscribe (batch: Interest[]): void {
    const done = (): void => {
      if (this.#state.stopped) return
      for (const interest of batch) this.#subscribed(interest)
    }
    const failed = (err: unknown): void => {
      if (this.#state.stopped) return
      for (const interest of batch) this.#interests.delete(interest.channel)
      const error = brokerError(err)
      for (const interest of batch) settle(interest, error)
    }
    call(() => this.#broker.subscribe(batch.map((interest) => interest.channel)), done, failed)
  }

  #subscribed (interest: Interest): void {
    interest.busy = false
    interest.active = true
    settle(interest)
    if (!interest.held) this.#scheduleRelease(interest)
  }

  #scheduleRelease (interest: Interest): void {
    (interest.lingers ? this.#lingering : this.#releases).add(interest)
  }

  #unsubscribeAll (released: Interest[]): void {
    for (const interest of released) interest.busy = true
    for (let at = 0; at < released.length; at += batchSize) this.#unsubscribe(released.slice(at, at + batchSize))
  }

  #unsubscribe (batch: Interest[]): void {
    const done = (): void => {
      if (this.#state.stopped) return
      for (const interest of batch) this.#unsubscribed(interest)
    }
    const failed = (err: unknown): void => {
      if (this.#state.stopped) return
      if (this.#state.current === 'up') this.#warn(brokerError(err))
      done()
    }
    call(() => this.#broker.unsubscribe(batch.map((interest) => interest.channel)), done, failed)
  }

  #unsubscribed (interest: Interest): void {
    interest.busy = false
    interest.active = false
    if (interest.held) this.#queueSubscribe(interest)
    else this.#interests.delete(interest.channel)
  }
}

/** Calls the broker, and `done` or `failed` at once or when its promise settles. */
function call (ask: () => unknown, done: () => void, failed: (err: unknown) => void): void {
  const answer = answerOf(ask)
  if (answer === undefined) done()
  else answer.then(done, failed)
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
  // The caller of `hold` may ignore this promise; a promise chained to it still reports an unhandled rejection.
  promise.catch(() => {})
  return { promise, resolve, reject }
}
