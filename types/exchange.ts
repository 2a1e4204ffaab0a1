import type { AnyListener, UserData } from './user-data.js'

/** The state of a server-side channel object. */
export type ScChannelState = 'subscribed' | 'pending' | 'unsubscribed'

export type ScWatcher = (data: UserData) => void | Promise<void>

/** The events of the exchange and what their listeners get. */
export interface ExchangeEvents {
  subscribe: [channel: string]
  unsubscribe: [channel: string]
  subscribeFail: [err: Error, channel: string]
}

/** The events of a channel and what their listeners get. */
export interface ChannelEvents extends ExchangeEvents {
  subscribeStateChange: [change: ChannelEventObjects['subscribeStateChange']]
  /** Messages may have been lost. */
  dropOut: [channel: string]
}

/** What `exchange.listener(event)` gives of each event. */
export interface ExchangeEventObjects {
  subscribe: { channel: string }
  unsubscribe: { channel: string }
  subscribeFail: { error: Error, channel: string }
}

/** What `channel.listener(event)` gives of each event. */
export interface ChannelEventObjects extends ExchangeEventObjects {
  subscribeStateChange: { channel: string, oldState: ScChannelState, newState: ScChannelState }
  dropOut: { channel: string }
}

/** Options of an async iterator's `once()`. */
export type OnceTimeout = number | undefined

/** A stream of values that any number of `for await` loops can read, each from the moment it starts. */
export interface ScStream<T> extends AsyncIterable<T> {
  /** The next value. Rejects with a `TimeoutError` after `timeout` milliseconds, when given. */
  once (timeout?: OnceTimeout): Promise<T>
  /** How many values wait for the slowest loop. A loop that is 10,000 values or 16 MiB behind loses the oldest, with a `warning`. */
  getBackpressure (): number
}

/**
 * The server's own publisher and subscriber.
 *
 * A publish of the server skips the `publishIn` line; `publishOut` runs for each receiving socket.
 */
export interface ScExchange {
  /**
   * Publishes to every subscriber of a channel, on all nodes.
   *
   * Settles when the broker accepted the message and rejects with a `BrokerError` otherwise. A rejection nobody
   * handles is a `warning` on the server, never an unhandled rejection. The callback form gets the same error.
   */
  publish (channel: string, data?: unknown, callback?: (err: Error | null) => void): Promise<void>
  /** `publish` under the name of SocketCluster 15 and later. */
  invokePublish (channel: string, data?: unknown): Promise<void>
  /** Publishes without waiting for the broker. */
  transmitPublish (channel: string, data?: unknown): void
  /** Subscribes the server itself; `watch` handlers of the channel get its messages from then on. */
  subscribe (channel: string): ScChannel
  unsubscribe (channel: string): void
  /** The channel object, made on first use, without subscribing. */
  channel (channel: string): ScChannel
  /** Drops watchers and subscription of a channel. */
  destroyChannel (channel: string): void
  subscriptions (includePending?: boolean): string[]
  isSubscribed (channel: string, includePending?: boolean): boolean
  /** Calls `handler(data)` for each message while the exchange is subscribed to the channel. */
  watch (channel: string, handler: ScWatcher): void
  /** Removes one handler, or all of the channel. */
  unwatch (channel: string, handler?: ScWatcher): void
  watchers (channel: string): ScWatcher[]
  on<E extends keyof ExchangeEvents> (event: E, listener: (...args: ExchangeEvents[E]) => unknown): this
  once<E extends keyof ExchangeEvents> (event: E, listener: (...args: ExchangeEvents[E]) => unknown): this
  off (event?: string, listener?: AnyListener): this
  /** `off` for one listener; `once` of `node:events` needs it. */
  removeListener (event: string, listener: AnyListener): this
  /** Events as a stream of objects, as in SocketCluster 15 and later: `{ channel }`, and `{ channel, error }` for `subscribeFail`. */
  listener<E extends keyof ExchangeEventObjects> (event: E): ScStream<ExchangeEventObjects[E]>
}

/** One channel, seen from the server. Iterating it (`for await`) gives its messages. */
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
  /** The next message. */
  once (timeout?: OnceTimeout): Promise<UserData>
  on<E extends keyof ChannelEvents> (event: E, listener: (...args: ChannelEvents[E]) => unknown): this
  off (event?: string, listener?: AnyListener): this
  /** `off` for one listener; `once` of `node:events` needs it. */
  removeListener (event: string, listener: AnyListener): this
  listener<E extends keyof ChannelEventObjects> (event: E): ScStream<ChannelEventObjects[E]>
}
