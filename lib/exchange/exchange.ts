import type { BrokerHistoryLimits, BrokerPosition, MaybePromise } from '../../types/broker.js'
import type { ExchangeEventObjects, ExchangeEvents, ScAppendOptions, ScChannel, ScExchange, ScPublishOptions, ScStream, ScSubscribeOptions, ScWatcher } from '../../types/exchange.js'
import type { ScHistory, ScHistoryQuery, ScPosition } from '../../types/history.js'
import type { ScPresence } from '../../types/presence.js'
import type { BrokerLink } from '../broker/link.js'
import { parsePosition } from '../broker/position.js'
import { checkText } from '../arguments.js'
import { follow } from '../barrier.js'
import { Emitter } from '../emitter.js'
import { scError } from '../errors.js'
import { handled } from '../promises.js'
import { asError } from '../untrusted.js'
import { ExchangeChannel, type ChannelPort } from './channel.js'
import { checkName } from './checks.js'
import { Consumer } from './consumer.js'
import type { ExchangeHost } from './exchange-host.js'
import { checkQuery, historyOf } from './history.js'
import type { Hub } from './hub.js'
import { preparationOf } from './preparation.js'
import { Publisher, type PublishCallback } from './publisher.js'
import { checkSubscribeOptions } from './subscribe-options.js'

const eventObjects: { readonly [E in keyof ExchangeEvents]: (...args: ExchangeEvents[E]) => ExchangeEventObjects[E] } = {
  subscribe: (channel) => ({ channel }),
  unsubscribe: (channel) => ({ channel }),
  subscribeFail: (error, channel) => ({ error, channel }),
  recovery: (status) => status
}

/** The exchange of the server: publishes and subscribes on the server's behalf. */
export class Exchange extends Emitter<ExchangeEventObjects> implements ScExchange, ChannelPort {
  readonly #link: BrokerLink
  readonly #hub: Hub
  readonly #host: ExchangeHost
  readonly #publisher: Publisher
  readonly #channels = new Map<string, ExchangeChannel>()

  constructor (link: BrokerLink, hub: Hub, host: ExchangeHost) {
    super()
    this.#link = link
    this.#hub = hub
    this.#host = host
    this.#publisher = new Publisher(link, host)
  }

