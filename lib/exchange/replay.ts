import type { BrokerHistoryEntry, BrokerPosition } from '../../types/broker.js'
import type { SlowConsumerPolicy } from '../../types/options.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { MessageSeries } from '../transport/shared-message.js'
import { type Delivery, type DeliveryDesk, type Subscriber, deliverNow, deliverThroughHooks } from './deliver.js'
import type { Messages } from './messages.js'

/** Number of messages of a series for subscribers that lag behind, and the most characters of JSON that it may have. */
const seriesLength = 32
const maxSeriesLength = 16_384

/** The part of the hub that a replay uses. */
export interface ReplayDesk extends DeliveryDesk {
  isHooked (resolved: ResolvedChannel): boolean
  policyOf (resolved: ResolvedChannel): SlowConsumerPolicy
  /** Returns the serial of the next publication. */
  nextSerial (): number
  /** Reports a message that cannot be encoded. */
  warn (err: unknown): void
}

/** Delivers messages of the history of a channel to one subscriber, like new publications. */
export class Replay {
  readonly #desk: ReplayDesk
  readonly #messages: Messages

  constructor (desk: ReplayDesk, messages: Messages) {
    this.#desk = desk
    this.#messages = messages
  }

  /** Delivers messages in order. @param since the position before them */
  all (subscriber: Subscriber, channel: string, resolved: ResolvedChannel, entries: readonly BrokerHistoryEntry[], since: BrokerPosition): void {
    const series = entries.length > 1 ? this.#series(channel, resolved, entries, () => entries) : null
    if (series !== null && this.together(subscriber, channel, series)) return
    const isHooked = this.#desk.isHooked(resolved)
    let previous = since
    for (const entry of entries) {
      const delivery = this.#deliveryOf(channel, resolved, entry, previous)
      previous = entry.position
      if (delivery === null) continue
      if (isHooked) deliverThroughHooks(this.#desk, subscriber, delivery)
      else this.#desk.count(subscriber.deliver(delivery.message, channel, delivery.policy))
    }
  }

  /** Returns the next messages of a list, joined for this subscriber and others; `null` if the next one has to be delivered alone. */
  seriesAt (channel: string, resolved: ResolvedChannel, entries: readonly BrokerHistoryEntry[], at: number): MessageSeries | null {
    const { offset } = entries[at]!.position
    const last = entries[at + seriesLength - 1]
    // Series begin at the same messages for all.
    if (offset % seriesLength !== 0 || last?.position.offset !== offset + seriesLength - 1) return null
    let length = 0
    for (let i = at; i < at + seriesLength; i++) length += entries[i]!.data.length
    return length > maxSeriesLength ? null : this.#series(channel, resolved, last, () => entries.slice(at, at + seriesLength))
  }

  /** Delivers messages as one. @returns false when they have to be delivered one by one */
  together (subscriber: Subscriber, channel: string, series: MessageSeries): boolean {
    if (!subscriber.deliverSeries(series, channel)) return false
    this.#desk.count(true, series.count)
    return true
  }

  /** Delivers one message, past those that wait for hooks. */
  one (subscriber: Subscriber, channel: string, resolved: ResolvedChannel, entry: BrokerHistoryEntry, previous: BrokerPosition | null): void | Promise<void> {
    const delivery = this.#deliveryOf(channel, resolved, entry, previous)
    if (delivery === null) return
    if (this.#desk.isHooked(resolved)) return deliverNow(this.#desk, subscriber, delivery)
    this.#desk.count(subscriber.deliver(delivery.message, channel, delivery.policy))
  }

  #deliveryOf (channel: string, resolved: ResolvedChannel, entry: BrokerHistoryEntry, previous: BrokerPosition | null): Delivery | null {
    try {
      return { channel, serial: this.#desk.nextSerial(), position: null, json: entry.data, resolved, policy: this.#desk.policyOf(resolved), message: this.#messages.entry(channel, entry, previous) }
    } catch (err) {
      // The codec cannot encode this message, so nobody got it: the others must come all the same.
      this.#desk.warn(err)
      return null
    }
  }

  /** Joins messages, unless hooks decide about each of them or they would not come later where they have no room. @param key stands for them */
  #series (channel: string, resolved: ResolvedChannel, key: object, entries: () => readonly BrokerHistoryEntry[]): MessageSeries | null {
    if (this.#desk.isHooked(resolved) || this.#desk.policyOf(resolved) !== 'resume') return null
    try {
      return this.#messages.series(key, channel, entries)
    } catch {
      // The codec cannot encode one of the messages. Encoding them one by one reports the error.
      return null
    }
  }
}
