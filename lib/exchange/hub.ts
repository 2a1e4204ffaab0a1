import type { BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition, MaybePromise } from '../../types/broker.js'
import type { SlowConsumerPolicy } from '../../types/options.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { Deadlines } from '../deadlines.js'
import { diagnostics } from '../diagnostics.js'
import type { BrokerLink } from '../broker/link.js'
import { positionText } from '../broker/position.js'
import { toJson } from '../protocol/codec.js'
import { slices } from '../slices.js'
import type { MessagePlace, SharedMessage } from '../transport/shared-message.js'
import { type Delivery, type Subscriber, deliverThroughHooks } from './deliver.js'
import { Entry } from './entry.js'
import type { HubHost, Preparation, Watcher } from './hub-host.js'
import { Messages } from './messages.js'
import { Parts } from './parts.js'
import { Replay, type ReplayDesk } from './replay.js'

/** Maximum characters of JSON of publications that wait for their slices. */
const maxSlicedLength = 1024 * 1024

/** The channel members of this process. A message is encoded once for all its recipients. */
export class Hub implements ReplayDesk {
  readonly #link: BrokerLink
  readonly #host: HubHost
  readonly #entries = new Map<string, Entry>()
  deliveries = 0
  /** Number of deliveries dropped because the subscriber was too slow. */
  dropped = 0
  /** Characters of JSON of publications whose recipients have not all been processed by hooks. */
  #slicedLength = 0
  #serial = 0
  readonly #messages: Messages
  /** Delivers messages of histories. */
  readonly replay: Replay
  /** Reads what subscribers miss that lag far behind. */
  readonly parts: Parts

