import type { BrokerHistoryLimits, BrokerHistoryPage, MaybePromise } from '../../types/broker.js'
import type { ExchangeEventObjects, ExchangeEvents, ScChannel, ScExchange, ScStream, ScWatcher } from '../../types/exchange.js'
import type { ScHistory, ScHistoryQuery } from '../../types/history.js'
import type { ScPresence } from '../../types/presence.js'
import type { Checked, ResolvedChannel } from '../../types/routes.js'
import type { BrokerLink } from '../broker/link.js'
import { parsePosition } from '../broker/position.js'
import { checkCallback, checkText } from '../arguments.js'
import { follow } from '../barrier.js'
import { Emitter } from '../emitter.js'
import { scError } from '../errors.js'
import { done, handled, ifRejects } from '../promises.js'
import { toJson } from '../protocol/codec.js'
import { channelNameError, isChannelName } from '../protocol/names.js'
import { asError, messageOf } from '../untrusted.js'
import { ExchangeChannel, type ChannelPort } from './channel.js'
import type { ExchangeHost } from './exchange-host.js'
import { checkQuery, historyOf } from './history.js'
import type { Hub, Preparation } from './hub.js'
import { serverMistake } from './server-mistake.js'

const eventObjects: { readonly [E in keyof ExchangeEvents]: (...args: ExchangeEvents[E]) => ExchangeEventObjects[E] } = {
  subscribe: (channel) => ({ channel }),
  unsubscribe: (channel) => ({ channel }),
  subscribeFail: (error, channel) => ({ error, channel })
}

/** The exchange of the server: publishes and subscribes on the server's behalf. */
export class Exchange extends Emitter<ExchangeEventObjects> implements ScExchange, ChannelPort {
  readonly #link: BrokerLink
  readonly #hub: Hub
  readonly #host: ExchangeHost
  readonly #channels = new Map<string, ExchangeChannel>()
  publishes = 0

  constructor (link: BrokerLink, hub: Hub, host: ExchangeHost) {
    super()
    this.#link = link
    this.#hub = hub
    this.#host = host
  }

  publish (channel: string, data?: unknown, callback?: (err: Error | null) => void): Promise<void> {
    let published: MaybePromise<void>
    try {
      checkCallback('publish', callback)
      published = this.#publish(channel, data)
    } catch (err) {
      return this.#failed(asError(err), typeof callback === 'function' ? callback : undefined)
    }
    if (published === undefined) {
      this.#call(callback, null)
      return done
    }
    return handled(this.#settled(published, callback ?? undefined))
  }

  async #settled (published: Promise<void>, callback: ((err: Error | null) => void) | undefined): Promise<void> {
    try {
      await published
    } catch (err) {
      return this.#failed(asError(err), callback)
    }
    this.#call(callback, null)
  }

  invokePublish (channel: string, data?: unknown): Promise<void> { return this.publish(channel, data) }
  transmitPublish (channel: string, data?: unknown): void { this.publish(channel, data) }

  #publish (channel: string, data: unknown): MaybePromise<void> {
    this.#checkName(channel, 'publish')
    const { history, isCompanion, validateMessage } = this.#host.resolve(channel).route
    if (isCompanion) throw scError('SC_ERR_COMPANION', [channel])
    if (validateMessage === null) return this.publishChecked(channel, data, history)
    const checked = validateMessage(data)
    if (checked instanceof Promise) return checked.then((result) => this.#publishResult(channel, result, history))
    return this.#publishResult(channel, checked, history)
  }

