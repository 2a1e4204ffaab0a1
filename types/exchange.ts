import type { ScHistory, ScHistoryQuery, ScPosition } from './history.js'
import type { ScPresence } from './presence.js'
import type { AnyListener, UserData } from './user-data.js'

/** The state of a server-side channel object. */
export type ScChannelState = 'subscribed' | 'pending' | 'unsubscribed'

/** A handler of a channel's messages. */
export type ScWatcher = (data: UserData) => void | Promise<void>

/** The events of the exchange with the arguments of their listeners. */
export interface ExchangeEvents {
  /** The server subscribed to a channel. */
  subscribe: [channel: string]
  /** A subscription of the server ended. */
  unsubscribe: [channel: string]
  /** A subscription of the server failed. */
  subscribeFail: [err: Error, channel: string]
  /** A subscription with `since` has all messages, or may lack some. */
  recovery: [status: ScSubscriptionRecovery]
}

/** The events of a channel with the arguments of their listeners. */
export interface ChannelEvents extends ExchangeEvents {
  /** The state of the channel changed. */
  subscribeStateChange: [change: ChannelEventObjects['subscribeStateChange']]
  /** Messages of the channel may have been lost. */
  dropOut: [channel: string]
}

/** The objects that the streams of `exchange.listener(event)` yield, by event. */
export interface ExchangeEventObjects {
  subscribe: { channel: string }
  unsubscribe: { channel: string }
  subscribeFail: { error: Error, channel: string }
  recovery: ScSubscriptionRecovery
}

/** The objects that the streams of `channel.listener(event)` yield, by event. */
export interface ChannelEventObjects extends ExchangeEventObjects {
  subscribeStateChange: { channel: string, oldState: ScChannelState, newState: ScChannelState }
  dropOut: { channel: string }
}

/** The argument of a stream's `once()`: a timeout in milliseconds, or none. */
export type OnceTimeout = number | undefined

/** Options of `exchange.subscribe()`. */
export interface ScSubscribeOptions {
  /**
   * The position after which the messages of the channel are delivered: `channel.position` or the position of an earlier process.
   * `'oldest'` to begin with the oldest message that is kept, `undefined` to begin with new messages. Requires a channel with
   * `history`.
   */
  since: ScPosition | undefined
}

/** Whether a subscription of the server with `since` has all messages of the channel. */
export interface ScSubscriptionRecovery {
  readonly channel: string
  /**
   * `true`: all messages after `since` were delivered, once each, in order. `false`: messages may be missing between the last
   * message and the next one.
   */
  readonly recovered: boolean
  /** The reason why messages may be missing. */
  readonly reason?: 'unknown' | 'trimmed'
}

/** Options of `exchange.publish()`. */
export interface ScPublishOptions {
  /**
   * Makes the publish safe to repeat, for example after a `BrokerError`, when it is not known whether the message was published. If
   * a message with the same key was published to the channel within the `ttl` of its history, nothing is published, and the promise
   * resolves. 1 to 128 characters. Requires a channel with `history`, and a broker that offers `publishOnce`: the memory and Redis
   * brokers do. Cannot be combined with `history: false`.
   */
  idempotencyKey?: string
  /**
   * `false`: the message is delivered, but not kept in the history of the channel. It has no position, and a client that misses it
   * does not recover it. Has no effect on a channel without `history`.
   */
  history?: false
}

/** Options of `exchange.append()`. */
export type ScAppendOptions = Pick<ScPublishOptions, 'idempotencyKey'>

/** A stream of values. Any number of `for await` loops can read it; each receives the values that arrive after it started. */
export interface ScStream<T> extends AsyncIterable<T> {
  /** Resolves with the next value. Rejects with a `TimeoutError` after `timeout` milliseconds, if given. */
  once (timeout?: OnceTimeout): Promise<T>
  /**
   * Returns the number of values that wait for the slowest loop. A loop that is 10,000 values or 16 MiB behind loses the oldest
   * values, with a `warning`.
   */
  getBackpressure (): number
}

