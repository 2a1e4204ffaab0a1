import type { BrokerPosition } from '../../types/broker.js'
import type { SlowConsumerPolicy } from '../../types/options.js'
import type { ServerEvents, SocketEvents, SubscriptionOptions } from '../../types/server.js'
import type { HistoryRights } from '../broker/history-from.js'
import type { Published, Subscriber } from '../exchange/deliver.js'
import { memorySize } from '../memory-size.js'
import type { MessagePlace, MessageSeries, SharedMessage } from '../transport/shared-message.js'
import type { Connection } from '../transport/connection.js'
import { type Lag, LaggingChannels } from './lagging-channels.js'
import { PendingSubscriptions } from './pending-subscriptions.js'
import type { TokenBucket } from './token-bucket.js'
import { WaitingDeliveries, maxPendingDeliveries } from './waiting-deliveries.js'
import { WithheldChannels } from './withheld-channels.js'

/** The part of a session that this class uses. */
export interface Subscribed extends Subscriber {
  readonly connection: Connection
  readonly host: {
    fire<E extends keyof ServerEvents> (event: E, ...args: ServerEvents[E]): void
    readonly hub: {
      /** The serial of the last publication. */
      readonly serial: number
      leave (channel: string, subscriber: Subscriber): void
    }
  }
  /** Reports that publications are delivered later, because the client reads too slowly. */
  slow (): void
  /** Delivers later what a channel lags behind. */
  catchUp (channel: string): void
  fireLocal<E extends keyof SocketEvents> (event: E, ...args: SocketEvents[E]): void
}

/** A stored subscription. It has `data` only where a later check may need it. */
export interface KeptSubscription extends SubscriptionOptions {
  /** Bytes counted for `data`. */
  readonly dataBytes?: number
  /** What the client may have of the history of a channel with `recover`; absent on other channels. */
  rights?: HistoryRights
  /**
   * What was published before this is not for the subscription: on a channel with `recover` messages up to a position, otherwise, or
   * of another epoch, publications up to a serial.
   */
  reached?: BrokerPosition | null
  serial: number
}

/** The channel subscriptions of a socket, and the delivery of their messages. */
export class Subscriptions {
  readonly #owner: Subscribed
  // Created with the first subscription.
  #kept: Map<string, KeptSubscription> | null = null
  #withheld: WithheldChannels | null = null
  #lagging: LaggingChannels | null = null
  #deliveries: WaitingDeliveries | null = null
  /** Number of subscriptions that wait for the broker; they count towards the channel limit. */
  joining = 0
  readonly pending = new PendingSubscriptions()
  /** Limits the rate of recoveries; created with the first one. */
  recoveries: TokenBucket | null = null
  #dataBytes = 0
  #turn = 0

  constructor (owner: Subscribed) {
    this.#owner = owner
  }

