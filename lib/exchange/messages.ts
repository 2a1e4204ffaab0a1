import type { BrokerHistoryEntry, BrokerPosition } from '../../types/broker.js'
import { positionText } from '../broker/position.js'
import { encodeMessage, toJson } from '../protocol/codec.js'
import { eventText, publishText } from '../protocol/packets.js'
import { MessageSeries, SharedMessage, type MessagePlace } from '../transport/shared-message.js'
import type { HubHost } from './hub-host.js'
import { KeptMessages } from './kept-messages.js'

/** Encodes the messages of the hub with the codec of the server. */
export class Messages {
  readonly #host: Pick<HubHost, 'codec' | 'plainJson'>
  readonly #kept = new KeptMessages<BrokerHistoryEntry, SharedMessage>()
  readonly #series = new KeptMessages<object, MessageSeries>()

  constructor (host: Pick<HubHost, 'codec' | 'plainJson'>) {
    this.#host = host
  }

  /** Encodes a publication. @param json the message as JSON text; empty for `undefined` */
  publication (channel: string, json: string, place: MessagePlace | null): SharedMessage {
    const position = place === null ? '' : positionText(place.position)
    if (this.#host.plainJson) return new SharedMessage(publishText(channel, json, position), place)
    const data = json === '' ? { channel } : { channel, data: JSON.parse(json) as unknown }
    return new SharedMessage(encodeMessage(this.#host.codec, place === null ? { event: '#publish', data } : { event: '#publish', data, pos: position }), place)
  }

  /** Encodes a message of a history, or returns the one that was encoded for another subscriber. */
  entry (channel: string, entry: BrokerHistoryEntry, previous: BrokerPosition | null): SharedMessage {
    return this.#kept.get(entry, this.#host.codec, () => this.publication(channel, entry.data, { position: entry.position, previous }))
  }

  /**
   * Joins messages of a history that follow each other, or returns those that were joined for another subscriber.
   * @param key an object that stands for the same messages each time
   */
  series (key: object, channel: string, entries: () => readonly BrokerHistoryEntry[]): MessageSeries {
    return this.#series.get(key, this.#host.codec, () => {
      // A series is delivered as a whole or not at all, so nobody asks for the positions before its messages.
      const messages = entries().map(({ data, position }) => this.publication(channel, data, { position, previous: null }))
      return new MessageSeries(messages, messages.at(-1)!.place!)
    })
  }

  /** Encodes an event of the server. */
  event (event: string, data: object): SharedMessage {
    return new SharedMessage(this.#host.plainJson ? eventText(event, toJson(data)) : encodeMessage(this.#host.codec, { event, data }))
  }
}