/**
 * Publishes and subscribes on behalf of the server.
 *
 * Publications of the server skip the `publishIn` line. `publishOut` runs for each receiving socket.
 */
export interface ScExchange {
  /**
   * Publishes a message to all subscribers of a channel, on all nodes.
   *
   * Settles when the broker accepted the message and rejects with a `BrokerError` otherwise; `callback` gets the same error.
   * A rejection without a handler becomes a `warning` of the server, never an unhandled rejection.
   */
  publish (channel: string, data?: unknown, callback?: (err: Error | null) => void): Promise<void>
  /**
   * Publishes a message with options. Rejects with an InvalidActionError if the channel or the broker does not support
   * `idempotencyKey`, and with an InvalidArgumentsError for an invalid option.
   */
  publish (channel: string, data: unknown, options?: ScPublishOptions, callback?: (err: Error | null) => void): Promise<void>
  /**
   * Reads the history of a channel that was declared with `history`.
   * Rejects with an InvalidActionError if the channel has no history, an InvalidArgumentsError for an invalid query, and a
   * BrokerError if the broker fails.
   */
  history (channel: string, query?: ScHistoryQuery): Promise<ScHistory>
  /**
   * Reads which users are in a channel that was declared with `presence`, on all nodes.
   * Rejects with an InvalidActionError if the channel has no presence, and with a BrokerError if the users are not known and the
   * engine of the broker is down.
   */
  presence (channel: string): Promise<ScPresence>
  /**
   * Counts the sockets that are subscribed to a channel, on all nodes. Works for any channel. Nodes that do not answer in time
   * are left out, with a `warning`. Rejects with a BrokerError while the engine of the broker is down.
   */
  occupancy (channel: string): Promise<number>
  /**
   * Publishes a message to a channel with `history`, like `publish()`, and resolves with its position; with `null` if it was not published
   * because a message with its `idempotencyKey` was published before. Rejects with an InvalidActionError if the channel has no history, or
   * the broker does not tell positions: memory, Redis and NATS do. A rejection that nobody handles is neither a `warning` nor an unhandled
   * rejection.
   */
  append (channel: string, data?: unknown, options?: ScAppendOptions): Promise<ScPosition | null>
  /** Same as `publish`, with the name of SocketCluster 15 and later. */
  invokePublish (channel: string, data?: unknown, options?: ScPublishOptions): Promise<void>
  /** Publishes a message without waiting for the broker. */
  transmitPublish (channel: string, data?: unknown, options?: ScPublishOptions): void
  /**
   * Subscribes the server to a channel. The channel's `watch` handlers and loops receive its messages from then on.
   *
   * With options, they receive all messages after `since` first, once each, in order, from the next turn of the event loop on. A
   * message that is missed later, because the connection to the broker was lost or a loop is slow, is delivered from the history. If
   * messages may be missing, the events `recovery` and `dropOut` tell it before the next message.
   * Throws an InvalidActionError if the channel has no history, or the broker's history no `follow`, and an InvalidArgumentsError if
   * the exchange is subscribed already.
   */
  subscribe (channel: string, options?: ScSubscribeOptions): ScChannel
  /** Ends the server's subscription to a channel. */
  unsubscribe (channel: string): void
  /** Returns the channel object without subscribing. It is created on first use. */
  channel (channel: string): ScChannel
  /** Unsubscribes from a channel and removes its watchers. */
  destroyChannel (channel: string): void
  /** Returns the names of the channels that the server is subscribed to, with `includePending` also pending ones. */
  subscriptions (includePending?: boolean): string[]
  /** Whether the server is subscribed to a channel, with `includePending` also if it is pending. */
  isSubscribed (channel: string, includePending?: boolean): boolean
  /** Calls `handler(data)` for each message while the exchange is subscribed to the channel. */
  watch (channel: string, handler: ScWatcher): void
  /** Removes one handler of a channel, or all of them. */
  unwatch (channel: string, handler?: ScWatcher): void
  /** Returns the handlers of a channel. */
  watchers (channel: string): ScWatcher[]
  /** Adds a listener of an event. */
  on<E extends keyof ExchangeEvents> (event: E, listener: (...args: ExchangeEvents[E]) => unknown): this
  /** Adds a listener that is called once. */
  once<E extends keyof ExchangeEvents> (event: E, listener: (...args: ExchangeEvents[E]) => unknown): this
  /** Removes one listener of an event, all listeners of an event, or all listeners. */
  off (event?: string, listener?: AnyListener): this
  /** Removes one listener, like `off`. `once` of `node:events` needs this method. */
  removeListener (event: string, listener: AnyListener): this
  /**
   * Returns an event as a stream of objects, as in SocketCluster 15 and later: `{ channel }`, or `{ channel, error }` for
   * `subscribeFail`.
   */
  listener<E extends keyof ExchangeEventObjects> (event: E): ScStream<ExchangeEventObjects[E]>
}

