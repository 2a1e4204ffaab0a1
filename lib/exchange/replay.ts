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
    const isHooked = this.#desk.isHooked(resolved)
    if (entries.length > 1 && this.#deliverSeries(subscriber, channel, resolved, entries, entries, since)) return
    let previous = since
    for (const entry of entries) {
      const delivery = this.#deliveryOf(channel, resolved, entry, previous)
      previous = entry.position
      if (delivery === null) continue
      if (isHooked) deliverThroughHooks(this.#desk, subscriber, delivery)
      else this.#desk.count(subscriber.deliver(delivery.message, channel, delivery.policy))
    }
  }

  /** Returns the messages of a list from an index on that are delivered as one, to this subscriber and to others; `null` if there are none. */
  seriesAt (entries: readonly BrokerHistoryEntry[], at: number): readonly BrokerHistoryEntry[] | null {
    const { offset } = entries[at]!.position
    // Series begin at the same messages for all.
    if (offset % seriesLength !== 0 || entries[at + seriesLength - 1]?.position.offset !== offset + seriesLength - 1) return null
    const series = entries.slice(at, at + seriesLength)
    return series.reduce((sum, { data }) => sum + data.length, 0) > maxSeriesLength ? null : series
  }

  /** Delivers the messages of `seriesAt`. @returns false when they have to be delivered one by one */
  series (subscriber: Subscriber, channel: string, resolved: ResolvedChannel, entries: readonly BrokerHistoryEntry[], since: BrokerPosition): boolean {
    return this.#deliverSeries(subscriber, channel, resolved, entries.at(-1)!, entries, since)
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

  /** Delivers messages as one. @param key an object that stands for them @returns false when they have to be delivered one by one */
  #deliverSeries (subscriber: Subscriber, channel: string, resolved: ResolvedChannel, key: object, entries: readonly BrokerHistoryEntry[], since: BrokerPosition): boolean {
    if (this.#desk.isHooked(resolved) || this.#desk.policyOf(resolved) !== 'resume') return false
    const series = this.#seriesOf(key, channel, entries, since)
    if (series === null || !subscriber.deliverSeries(series, channel)) return false
    for (let left = series.count; left > 0; left--) this.#desk.count(true)
    return true
  }

  /** Returns `null` when the codec cannot encode one of the messages. */
  #seriesOf (key: object, channel: string, entries: readonly BrokerHistoryEntry[], since: BrokerPosition): MessageSeries | null {
    try {
      return this.#messages.series(key, channel, entries, since)
    } catch {
      // Encoding the messages one by one reports the error.
      return null
    }
  }
}
