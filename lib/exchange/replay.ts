import type { BrokerHistoryEntry, BrokerPosition } from '../../types/broker.js'
import type { SlowConsumerPolicy } from '../../types/options.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { MessageSeries } from '../transport/shared-message.js'
import { type Delivery, type DeliveryDesk, type Subscriber, deliverNow, deliverThroughHooks } from './deliver.js'
import type { Messages } from './messages.js'

/** The part of the hub that a replay uses. */
export interface ReplayDesk extends DeliveryDesk {
  isHooked (resolved: ResolvedChannel): boolean
  policyOf (resolved: ResolvedChannel): SlowConsumerPolicy
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
    if (!isHooked && entries.length > 1 && this.#desk.policyOf(resolved) === 'resume') {
      const series = this.#seriesOf(channel, entries, since)
      if (series !== null && subscriber.deliverSeries(series, channel)) {
        for (let left = series.count; left > 0; left--) this.#desk.count(true)
        return
      }
    }
    let previous = since
    for (const entry of entries) {
      const delivery = this.#deliveryOf(channel, resolved, entry, previous)
      previous = entry.position
      if (delivery === null) continue
      if (isHooked) deliverThroughHooks(this.#desk, subscriber, delivery)
      else this.#desk.count(subscriber.deliver(delivery.message, channel, delivery.policy))
    }
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
      return { channel, json: entry.data, resolved, policy: this.#desk.policyOf(resolved), message: this.#messages.entry(channel, entry, previous) }
    } catch (err) {
      // The codec cannot encode this message, so nobody got it: the others must come all the same.
      this.#desk.warn(err)
      return null
    }
  }

  /** Returns `null` when the codec cannot encode one of the messages. */
  #seriesOf (channel: string, entries: readonly BrokerHistoryEntry[], since: BrokerPosition): MessageSeries | null {
    try {
      return this.#messages.series(channel, entries, since)
    } catch {
      // Encoding the messages one by one reports the error.
      return null
    }
  }
}