  constructor (link: BrokerLink, host: HubHost) {
    this.#link = link
    this.#host = host
    this.#messages = new Messages(host)
    this.replay = new Replay(this, this.#messages)
    this.parts = new Parts(link)
  }

  /** Number of channels with members or a watcher in this process, or with joins that wait. */
  get channelCount (): number { return this.#entries.size }

  /** The serial of the last publication. Those up to it are not for a subscriber that is added now. */
  get serial (): number { return this.#serial }

  nextSerial (): number { return ++this.#serial }

  channels (): IterableIterator<string> { return this.#entries.keys() }

  memberCount (channel: string): number { return this.#entries.get(channel)?.members.size ?? 0 }

  /**
   * Adds a subscriber to a channel. Resolves when the broker delivers the channel and the subscriber was added; rejects with a
   * `BrokerError`.
   * @param entered called when the subscriber was added, before any publication reaches it; the promise resolves later
   * @param prepare called when the broker delivers the channel, in the turn in which the subscriber is added. If it returns a
   * promise, it is called again when that resolves
   */
  join (channel: string, resolved: ResolvedChannel, subscriber: Subscriber, entered: () => void, prepare: Preparation = null): MaybePromise<void> {
    return this.#hold(channel, resolved, prepare, (entry) => {
      entry.members.add(subscriber)
      entered()
    })
  }

  leave (channel: string, subscriber: Subscriber): void {
    const entry = this.#entries.get(channel)
    if (entry === undefined || !entry.members.delete(subscriber)) return
    if (entry.resolved.route.presence !== null) this.#host.presence.left(subscriber, channel, entry.resolved)
    this.#dropIfUnused(entry)
  }

  watch (channel: string, resolved: ResolvedChannel, watcher: Watcher, prepare: Preparation = null): MaybePromise<void> {
    return this.#hold(channel, resolved, prepare, (entry) => { entry.watcher = watcher })
  }

  unwatch (channel: string, watcher: Watcher): void {
    const entry = this.#entries.get(channel)
    if (entry === undefined || entry.watcher !== watcher) return
    entry.watcher = null
    this.#dropIfUnused(entry)
  }

  /** Delivers a publication of the broker to the members and the watcher of a channel. */
  deliver (channel: string, json: string, position?: BrokerPosition): void {
    const entry = this.#entries.get(channel)
    if (entry === undefined) return
    try {
      if (entry.members.size !== 0) this.#fanOut(entry, json, position)
    } finally {
      entry.watcher?.receive(json, position)
    }
  }

  /**
   * Sends the members of a channel, or of all channels for `null`, an event of the server: publications may have been lost.
   * Subscribers too slow to receive the notice are disconnected: after the reconnect they start anew and do not believe that they
   * missed nothing.
   */
  announceGap (event: string, channel: string | null): void {
    const members = new Set<Subscriber>()
    if (channel !== null) this.#entries.get(channel)?.members.forEach((member) => members.add(member))
    else {
      for (const { members: some, resolved } of this.#entries.values()) {
        // The broker delivers channels with `recover` completely, or reports each one that it cannot.
        if (resolved.route.recover === null) some.forEach((member) => members.add(member))
      }
    }
    this.#announce(members, event, { channel })
  }

  /** Tells the members of a channel with `recover` that messages may be missing before the next one. */
  announceLoss (channel: string, position: BrokerPosition): void {
    const entry = this.#entries.get(channel)
    // The exchange alone may want all messages of a channel.
    if (entry === undefined || entry.resolved.route.recover === null) return
    entry.last = position
    const told = [...entry.members].filter((member) => member.lose(channel, position))
    for (const member of told) this.#host.lost(member, channel)
    this.#announce(told, '#recovery', { channel, pos: positionText(position), recovered: false, reason: 'unknown' })
  }

  /** Call with the position of the last publication of a channel with `recover`, before a subscriber is added. */
  reached (channel: string, position: BrokerPosition): void {
    const entry = this.#entries.get(channel)
    // With subscribers, it is that of the last fan-out: the broker may be about to deliver more that it has.
    if (entry?.members.size === 0) entry.last = position
  }

  /** The position of the last publication of a channel with `recover` that was delivered; `null` if it is not known. */
  lastOf (channel: string): BrokerPosition | null { return this.#entries.get(channel)?.last ?? null }

  /** Reads all publications of a held channel after a position, or the newest ones. A promise resolves when the caller should ask again. */
  allAfter (channel: string, since: BrokerPosition | null, limit: number, limits: BrokerHistoryLimits): BrokerHistoryPage | Promise<void> {
    return this.#link.followHistory(channel, since, limit, limits)
  }

  #announce (members: Iterable<Subscriber>, event: string, data: object): void {
    const message = this.#messages.event(event, data)
    for (const member of [...members]) {
      try {
        member.deliver(message, '', 'disconnect')
      } catch (err) {
        member.fault(err)
      }
    }
  }

  /** Returns the slow consumer policy of a channel. */
  policyOf (resolved: ResolvedChannel): SlowConsumerPolicy {
    const { route } = resolved
    return route.slowConsumerPolicy ?? (route.recover === null ? this.#host.slowConsumerPolicy : 'resume')
  }

  personalMessage (delivery: Delivery, data: unknown): SharedMessage {
    const json = toJson(data) ?? ''
    return json === delivery.json ? delivery.message : this.#messages.publication(delivery.channel, json, delivery.message.place)
  }

  count (delivered: boolean | null, messages = 1): void {
    if (delivered === true) this.deliveries += messages
    else if (delivered === false) this.dropped += messages
  }

  undecided (subscriber: Subscriber, { message, channel, policy }: Delivery): void {
    // Of a channel with `recover` no message is left out without a notice: it is read again from the history.
    if (policy !== 'resume' || !subscriber.overrun(message, channel, policy)) this.count(false)
  }

  get hookDeadlines (): Deadlines { return this.#host.hookDeadlines }

  leftOut (subscriber: Subscriber, channel: string, thrown: unknown): void {
    this.#host.leftOut(subscriber, channel, thrown)
  }

  warn (err: unknown): void { this.#host.warn(err) }

  /** Encodes a message of the server for subscribers of a channel. */
  encode (channel: string, json: string): SharedMessage {
    return this.#messages.publication(channel, json, null)
  }

  /** Delivers a message of the server to one subscriber, past hooks. */
  deliverTo (subscriber: Subscriber, channel: string, message: SharedMessage): void {
    this.count(subscriber.deliver(message, channel, 'disconnect'))
  }

  /** Whether hooks or a policy decide what each recipient of a channel gets. */
  isHooked ({ route }: ResolvedChannel): boolean {
    return route.hooks.publishOut.length !== 0 || route.deliver !== null
  }

  #fanOut (entry: Entry, json: string, position: BrokerPosition | undefined): void {
    const { channel, resolved } = entry
    const place: MessagePlace | null = position === undefined || resolved.route.recover === null ? null : { position, previous: entry.last }
    if (place !== null) entry.last = place.position
    const message = this.#messages.publication(channel, json, place)
    const policy = this.policyOf(resolved)
    const delivery: Delivery = { channel, serial: this.nextSerial(), position: place?.position ?? null, json, resolved, policy, message }
    if (diagnostics.publish.hasSubscribers) diagnostics.publish.publish({ channel, bytes: message.data.length })
    if (!this.isHooked(resolved)) {
      for (const member of entry.members) {
        // An error of one member must not affect the others.
        try {
          // One that joined during this fan-out, or since the broker had the message, has read it from the history.
          if (place !== null && !member.receives(delivery)) continue
          this.count(member.deliver(message, channel, policy))
        } catch (err) {
          member.fault(err)
        }
      }
      return
    }
    this.#fanOutThroughHooks([...entry.members], delivery)
  }

  /**
   * Delivers in slices, because each recipient may cost as much as the whole message. Publications follow one after the other.
   */
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
    // Publications arrive faster than the hooks can process them: finish all slices now, so that the sender waits.
    if (this.#slicedLength > maxSlicedLength) slices.finish()
  }

  #hold (channel: string, resolved: ResolvedChannel, prepare: Preparation, add: (entry: Entry) => void): MaybePromise<void> {
    let entry = this.#entries.get(channel)
    if (entry === undefined) {
      entry = new Entry(channel, resolved)
      this.#entries.set(channel, entry)
    }
    const pending = entry
    // What is said on a companion is made at this node, of what presence learns from others.
    const held = pending.ready ? undefined : resolved.route.isCompanion ? this.#host.presence.hold(channel) : this.#link.hold(channel)
    if (held !== undefined) return this.#wait(pending, held, prepare, add)
    pending.ready = true
    let preparing: MaybePromise<void>
    try {
      preparing = prepare?.()
    } catch (err) {
      this.#dropIfUnused(pending)
      return Promise.reject(err)
    }
    if (preparing !== undefined) return this.#wait(pending, preparing, prepare, add)
    add(pending)
  }

  /** Adds a subscriber to a channel when `until`, the broker or a step of the preparation, has resolved and the rest is done. */
  async #wait (entry: Entry, until: Promise<void>, prepare: Preparation, add: (entry: Entry) => void): Promise<void> {
    entry.waiting++
    try {
      await until
      entry.ready = true
      for (let next = prepare?.(); next !== undefined; next = prepare?.()) await next
    } catch (err) {
      entry.waiting--
      this.#dropIfUnused(entry)
      throw err
    }
    entry.waiting--
    add(entry)
  }

  #dropIfUnused (entry: Entry): void {
    if (!entry.unused) return
    this.#entries.delete(entry.channel)
    if (!entry.ready) return
    if (entry.resolved.route.isCompanion) this.#host.presence.release(entry.channel)
    else this.#link.release(entry.channel, entry.resolved.route.recover !== null)
  }
}