  /** Number of messages that were handed to the broker. */
  get publishes (): number { return this.#publisher.count }

  publish (channel: string, data?: unknown, options?: ScPublishOptions | PublishCallback, callback?: PublishCallback): Promise<void> {
    return this.#publisher.publish(channel, data, options, callback)
  }

  append (channel: string, data?: unknown, options?: ScAppendOptions): Promise<ScPosition | null> {
    return handled(this.#publisher.append(channel, data, options))
  }

  invokePublish (channel: string, data?: unknown, options?: ScPublishOptions): Promise<void> { return this.#publisher.publish(channel, data, options) }
  transmitPublish (channel: string, data?: unknown, options?: ScPublishOptions): void { this.#publisher.publish(channel, data, options) }

  /** Publishes a message that passed all checks. @see Publisher.publishChecked */
  publishChecked (channel: string, data: unknown, history: BrokerHistoryLimits | null): MaybePromise<void> {
    return this.#publisher.publishChecked(channel, data, history)
  }

  history (channel: string, query: ScHistoryQuery = {}): Promise<ScHistory> {
    return handled(this.#history(channel, query))
  }

  async #history (channel: string, query: ScHistoryQuery): Promise<ScHistory> {
    checkName(channel, 'read the history of', this.#host)
    const checked = checkQuery(query)
    const limits = this.#host.resolve(channel).route.history
    if (limits === null) throw scError('SC_ERR_NO_HISTORY', [channel])
    const { since, limit } = checked
    const position = since === undefined || since === 'oldest' ? since : parsePosition(since)
    const page = await this.#link.readHistory(channel, position ?? null, limit, limits)
    return historyOf(position === null ? { ...page, gap: 'unknown' } : page, checked)
  }

  presence (channel: string): Promise<ScPresence> {
    return handled(this.#checked(channel, 'read the presence of', () => this.#host.presence(channel)))
  }

  occupancy (channel: string): Promise<number> {
    return handled(this.#checked(channel, 'count the sockets of', () => this.#host.occupancy(channel)))
  }

  async #checked<T> (channel: string, action: string, read: () => Promise<T>): Promise<T> {
    checkName(channel, action, this.#host)
    return await read()
  }

  subscribe (name: string, options?: ScSubscribeOptions): ScChannel {
    const channel = this.#channel(name)
    if (options !== undefined) channel.consumer = this.#consumer(channel, checkSubscribeOptions(options, channel.state))
    if (channel.state !== 'unsubscribed') return channel
    channel.moveTo('pending')
    this.#watch(channel)
    return channel
  }

  #consumer (channel: ExchangeChannel, since: string | undefined): Consumer {
    const { name } = channel
    const { broker } = this.#link
    const { history } = this.#host.resolve(name).route
    if (history === null) throw scError('SC_ERR_NO_HISTORY', [name])
    if (broker.history?.follow === undefined) throw scError('SC_ERR_NO_FOLLOW', [broker.name, name])
    return new Consumer(channel, {
      hub: this.#hub,
      run: (work) => follow(this, work, () => {}, (err) => { throw err }),
      warn: (err) => this.#host.warn(err),
      tell: (status) => {
        channel.announce('recovery', status)
        this.fire('recovery', [status], eventObjects.recovery)
        if (!status.recovered) channel.announce('dropOut', name)
      }
    }, history, since)
  }

  #watch (channel: ExchangeChannel): void {
    const { name, consumer } = channel
    const resolved = this.#host.resolve(name)
    // With it the broker delivers the channel completely, which `recover` promises to all subscribers.
    const preparation = consumer === null && resolved.route.recover === null
      ? null
      : preparationOf(this.#hub, name, resolved, { newest: 0 }, (found) => consumer?.begin(found === null ? null : found.top))
    const watched = this.#hub.watch(name, resolved, channel, preparation)
    if (watched === undefined) this.#subscribed(channel)
    else follow(this, watched, () => this.#subscribed(channel), (err) => this.#subscribeFailed(channel, asError(err)))
  }

  /** Call when the broker is up again: retries the pending subscriptions, and what could not be read. */
  retryPending (): void {
    for (const channel of this.#channels.values()) {
      if (channel.state === 'pending') this.#watch(channel)
      else channel.consumer?.resume()
    }
  }

  #subscribed (channel: ExchangeChannel): void {
    if (channel.state === 'subscribed') return
    // The channel may have been unsubscribed while the broker was asked.
    if (channel.state !== 'pending') {
      this.#hub.unwatch(channel.name, channel)
      return
    }
    channel.consumer?.resume()
    channel.moveTo('subscribed')
    channel.announce('subscribe', channel.name)
    this.fire('subscribe', [channel.name], eventObjects.subscribe)
  }

  #subscribeFailed (channel: ExchangeChannel, err: Error): void {
    // While the broker is down or not started, the channel stays pending.
    if (channel.state !== 'pending' || this.#link.state === 'down') return
    channel.endConsumer()
    channel.moveTo('unsubscribed')
    channel.announce('subscribeFail', err, channel.name)
    this.fire('subscribeFail', [err, channel.name], eventObjects.subscribeFail)
    this.#host.warn(err)
  }

  unsubscribe (name: string): void {
    const channel = this.#channels.get(name)
    if (channel === undefined) return
    const wasSubscribed = channel.state === 'subscribed'
    channel.endConsumer()
    channel.moveTo('unsubscribed')
    if (!wasSubscribed) return
    this.#hub.unwatch(name, channel)
    channel.announce('unsubscribe', name)
    this.fire('unsubscribe', [name], eventObjects.unsubscribe)
  }

  channel (name: string): ScChannel { return this.#channel(name) }

  #channel (name: string): ExchangeChannel {
    let channel = this.#channels.get(name)
    if (channel === undefined) {
      checkName(name, 'channel', this.#host)
      channel = new ExchangeChannel(name, this)
      this.#channels.set(name, channel)
    }
    return channel
  }

  destroyChannel (name: string): void {
    const channel = this.#channels.get(name)
    if (channel === undefined) return
    channel.unwatch()
    this.unsubscribe(name)
    channel.end()
    this.#channels.delete(name)
  }

  subscriptions (includePending = false): string[] {
    return [...this.#channels.values()].filter((channel) => channel.isSubscribed(includePending)).map((channel) => channel.name)
  }

  isSubscribed (name: string, includePending = false): boolean {
    return this.#channels.get(name)?.isSubscribed(includePending) ?? false
  }

  watch (name: string, handler: ScWatcher): void { this.#channel(name).watch(handler) }
  unwatch (name: string, handler?: ScWatcher): void { this.#channels.get(name)?.unwatch(handler) }
  watchers (name: string): ScWatcher[] { return this.#channels.get(name)?.watchers() ?? [] }
  listener<E extends keyof ExchangeEventObjects> (event: E): ScStream<ExchangeEventObjects[E]> {
    checkText('listener', 'event', event)
    return this.stream(event)
  }

  /**
   * Emits `dropOut` on one channel object, or on all for `null`: messages may have been lost.
   * @param position the position before the next message, for a channel that the broker delivers completely
   */
  dropOut (name: string | null, position?: BrokerPosition): void {
    if (name !== null) {
      const channel = this.#channels.get(name)
      if (channel?.consumer != null && position !== undefined) channel.consumer.lost(position)
      else channel?.announce('dropOut', name)
      return
    }
    for (const channel of this.#channels.values()) {
      if (channel.consumer !== null) continue
      // The broker delivers channels with `recover` completely, or reports each one that it cannot.
      if (this.#host.resolve(channel.name).route.recover === null) channel.announce('dropOut', channel.name)
    }
  }

  /** Leaves all channels, and ends all loops over events and messages. */
  end (): void {
    for (const channel of this.#channels.values()) {
      this.#hub.unwatch(channel.name, channel)
      channel.endConsumer()
      channel.end()
    }
    this.closeStreams()
  }

  warn (err: unknown): void { this.#host.warn(err) }
  /** @internal */ fault (err: unknown): void { this.#host.warn(err) }
  protected onListenerError (err: unknown): void { this.#host.warn(err) }
}
