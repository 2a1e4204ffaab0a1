import type { AnyListener, UserData } from './user-data.js'

/** The state of a server-side channel object. */
export type ScChannelState = 'subscribed' | 'pending' | 'unsubscribed'

export type ScWatcher = (data: UserData) => void | Promise<void>

/** The events of the exchange with the arguments of their listeners. */
export interface ExchangeEvents {
  subscribe: [channel: string]
  unsubscribe: [channel: string]
  subscribeFail: [err: Error, channel: string]
}

/** The events of a channel with the arguments of their listeners. */
export interface ChannelEvents extends ExchangeEvents {
  subscribeStateChange: [change: ChannelEventObjects['subscribeStateChange']]
  /** Messages of the channel may have been lost. */
  dropOut: [channel: string]
}

/** The objects that the streams of `exchange.listener(event)` yield, by event. */
export interface ExchangeEventObjects {
  subscribe: { channel: string }
  unsubscribe: { channel: string }
  subscribeFail: { error: Error, channel: string }
}

/** The objects that the streams of `channel.listener(event)` yield, by event. */
export interface ChannelEventObjects extends ExchangeEventObjects {
  subscribeStateChange: { channel: string, oldState: ScChannelState, newState: ScChannelState }
  dropOut: { channel: string }
}

/** The argument of a stream's `once()`: a timeout in milliseconds, or none. */
export type OnceTimeout = number | undefined

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
  /** Same as `publish`, with the name of SocketCluster 15 and later. */
  invokePublish (channel: string, data?: unknown): Promise<void>
  /** Publishes a message without waiting for the broker. */
  transmitPublish (channel: string, data?: unknown): void
  /** Subscribes the server to a channel. The channel's `watch` handlers receive its messages from then on. */
  subscribe (channel: string): ScChannel
  unsubscribe (channel: string): void
  /** Returns the channel object without subscribing. It is created on first use. */
  channel (channel: string): ScChannel
  /** Unsubscribes from a channel and removes its watchers. */
  destroyChannel (channel: string): void
  subscriptions (includePending?: boolean): string[]
  isSubscribed (channel: string, includePending?: boolean): boolean
  /** Calls `handler(data)` for each message while the exchange is subscribed to the channel. */
  watch (channel: string, handler: ScWatcher): void
  /** Removes one handler of a channel, or all of them. */
  unwatch (channel: string, handler?: ScWatcher): void
  watchers (channel: string): ScWatcher[]
  on<E extends keyof ExchangeEvents> (event: E, listener: (...args: ExchangeEvents[E]) => unknown): this
  once<E extends keyof ExchangeEvents> (event: E, listener: (...args: ExchangeEvents[E]) => unknown): this
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
  readonly state: ScChannelState
  readonly PENDING: 'pending'
  readonly SUBSCRIBED: 'subscribed'
  readonly UNSUBSCRIBED: 'unsubscribed'
  getState (): ScChannelState
  subscribe (): void
  unsubscribe (): void
  isSubscribed (includePending?: boolean): boolean
  publish (data?: unknown, callback?: (err: Error | null) => void): Promise<void>
  invokePublish (data?: unknown): Promise<void>
  transmitPublish (data?: unknown): void
  watch (handler: ScWatcher): void
  unwatch (handler?: ScWatcher): void
  watchers (): ScWatcher[]
  destroy (): void
  /** Resolves with the next message. Rejects with a `TimeoutError` after `timeout` milliseconds, if given. */
  once (timeout?: OnceTimeout): Promise<UserData>
  on<E extends keyof ChannelEvents> (event: E, listener: (...args: ChannelEvents[E]) => unknown): this
  off (event?: string, listener?: AnyListener): this
  /** Removes one listener, like `off`. `once` of `node:events` needs this method. */
  removeListener (event: string, listener: AnyListener): this
  listener<E extends keyof ChannelEventObjects> (event: E): ScStream<ChannelEventObjects[E]>
}
