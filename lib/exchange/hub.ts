import type { BrokerHistoryEntry, BrokerPosition, MaybePromise } from '../../types/broker.js'
import type { SlowConsumerPolicy } from '../../types/options.js'
import type { CodecEngine } from '../../types/protocol.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { Deadlines } from '../deadlines.js'
import { diagnostics } from '../diagnostics.js'
import type { BrokerLink } from '../broker/link.js'
import { positionText } from '../broker/position.js'
import { encodeMessage, toJson } from '../protocol/codec.js'
import { eventText, publishText } from '../protocol/packets.js'
import { slices } from '../slices.js'
import { SharedMessage } from '../transport/shared-message.js'
import { type Delivery, type DeliveryDesk, type Subscriber, deliverThroughHooks } from './deliver.js'

/** The server's own interest in a channel. */
export interface Watcher {
  /** @param json the message as JSON text, empty for `undefined` */
  receive (json: string): void
}

/** What the hub asks of the server. */
export interface HubHost {
  readonly codec: CodecEngine
  readonly plainJson: boolean
  readonly slowConsumerPolicy: SlowConsumerPolicy
  readonly hookDeadlines: Deadlines
  /** Hooks or a policy left a recipient out. */
  leftOut (subscriber: Subscriber, channel: string, thrown: unknown): void
}

/** Characters of JSON of publications that may wait for their slices. */
const maxSlicedLength = 1024 * 1024

class Entry {
  readonly members = new Set<Subscriber>()
  watcher: Watcher | null = null
  /** Whether the broker delivers this channel. */
  ready = false
  /** Joins that wait for the broker. */
  waiting = 0

  constructor (readonly channel: string, readonly resolved: ResolvedChannel) {}

  get unused (): boolean {
    return this.members.size === 0 && this.watcher === null && this.waiting === 0
  }
}

/** Who of this process is in which channel. Messages are encoded once, however many receive them. */
export class Hub implements DeliveryDesk {
  readonly #link: BrokerLink
  readonly #host: HubHost
  readonly #entries = new Map<string, Entry>()
  deliveries = 0
  /** Deliveries that did not take place because the subscriber was too slow. */
  dropped = 0
  /** Characters of JSON of the publications whose hooked recipients have not all been asked. */
  #slicedLength = 0
  /** Encoded messages of histories that were sent again, for as long as the broker keeps their entries. */
  readonly #kept = new WeakMap<BrokerHistoryEntry, SharedMessage>()

  constructor (link: BrokerLink, host: HubHost) {
    this.#link = link
    this.#host = host
  }