  get size (): number { return this.#kept === null ? 0 : this.#kept.size }
  /** Bytes of memory taken by the data of guarded subscriptions. */
  get dataBytes (): number { return this.#dataBytes }
  /**
   * Incremented when the authorization of the socket changes. A check that began earlier gives up; a subscription that began
   * earlier is checked again.
   */
  get turn (): number { return this.#turn }
  get names (): string[] { return this.#kept === null ? [] : [...this.#kept.keys()] }
  has (channel: string): boolean { return this.#kept !== null && this.#kept.has(channel) }
  get (channel: string): KeptSubscription | undefined { return this.#kept?.get(channel) }

  /** @param history what the client may have of the history of a channel with `recover`, and where it stands; absent on other channels */
  join (options: SubscriptionOptions, history?: Pick<KeptSubscription, 'rights' | 'reached'>): void {
    const { channel, data } = options
    const dataBytes = data === undefined ? 0 : memorySize(data)
    this.#kept ??= new Map()
    this.#kept.set(channel, { ...options, ...history, serial: this.#owner.host.hub.serial, ...(dataBytes === 0 ? null : { dataBytes }) })
    if (dataBytes !== 0) this.#countData(dataBytes)
  }

  /** Whether a publication is for the subscription of now, and the client does not have it from the history. */
  expects ({ channel, serial, position }: Published): boolean {
    const kept = this.#kept?.get(channel)
    if (kept === undefined) return false
    const { reached } = kept
    if (position !== null && reached?.epoch === position.epoch) return position.offset > reached.offset
    return serial > kept.serial
  }

  /**
   * Drops what is under way on a channel, because the client has, or is told that it may miss, the messages up to a position: the
   * channel does not lag behind any more.
   */
  skipTo (channel: string, position: BrokerPosition | null): void {
    this.#dropLag(channel)
    const kept = this.#kept?.get(channel)
    if (kept === undefined) return
    kept.reached = position
    kept.serial = this.#owner.host.hub.serial
    // What follows is withheld.
    if (position !== null && this.isWithheld(channel)) this.lag(channel, { position, previous: position })
  }

  /** Call when messages up to a position may be missing. @returns whether the client has to be told now */
  lose (channel: string, position: BrokerPosition): boolean {
    if (!this.isWithheld(channel) && (this.#lagging?.get(channel)?.position ?? null) !== null) return false
    this.skipTo(channel, position)
    return true
  }

  /** What the client may have of the history of a channel that it is subscribed to. All that is read for it keeps to this. */
  rightsOf (channel: string): HistoryRights { return this.#kept?.get(channel)?.rights ?? null }

  /** Removes the socket from a channel and emits the events. */
  leave (channel: string): void {
    const options = this.#kept?.get(channel)
    if (options === undefined) return
    const { socket, connection, host } = this.#owner
    if (options.dataBytes !== undefined) this.#countData(-options.dataBytes)
    this.#kept!.delete(channel)
    this.#withheld?.take(channel)
    this.#dropLag(channel)
    connection.takeLatest(channel)
    host.hub.leave(channel, this.#owner)
    this.#owner.fireLocal('unsubscribe', channel)
    host.fire('unsubscription', socket, channel)
  }

  /** Leaves all channels of a closed socket. An error in one channel does not affect the others. */
  leaveAll (): void {
    for (const channel of this.names) {
      try {
        this.leave(channel)
      } catch (err) {
        this.#owner.fault(err)
      }
    }
  }

  #countData (bytes: number): void {
    this.#dataBytes += bytes
    this.#owner.connection.holdings.add(bytes)
  }

  // Withheld channels

  /** Whether messages of a channel are withheld: it is being checked again, or suspended. */
  isWithheld (channel: string): boolean { return this.#withheld !== null && this.#withheld.has(channel) }

  /** Whether messages of any channel are withheld. */
  get anyWithheld (): boolean { return this.#withheld !== null }

  /**
   * Call when the authorization of the socket changed. From now on messages of guarded channels are withheld, and checks under
   * way are stale.
   * @returns the guarded channels
   */
  withhold (isGuarded: (options: KeptSubscription) => boolean): string[] {
    this.#turn++
    const guarded: string[] = []
    if (this.#kept === null) return guarded
    for (const options of this.#kept.values()) {
      if (!isGuarded(options)) continue
      const { channel } = options
      guarded.push(channel)
      // Messages that are no longer allowed must not be sent.
      if (this.#withheld?.has(channel) !== true) this.lag(channel, (this.#withheld ??= new WithheldChannels(this.#owner.connection)).keep(channel))
    }
    return guarded
  }

  /** Delivers the withheld messages of a channel that the socket may still, or again, receive. */
  resume (channel: string, policy: SlowConsumerPolicy): void {
    if (this.#withheld === null) return
    const kept = this.#withheld.take(channel)
    if (this.#withheld.isEmpty) this.#withheld = null
    for (const message of kept) this.deliver(message, channel, policy)
    if (this.#lagging?.get(channel) !== undefined) this.#owner.catchUp(channel)
  }

  /** Whether messages of a channel are dropped until a later check allows it again. */
  isSuspended (channel: string): boolean { return this.#withheld !== null && this.#withheld.isSuspended(channel) }

  /** Drops messages of a channel until a later check allows it again. */
  suspend (channel: string): void {
    (this.#withheld ??= new WithheldChannels(this.#owner.connection)).suspend(channel)
  }

  // Delivery

  /** Delivers or withholds a publication. @returns false when it was dropped, null when it is delivered later */
  deliver (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean | null {
    if (message.place !== null && (policy === 'resume' || this.#lagging !== null || this.#withheld !== null)) return this.#deliverOrLag(message, message.place, channel, policy)
    // The history does not have this message, and it must not overtake those that are delivered later.
    if (this.#lagging !== null && this.#lagging.get(channel) !== undefined) return false
    if (this.#withheld !== null && this.#withheld.has(channel)) {
      const kept = this.#withheld.add(channel, message, policy)
      if (kept === null) this.#owner.overrun(message, channel, policy)
      return kept === true
    }
    return this.#owner.connection.publish(message, channel, policy)
  }

  deliverSeries (series: MessageSeries, channel: string): boolean {
    if (this.isWithheld(channel) || this.#lagging?.covers(channel, series.place!) === true) return false
    return this.#owner.connection.publish(series, channel, 'resume')
  }

  /** Withheld messages of a channel with a history are read again when the channel is not withheld any more, with any policy. */
  #deliverOrLag (message: SharedMessage, place: MessagePlace, channel: string, policy: SlowConsumerPolicy): boolean | null {
    if (this.#lagging !== null && this.#lagging.covers(channel, place)) {
      this.#owner.catchUp(channel)
      return null
    }
    if (!this.isWithheld(channel)) {
      if (this.#owner.connection.publish(message, channel, policy)) return true
      if (policy !== 'resume') return false
    }
    this.lag(channel, place)
    return null
  }

  // Lagging channels

  /** Call when there may be room in the backlog, for channels that wait for it. */
  onRoom (): void {
    for (const channel of this.#lagging?.names ?? []) {
      const lag = this.lagOf(channel)
      if (lag?.state !== 'waiting') continue
      lag.state = 'idle'
      this.#owner.catchUp(channel)
    }
  }

  /** Call when the broker is up again, for channels whose messages could not be read. */
  catchUp (): void {
    for (const channel of this.#lagging?.names ?? []) this.#owner.catchUp(channel)
  }

  lagOf (channel: string): Lag | undefined { return this.#lagging?.get(channel) }

  /** Delivers a publication and those after it later, from the history of the channel. @returns false if it has no place there */
  lag (channel: string, place: MessagePlace | null): boolean {
    if (place === null) return false
    this.#lagging ??= new LaggingChannels()
    if (this.#lagging.covers(channel, place)) return true
    const isWithheld = this.isWithheld(channel)
    const isFirst = this.#lagging.isEmpty
    this.#lagging.begin(channel, place.previous, isWithheld)
    if (isWithheld) return true
    this.#owner.connection.awaitRoom()
    if (isFirst) this.#owner.slow()
    return true
  }

  #dropLag (channel: string): void {
    if (this.#lagging === null) return
    this.#lagging.delete(channel)
    if (this.#lagging.isEmpty) this.#lagging = null
  }

  /** Number of publications that wait for slow hooks. */
  get waitingDeliveries (): number { return this.#deliveries === null ? 0 : this.#deliveries.pending }

  /**
   * Delivers after the publications of the same channel that wait for hooks: a message must not overtake an earlier one.
   * @param json text kept while the delivery waits
   * @returns false when too much waits already
   */
  deliverInOrder (channel: string, json: string, deliver: () => void | Promise<void>): boolean {
    return (this.#deliveries ??= new WaitingDeliveries(this.#owner)).run(channel, json, deliver)
  }

  /** Whether so many publications more may wait for hooks, after `beginReplay`. */
  mayWait (count: number): boolean { return this.waitingDeliveries + count < maxPendingDeliveries }

  /**
   * Makes deliveries of `deliverInOrder` on a channel wait for the end of the current turn. Call before messages of the history are
   * delivered: what their hooks publish follows the last one then.
   */
  beginReplay (channel: string): void {
    (this.#deliveries ??= new WaitingDeliveries(this.#owner)).waitForTurn(channel)
  }

  /** Call when the connection is gone: drops waiting and withheld messages. */
  letGo (): void {
    this.#deliveries?.clear()
    this.#withheld = null
    this.#lagging = null
  }
}
