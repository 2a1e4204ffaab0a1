import type { BrokerPosition } from '../../types/broker.js'
import type { ChannelEventObjects, ChannelEvents, ScChannel, ScChannelState, ScPublishOptions, ScStream, ScSubscribeOptions, ScWatcher } from '../../types/exchange.js'
import type { ScHistory, ScHistoryQuery, ScPosition } from '../../types/history.js'
import type { AnyListener } from '../../types/user-data.js'
import { checkFunction, checkText } from '../arguments.js'
import { positionText } from '../broker/position.js'
import { Emitter } from '../emitter.js'
import { ifRejects } from '../promises.js'
import type { Consumer, Outlet } from './consumer.js'
import type { Watcher } from './hub-host.js'
import type { PublishCallback } from './publisher.js'
import { ReadPositions } from './read-positions.js'

/** The part of the exchange that a channel object uses. */
export interface ChannelPort {
  subscribe (channel: string, options?: ScSubscribeOptions): unknown
  unsubscribe (channel: string): void
  publish (channel: string, data: unknown, options?: ScPublishOptions | PublishCallback, callback?: PublishCallback): Promise<void>
  history (channel: string, query?: ScHistoryQuery): Promise<ScHistory>
  destroyChannel (channel: string): void
  warn (err: unknown): void
}

/** The values of a channel's streams: its events, and its messages under `messages`. */
interface StreamObjects extends ChannelEventObjects {
  messages: unknown
}

const eventObjects: { readonly [E in keyof ChannelEvents]: (...args: ChannelEvents[E]) => StreamObjects[E] } = {
  subscribe: (channel) => ({ channel }),
  unsubscribe: (channel) => ({ channel }),
  dropOut: (channel) => ({ channel }),
  subscribeFail: (error, channel) => ({ error, channel }),
  recovery: (status) => status,
  subscribeStateChange: (change) => change
}

/** A channel object of the server's exchange. */
export class ExchangeChannel extends Emitter<StreamObjects> implements ScChannel, Watcher, Outlet {
  declare readonly PENDING: 'pending'
  declare readonly SUBSCRIBED: 'subscribed'
  declare readonly UNSUBSCRIBED: 'unsubscribed'

  state: ScChannelState = 'unsubscribed'
  readonly #port: ChannelPort
  /** The subscription with `since`; null for any other. */
  consumer: Consumer | null = null
  #watchers: ScWatcher[] = []
  /** Created with the first position. */
  #positions: ReadPositions | null = null

  constructor (readonly name: string, port: ChannelPort) {
    super()
    this.#port = port
  }

  getState (): ScChannelState { return this.state }
  subscribe (options?: ScSubscribeOptions): void { this.#port.subscribe(this.name, options) }
  unsubscribe (): void { this.#port.unsubscribe(this.name) }
  destroy (): void { this.#port.destroyChannel(this.name) }

  isSubscribed (includePending = false): boolean {
    return this.state === 'subscribed' || (includePending && this.state === 'pending')
  }

  publish (data?: unknown, options?: ScPublishOptions | PublishCallback, callback?: PublishCallback): Promise<void> {
    return this.#port.publish(this.name, data, options, callback)
  }

  invokePublish (data?: unknown, options?: ScPublishOptions): Promise<void> {
    return this.#port.publish(this.name, data, options)
  }

  transmitPublish (data?: unknown, options?: ScPublishOptions): void {
    this.#port.publish(this.name, data, options)
  }

  history (query?: ScHistoryQuery): Promise<ScHistory> {
    return this.#port.history(this.name, query)
  }

  watch (handler: ScWatcher): void {
    checkFunction('watch', 'watcher', handler)
    this.#watchers = [...this.#watchers, handler]
  }

  unwatch (handler?: ScWatcher): void {
    this.#watchers = handler === undefined ? [] : this.#watchers.filter((other) => other !== handler)
  }

  watchers (): ScWatcher[] { return [...this.#watchers] }

  get position (): ScPosition | undefined {
    const position = this.#positions === null ? null : this.#positions.get(this.waiting)
    return position === null ? undefined : positionText(position)
  }

  get waiting (): number { return this.activeStream('messages')?.getBackpressure() ?? 0 }
  idle (): Promise<void> | undefined { return this.activeStream('messages')?.idle() }
  begin (position: BrokerPosition): void { (this.#positions ??= new ReadPositions()).begin(position) }

  receive (json: string, position?: BrokerPosition): void {
    if (this.consumer === null) this.show(json, position ?? null)
    else this.consumer.receive(json, position)
  }

  show (json: string, position: BrokerPosition | null): void {
    if (position !== null) this.#positions ??= new ReadPositions()
    this.#positions?.add(position, this.waiting)
    const messages = this.activeStream('messages')
    if (this.#watchers.length === 0 && messages === undefined) return
    // Parsed here, so that changes that a watcher makes to the data are seen by watchers only.
    const data: unknown = json === '' ? undefined : JSON.parse(json)
    for (const watcher of this.#watchers) {
      try {
        ifRejects(watcher(data), (err) => this.#port.warn(err))
      } catch (err) {
        this.#port.warn(err)
      }
    }
    messages?.write(data, data)
  }

  /** Changes the state and emits `subscribeStateChange`. */
  moveTo (state: ScChannelState): void {
    const oldState = this.state
    if (oldState === state) return
    this.state = state
    this.announce('subscribeStateChange', { channel: this.name, oldState, newState: state })
  }

  announce<E extends keyof ChannelEvents> (event: E, ...args: ChannelEvents[E]): void {
    this.fire(event, args, eventObjects[event])
  }

  override once (timeout?: number): Promise<unknown>
  override once (event: string, listener: AnyListener): this
  override once (event?: string | number, listener?: AnyListener): unknown {
    if (typeof event === 'string') return super.once(event, listener!)
    return this.stream('messages').once(event)
  }

  [Symbol.asyncIterator] (): AsyncIterator<unknown> { return this.stream('messages')[Symbol.asyncIterator]() }

  listener<E extends keyof ChannelEventObjects> (event: E): ScStream<ChannelEventObjects[E]> {
    checkText('listener', 'event', event)
    return this.stream(event)
  }

  /** Call when the subscription ends. */
  endConsumer (): void {
    this.consumer?.stop()
    this.consumer = null
  }

  /** Ends all loops over the streams of this channel. */
  end (): void { this.closeStreams() }

  protected onListenerError (err: unknown): void { this.#port.warn(err) }
}

for (const state of ['pending', 'subscribed', 'unsubscribed']) {
  Object.defineProperty(ExchangeChannel.prototype, state.toUpperCase(), { value: state })
}