  #publishResult (channel: string, checked: Checked, history: BrokerHistoryLimits | null): MaybePromise<void> {
    if (checked.error !== undefined) throw serverMistake(checked.error)
    return this.publishChecked(channel, checked.value, history)
  }

  /**
   * Publishes a message that passed all checks. Returns a promise only when the broker does not accept at once.
   * @throws an error for data that cannot be encoded and `BrokerError`s, at once or as a rejection
   */
  publishChecked (channel: string, data: unknown, history: BrokerHistoryLimits | null): MaybePromise<void> {
    let json: string
    try {
      json = toJson(data) ?? ''
    } catch (err) {
      throw scError('SC_ERR_ENCODE', [messageOf(err)], { cause: err })
    }
    const published = this.#link.publish(channel, json, history)
    this.publishes++
    return published
  }

  history (channel: string, query: ScHistoryQuery = {}): Promise<ScHistory> {
    return handled(this.#history(channel, query))
  }

  async #history (channel: string, query: ScHistoryQuery): Promise<ScHistory> {
    this.#checkName(channel, 'read the history of')
    const checked = checkQuery(query)
    const limits = this.#host.resolve(channel).route.history
    if (limits === null) throw scError('SC_ERR_NO_HISTORY', [channel])
    const { since, limit } = checked
    const position = since === undefined ? null : parsePosition(since)
    const page = await this.#link.readHistory(channel, position, limit, limits)
    return historyOf(since !== undefined && position === null ? { ...page, gap: 'unknown' } : page, checked)
  }

  presence (channel: string): Promise<ScPresence> {
    return handled(this.#checked(channel, 'read the presence of', () => this.#host.presence(channel)))
  }

  occupancy (channel: string): Promise<number> {
    return handled(this.#checked(channel, 'count the sockets of', () => this.#host.occupancy(channel)))
  }

  async #checked<T> (channel: string, action: string, read: () => Promise<T>): Promise<T> {
    this.#checkName(channel, action)
    return await read()
  }

  /**
   * Returns what has to be done before a subscriber is added to a channel: with `recover`, to read what it missed.
   * @param since the text of the position that the client sent; when absent, only the position of the last message is read
   * @param read called with the missed messages, `null` if they cannot be read, in the turn in which the subscriber is added
   */
  preparation (channel: string, { route: { history, recover } }: ResolvedChannel, since: string | undefined, read: (page: BrokerHistoryPage | null) => void): Preparation {
    if (history === null || recover === null) return null
    const position = since === undefined ? null : parsePosition(since)
    let hasFailed = false
    const failed = (err: unknown): void => {
      // The subscription waits until the engine is back.
      if ((err as { code?: unknown } | null)?.code === 'SC_ERR_BROKER_DOWN') throw err
      hasFailed = true
      this.#host.warn(err)
    }
    const follow = (): MaybePromise<void> => {
      const page = this.#link.followHistory(channel, position, recover.limit, history)
      if (page instanceof Promise) return page.catch(failed)
      this.#hub.reached(channel, page.top)
      read(since !== undefined && position === null ? { ...page, gap: 'unknown' } : page)
    }
    return () => {
      if (!hasFailed) {
        try {
          return follow()
        } catch (err) {
          failed(err)
        }
      }
      read(null)
    }
  }

  #checkName (channel: unknown, action: string): void {
    const { maxChannelNameLength } = this.#host
    if (!isChannelName(channel, maxChannelNameLength)) throw channelNameError(channel, maxChannelNameLength, action)
  }

  #failed (err: Error, callback: ((err: Error | null) => void) | undefined): Promise<void> {
    if (callback === undefined) this.#host.warn(err)
    else this.#call(callback, err)
    return handled(Promise.reject(err))
  }

  #call (callback: ((err: Error | null) => void) | undefined, err: Error | null): void {
    if (callback === undefined || callback === null) return
    try {
      ifRejects(callback(err), (thrown) => this.#host.warn(thrown))
    } catch (thrown) {
      this.#host.warn(thrown)
    }
  }

  subscribe (name: string): ScChannel {
    const channel = this.#channel(name)
    if (channel.state !== 'unsubscribed') return channel
    channel.moveTo('pending')
    this.#watch(channel)
    return channel
  }

  #watch (channel: ExchangeChannel): void {
    const resolved = this.#host.resolve(channel.name)
    const watched = this.#hub.watch(channel.name, resolved, channel, this.preparation(channel.name, resolved, undefined, () => {}))
    if (watched === undefined) this.#subscribed(channel)
    else follow(this, watched, () => this.#subscribed(channel), (err) => this.#subscribeFailed(channel, asError(err)))
  }

  /** Call when the broker is up again: retries the pending subscriptions. */
  retryPending (): void {
    for (const channel of this.#channels.values()) {
      if (channel.state === 'pending') this.#watch(channel)
    }
  }

  #subscribed (channel: ExchangeChannel): void {
    if (channel.state === 'subscribed') return
    // The channel may have been unsubscribed while the broker was asked.
    if (channel.state !== 'pending') {
      this.#hub.unwatch(channel.name, channel)
      return
    }
    channel.moveTo('subscribed')
    channel.announce('subscribe', channel.name)
    this.fire('subscribe', [channel.name], eventObjects.subscribe)
  }

  #subscribeFailed (channel: ExchangeChannel, err: Error): void {
    // While the broker is down or not started, the channel stays pending.
    if (channel.state !== 'pending' || this.#link.state === 'down') return
    channel.moveTo('unsubscribed')
    channel.announce('subscribeFail', err, channel.name)
    this.fire('subscribeFail', [err, channel.name], eventObjects.subscribeFail)
    this.#host.warn(err)
  }

  unsubscribe (name: string): void {
    const channel = this.#channels.get(name)
    if (channel === undefined) return
    const wasSubscribed = channel.state === 'subscribed'
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
      this.#checkName(name, 'channel')
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

  /** Emits `dropOut` on one channel object, or on all for `null`: messages may have been lost. */
  dropOut (name: string | null): void {
    if (name !== null) {
      this.#channels.get(name)?.announce('dropOut', name)
      return
    }
    for (const channel of this.#channels.values()) {
      // The broker delivers channels with `recover` completely, or reports each one that it cannot.
      if (this.#host.resolve(channel.name).route.recover === null) channel.announce('dropOut', channel.name)
    }
  }

  /** Leaves all channels, and ends all loops over events and messages. */
  end (): void {
    for (const channel of this.#channels.values()) {
      this.#hub.unwatch(channel.name, channel)
      channel.end()
    }
    this.closeStreams()
  }

  warn (err: unknown): void { this.#host.warn(err) }
  /** @internal */ fault (err: unknown): void { this.#host.warn(err) }
  protected onListenerError (err: unknown): void { this.#host.warn(err) }
}