  /** Channels with local interest. */
  get channelCount (): number { return this.#entries.size }

  channels (): IterableIterator<string> { return this.#entries.keys() }

  memberCount (channel: string): number { return this.#entries.get(channel)?.members.size ?? 0 }

  /**
   * Settles when the broker delivers the channel and the subscriber is in; rejects with a `BrokerError`.
   * @param entered called as soon as publications can reach the subscriber, before any does: who waits for the promise is told later
   */
  join (channel: string, resolved: ResolvedChannel, subscriber: Subscriber, entered: () => void): MaybePromise<void> {
    return this.#hold(channel, resolved, (entry) => {
      entry.members.add(subscriber)
      entered()
    })
  }

  leave (channel: string, subscriber: Subscriber): void {
    const entry = this.#entries.get(channel)
    if (entry === undefined || !entry.members.delete(subscriber)) return
    this.#dropIfUnused(entry)
  }

  watch (channel: string, resolved: ResolvedChannel, watcher: Watcher): MaybePromise<void> {
    return this.#hold(channel, resolved, (entry) => { entry.watcher = watcher })
  }

  unwatch (channel: string, watcher: Watcher): void {
    const entry = this.#entries.get(channel)
    if (entry === undefined || entry.watcher !== watcher) return
    entry.watcher = null
    this.#dropIfUnused(entry)
  }

  /** What the broker delivers. */
  deliver (channel: string, json: string, position?: BrokerPosition): void {
    const entry = this.#entries.get(channel)
    if (entry === undefined) return
    try {
      if (entry.members.size !== 0) this.#fanOut(entry, json, position)
    } finally {
      entry.watcher?.receive(json)
    }
  }

  /**
   * Tells all who are in a channel, or (`null`) in any, by an event of the server, that publications may have been lost. Whose
   * backlog leaves no room for it is ended: it starts anew then, and must not believe that it missed nothing.
   */
  announceGap (event: string, channel: string | null): void {
    const data = { channel }
    const message = new SharedMessage(this.#host.plainJson ? eventText(event, toJson(data)) : encodeMessage(this.#host.codec, { event, data }))
    const members = new Set<Subscriber>()
    for (const entry of channel === null ? this.#entries.values() : [this.#entries.get(channel)]) entry?.members.forEach((member) => members.add(member))
    for (const member of members) {
      try {
        member.deliver(message, '', 'disconnect')
      } catch (err) {
        member.fault(err)
      }
    }
  }

  /** What happens when a subscriber is too slow for a channel. */
  policyOf (resolved: ResolvedChannel): SlowConsumerPolicy {
    return resolved.route.slowConsumerPolicy ?? this.#host.slowConsumerPolicy
  }

  personalMessage (delivery: Delivery, data: unknown): SharedMessage {
    const json = toJson(data) ?? ''
    return json === delivery.json ? delivery.message : this.#encode(delivery.channel, json, delivery.position)
  }

  count (delivered: boolean): void {
    if (delivered) this.deliveries++
    else this.dropped++
  }

  get hookDeadlines (): Deadlines { return this.#host.hookDeadlines }

  leftOut (subscriber: Subscriber, channel: string, thrown: unknown): void {
    this.#host.leftOut(subscriber, channel, thrown)
  }

  /** Delivers messages of the history to one subscriber, in order, as if they were published now. */
  replay (subscriber: Subscriber, channel: string, resolved: ResolvedChannel, entries: readonly BrokerHistoryEntry[]): void {
    const policy = this.policyOf(resolved)
    for (const entry of entries) {
      const message = this.#keptMessage(channel, entry)
      if (isHooked(resolved)) deliverThroughHooks(this, subscriber, { channel, json: entry.data, position: positionText(entry.position), resolved, policy, message })
      else this.count(subscriber.deliver(message, channel, policy))
    }
  }

  /** All subscribers that missed a message share one encoded message. */
  #keptMessage (channel: string, entry: BrokerHistoryEntry): SharedMessage {
    let message = this.#kept.get(entry)
    if (message === undefined) this.#kept.set(entry, message = this.#encode(channel, entry.data, positionText(entry.position)))
    return message
  }

  #fanOut (entry: Entry, json: string, position: BrokerPosition | undefined): void {
    const { channel, resolved } = entry
    const pos = position === undefined || resolved.route.recover === null ? '' : positionText(position)
    // A subscriber that joins during this fan-out has read the message from the history.
    const members = pos === '' ? entry.members : [...entry.members]
    const message = this.#encode(channel, json, pos)
    const policy = this.policyOf(resolved)
    if (diagnostics.publish.hasSubscribers) diagnostics.publish.publish({ channel, bytes: message.data.length })
    if (!isHooked(resolved)) {
      for (const member of members) {
        // Who fails must not rob those who come after it.
        try {
          this.count(member.deliver(message, channel, policy))
        } catch (err) {
          member.fault(err)
        }
      }
      return
    }
    this.#fanOutThroughHooks([...members], { channel, json, position: pos, resolved, policy, message })
  }

  /** In slices, since each recipient may cost as much as the whole message; one publication after the other. */
  #fanOutThroughHooks (members: Subscriber[], delivery: Delivery): void {
    let at = 0
    this.#slicedLength += delivery.json.length
    slices.run(members[0]!, () => {
      const member = members[at++]!
      try {
        deliverThroughHooks(this, member, delivery)
      } catch (err) {
        member.fault(err)
      }
      if (at < members.length) return true
      this.#slicedLength -= delivery.json.length
      return false
    })
    // More comes than the hooks can do: whoever sends it waits for them.
    if (this.#slicedLength > maxSlicedLength) slices.finish()
  }

  #encode (channel: string, json: string, position: string): SharedMessage {
    if (this.#host.plainJson) return new SharedMessage(publishText(channel, json, position))
    const data = json === '' ? { channel } : { channel, data: JSON.parse(json) as unknown }
    return new SharedMessage(encodeMessage(this.#host.codec, position === '' ? { event: '#publish', data } : { event: '#publish', data, pos: position }))
  }

  #hold (channel: string, resolved: ResolvedChannel, add: (entry: Entry) => void): MaybePromise<void> {
    let entry = this.#entries.get(channel)
    if (entry === undefined) {
      entry = new Entry(channel, resolved)
      this.#entries.set(channel, entry)
    }
    if (entry.ready) {
      add(entry)
      return
    }
    const held = this.#link.hold(channel)
    if (held === undefined) {
      entry.ready = true
      add(entry)
      return
    }
    const pending = entry
    pending.waiting++
    return held.then(() => {
      pending.waiting--
      pending.ready = true
      add(pending)
    }, (err: unknown) => {
      pending.waiting--
      this.#dropIfUnused(pending)
      throw err
    })
  }

  #dropIfUnused (entry: Entry): void {
    if (!entry.unused) return
    this.#entries.delete(entry.channel)
    if (entry.ready) this.#link.release(entry.channel)
  }
}

/** Whether hooks or a policy have a say in what each recipient gets. */
function isHooked ({ route }: ResolvedChannel): boolean {
  return route.hooks.publishOut.length !== 0 || route.deliver !== null
}