/** A channel of the exchange. A `for await` loop receives its messages. */
export interface ScChannel extends AsyncIterable<UserData> {
  readonly name: string
  /** `'pending'` until the broker confirmed the subscription. */
  readonly state: ScChannelState
  /**
   * The position of the last message that all watchers and loops received; a loop receives a message when its body begins.
   * `undefined` while none is known, and for channels without `history`. Pass it to `exchange.subscribe()` as `since` to continue
   * after it, also in another process.
   */
  readonly position: ScPosition | undefined
  readonly PENDING: 'pending'
  readonly SUBSCRIBED: 'subscribed'
  readonly UNSUBSCRIBED: 'unsubscribed'
  /** Returns `state`. */
  getState (): ScChannelState
  /** Subscribes the server to the channel, like `exchange.subscribe`. */
  subscribe (options?: ScSubscribeOptions): void
  /** Ends the server's subscription. */
  unsubscribe (): void
  /** Whether the server is subscribed, with `includePending` also if the subscription is pending. */
  isSubscribed (includePending?: boolean): boolean
  /** Publishes a message, like `exchange.publish`. */
  publish (data?: unknown, callback?: (err: Error | null) => void): Promise<void>
  /** Publishes a message with options, like `exchange.publish`. */
  publish (data: unknown, options?: ScPublishOptions, callback?: (err: Error | null) => void): Promise<void>
  /** Same as `publish`, with the name of SocketCluster 15 and later. */
  invokePublish (data?: unknown, options?: ScPublishOptions): Promise<void>
  /** Publishes a message without waiting for the broker. */
  transmitPublish (data?: unknown, options?: ScPublishOptions): void
  /** Reads the messages that the channel remembers, like `exchange.history`. */
  history (query?: ScHistoryQuery): Promise<ScHistory>
  /** Calls `handler(data)` for each message while the server is subscribed. */
  watch (handler: ScWatcher): void
  /** Removes one handler, or all of them. */
  unwatch (handler?: ScWatcher): void
  /** Returns the handlers. */
  watchers (): ScWatcher[]
  /** Unsubscribes from the channel and removes its handlers. */
  destroy (): void
  /** Resolves with the next message. Rejects with a `TimeoutError` after `timeout` milliseconds, if given. */
  once (timeout?: OnceTimeout): Promise<UserData>
  /** Adds a listener of an event. */
  on<E extends keyof ChannelEvents> (event: E, listener: (...args: ChannelEvents[E]) => unknown): this
  /** Removes one listener of an event, all listeners of an event, or all listeners. */
  off (event?: string, listener?: AnyListener): this
  /** Removes one listener, like `off`. `once` of `node:events` needs this method. */
  removeListener (event: string, listener: AnyListener): this
  /** Returns an event as a stream of objects, as in SocketCluster 15 and later. */
  listener<E extends keyof ChannelEventObjects> (event: E): ScStream<ChannelEventObjects[E]>
}
