import type { BrokerHistoryLimits, MaybePromise } from '../../types/broker.js'
import type { ScAppendOptions, ScPublishOptions } from '../../types/exchange.js'
import type { ScPosition } from '../../types/history.js'
import type { Checked, ChannelRoute } from '../../types/routes.js'
import { checkCallback } from '../arguments.js'
import type { BrokerLink } from '../broker/link.js'
import { positionText } from '../broker/position.js'
import { scError } from '../errors.js'
import { done, handled, ifRejects } from '../promises.js'
import { toJson } from '../protocol/codec.js'
import { asError, messageOf } from '../untrusted.js'
import { checkName } from './checks.js'
import type { ExchangeHost } from './exchange-host.js'
import { checkPublishOptions } from './publish-options.js'
import { serverMistake } from './server-mistake.js'

/** A callback of SocketCluster's API. */
export type PublishCallback = (err: Error | null) => void

/** How a message is published. */
interface Way {
  /** The limits of the history that keeps the message; null if it is not kept. */
  readonly history: BrokerHistoryLimits | null
  readonly key: string | undefined
}

/** Publishes without a callback that the broker accepts or refuses together. */
interface Shared {
  /** The broker's promise. */
  readonly published: Promise<unknown>
  /** The promise that the callers get. */
  answer: Promise<void>
  count: number
}

/** Publishes the server's own messages, and those of clients. */
export class Publisher {
  readonly #link: BrokerLink
  readonly #host: ExchangeHost
  /** The last publishes without a callback, until they settle. */
  #last: Shared | null = null
  /** Number of messages that were handed to the broker. */
  count = 0

  constructor (link: BrokerLink, host: ExchangeHost) {
    this.#link = link
    this.#host = host
  }

  /** @param options the options, or the callback */
  publish (channel: string, data: unknown, options: ScPublishOptions | PublishCallback | null | undefined, callback?: PublishCallback | null): Promise<void> {
    const told = typeof options === 'function' ? options : typeof callback === 'function' ? callback : undefined
    let published: MaybePromise<unknown>
    try {
      if (typeof options !== 'function') checkCallback('publish', callback)
      published = this.#publish(channel, data, typeof options === 'function' ? undefined : options)
    } catch (err) {
      return this.#failed(asError(err), told)
    }
    if (published === undefined) {
      this.#call(told, null)
      return done
    }
    return told === undefined && published instanceof Promise ? this.#shared(published) : handled(this.#settled(published, told))
  }

  /** Messages that share a frame share the broker's promise, and so one answer. */
  #shared (published: Promise<unknown>): Promise<void> {
    if (this.#last?.published === published) {
      this.#last.count++
      return this.#last.answer
    }
    const shared: Shared = { published, answer: done, count: 1 }
    shared.answer = handled(this.#outcome(shared))
    return (this.#last = shared).answer
  }

  async #outcome (shared: Shared): Promise<void> {
    try {
      await shared.published
    } catch (err) {
      const error = asError(err)
      for (let i = 0; i < shared.count; i++) this.#host.warn(error)
      throw error
    } finally {
      if (this.#last === shared) this.#last = null
    }
  }

  async #settled (published: unknown, callback: PublishCallback | undefined): Promise<void> {
    try {
      await published
    } catch (err) {
      return this.#failed(asError(err), callback)
    }
    this.#call(callback, null)
  }

  #publish (channel: string, data: unknown, options: ScPublishOptions | null | undefined): MaybePromise<unknown> {
    checkName(channel, 'publish', this.#host)
    const { key, isKept } = checkPublishOptions(options)
    const { route } = this.#host.resolve(channel)
    if (route.isCompanion) throw scError('SC_ERR_COMPANION', [channel])
    if (key !== undefined) this.#checkKeys(channel, route)
    const way: Way = { history: isKept ? route.history : null, key }
    if (route.validateMessage === null) return this.#send(channel, data, way)
    const checked = route.validateMessage(data)
    if (checked instanceof Promise) return checked.then((result) => this.#sendResult(channel, result, way))
    return this.#sendResult(channel, checked, way)
  }

  /** Publishes a message to a channel with history. Resolves with its position, or with `null` for a repeat. */
  async append (channel: string, data: unknown, options: ScAppendOptions | null | undefined): Promise<ScPosition | null> {
    checkName(channel, 'publish', this.#host)
    const { key, isKept } = checkPublishOptions(options)
    const { route } = this.#host.resolve(channel)
    if (route.isCompanion) throw scError('SC_ERR_COMPANION', [channel])
    if (route.history === null || !isKept) throw scError('SC_ERR_NO_HISTORY', [channel])
    const { broker } = this.#link
    if (broker.history?.append === undefined) throw scError('SC_ERR_NO_POSITIONS', [broker.name, channel])
    if (key !== undefined) this.#checkKeys(channel, route)
    const checked = route.validateMessage === null ? { value: data } : await route.validateMessage(data)
    if (checked.error !== undefined) throw serverMistake(checked.error)
    const position = this.#link.append(channel, this.#encode(checked.value), route.history, key)
    this.count++
    const told = await position
    return told === null ? null : positionText(told)
  }

  #checkKeys (channel: string, { history }: Pick<ChannelRoute, 'history'>): void {
    if (history === null) throw scError('SC_ERR_NO_HISTORY', [channel])
    const { broker } = this.#link
    if (broker.history?.publishOnce === undefined) throw scError('SC_ERR_NO_KEYS', [broker.name, channel])
  }

  #sendResult (channel: string, checked: Checked, way: Way): MaybePromise<unknown> {
    if (checked.error !== undefined) throw serverMistake(checked.error)
    return this.#send(channel, checked.value, way)
  }

  #send (channel: string, data: unknown, { history, key }: Way): MaybePromise<unknown> {
    if (key === undefined) return this.publishChecked(channel, data, history)
    const published = this.#link.publishOnce(channel, this.#encode(data), history!, key)
    this.count++
    return published instanceof Promise ? published : undefined
  }

  /**
   * Publishes a message that passed all checks. Returns a promise only when the broker does not accept at once.
   * @throws an error for data that cannot be encoded and `BrokerError`s, at once or as a rejection
   */
  publishChecked (channel: string, data: unknown, history: BrokerHistoryLimits | null): MaybePromise<void> {
    const published = this.#link.publish(channel, this.#encode(data), history)
    this.count++
    return published
  }

  #encode (data: unknown): string {
    try {
      return toJson(data) ?? ''
    } catch (err) {
      throw scError('SC_ERR_ENCODE', [messageOf(err)], { cause: err })
    }
  }

  #failed (err: Error, callback: PublishCallback | undefined): Promise<void> {
    if (callback === undefined) this.#host.warn(err)
    else this.#call(callback, err)
    return handled(Promise.reject(err))
  }

  #call (callback: PublishCallback | undefined, err: Error | null): void {
    if (callback === undefined) return
    try {
      ifRejects(callback(err), (thrown) => this.#host.warn(thrown))
    } catch (thrown) {
      this.#host.warn(thrown)
    }
  }
}
