import type { SlowConsumerPolicy } from '../../types/options.js'
import type { ServerEvents, SocketEvents, SubscriptionOptions } from '../../types/server.js'
import type { Subscriber } from '../exchange/deliver.js'
import { memorySize } from '../memory-size.js'
import type { SharedMessage } from '../transport/shared-message.js'
import type { Connection } from '../transport/connection.js'
import { KeyedQueue } from './keyed-queue.js'
import type { TokenBucket } from './token-bucket.js'
import { WithheldChannels } from './withheld-channels.js'

/** What is needed of a session. */
export interface Subscribed extends Subscriber {
  readonly connection: Connection
  readonly host: {
    fire<E extends keyof ServerEvents> (event: E, ...args: ServerEvents[E]): void
    readonly hub: { leave (channel: string, subscriber: Subscriber): void }
  }
  fireLocal<E extends keyof SocketEvents> (event: E, ...args: SocketEvents[E]): void
}

/** A subscription as it is kept; with `data` only where it may be needed again. */
export interface KeptSubscription extends SubscriptionOptions {
  /** What its `data` counted for. */
  readonly dataBytes?: number
}

/** How many publications may wait for the hooks of one recipient. */
const maxPendingDeliveries = 1_024

/** The channels that a socket is in, and what comes of them. */
export class Subscriptions {
  readonly #owner: Subscribed
  // Made with the first subscription.
  #kept: Map<string, KeptSubscription> | null = null
  #withheld: WithheldChannels | null = null
  #deliveries: KeyedQueue | null = null
  /** Channels for which the broker is being asked; they count towards the limit. */
  joining = 0
  /** The rate of recoveries; made with the first one. */
  recoveries: TokenBucket | null = null
  #dataBytes = 0
  #turn = 0

  constructor (owner: Subscribed) {
    this.#owner = owner
  }

  get size (): number { return this.#kept === null ? 0 : this.#kept.size }
  /** Bytes of memory that the data of guarded subscriptions take. */
  get dataBytes (): number { return this.#dataBytes }
  /** How often what the socket may have changed: a subscription or a check under way meanwhile does not count. */
  get turn (): number { return this.#turn }
  get names (): string[] { return this.#kept === null ? [] : [...this.#kept.keys()] }
  has (channel: string): boolean { return this.#kept !== null && this.#kept.has(channel) }
  get (channel: string): KeptSubscription | undefined { return this.#kept?.get(channel) }

  join (options: SubscriptionOptions): void {
    const { channel, data } = options
    this.#kept ??= new Map()
    if (data === undefined) {
      this.#kept.set(channel, options)
      return
    }
    const dataBytes = memorySize(data)
    this.#kept.set(channel, { ...options, dataBytes })
    this.#countData(dataBytes)
  }

  /** Takes it out of a channel, with all events. */
  leave (channel: string): void {
    const options = this.#kept?.get(channel)
    if (options === undefined) return
    const { socket, connection, host } = this.#owner
    if (options.dataBytes !== undefined) this.#countData(-options.dataBytes)
    this.#kept!.delete(channel)
    this.#withheld?.take(channel)
    connection.takeLatest(channel)
    host.hub.leave(channel, this.#owner)
    this.#owner.fireLocal('unsubscribe', channel)
    host.fire('unsubscription', socket, channel)
  }

  /** The socket is closed. A channel that cannot be left holds up no other. */
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

  // Held back, while it is asked again whether it may have them.

  /** Whether messages of any channel are held back. */
  get anyWithheld (): boolean { return this.#withheld !== null }

  /**
   * What the socket may have has changed. From now on messages of guarded channels are kept, and checks under way are of no use
   * any more.
   * @returns the channels
   */
  withhold (isGuarded: (options: KeptSubscription) => boolean): string[] {
    this.#turn++
    const guarded: string[] = []
    if (this.#kept === null) return guarded
    for (const options of this.#kept.values()) {
      if (!isGuarded(options)) continue
      const { channel } = options
      guarded.push(channel)
      // Nothing may leave that is no longer allowed.
      if (this.#withheld?.has(channel) !== true) (this.#withheld ??= new WithheldChannels(this.#owner.connection)).keep(channel)
    }
    return guarded
  }

  /** Still, or again, allowed: what was held back meanwhile goes out. */
  resume (channel: string, policy: SlowConsumerPolicy): void {
    if (this.#withheld === null) return
    const kept = this.#withheld.take(channel)
    if (this.#withheld.isEmpty) this.#withheld = null
    for (const message of kept) this.deliver(message, channel, policy)
  }

  /** From now on messages of the channel are dropped, until a later check allows them again. */
  suspend (channel: string): void {
    (this.#withheld ??= new WithheldChannels(this.#owner.connection)).suspend(channel)
  }

  // What comes

  /** A publication; false when it was left out. */
  deliver (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean {
    if (this.#withheld !== null && this.#withheld.has(channel)) {
      const kept = this.#withheld.add(channel, message, policy)
      if (kept === null) this.#owner.overrun(policy)
      return kept === true
    }
    return this.#owner.connection.publish(message, channel, policy)
  }

  /** Publications that wait for slow hooks. */
  get waitingDeliveries (): number { return this.#deliveries === null ? 0 : this.#deliveries.pending }

  /**
   * Delivers after what waits for the hooks of the same channel: a later message must not overtake an earlier one.
   * @param json what it keeps meanwhile
   * @returns false when too much waits already
   */
  deliverInOrder (channel: string, json: string, deliver: () => void | Promise<void>): boolean {
    const deliveries = (this.#deliveries ??= this.#makeDeliveries())
    if (deliveries.pending >= maxPendingDeliveries) return false
    if (deliveries.pending !== 0 && !this.#owner.connection.hasRoom(deliveryBytes(json.length))) return false
    deliveries.run(channel, deliver, json)
    return true
  }

  #makeDeliveries (): KeyedQueue {
    const { connection } = this.#owner
    return new KeyedQueue(this.#owner, {
      beginWaiting: (json) => {
        const bytes = deliveryBytes((json as string).length)
        connection.hold(bytes)
        return bytes
      },
      endWaiting: (bytes) => connection.release(bytes)
    })
  }

  /** The connection is gone, and what waited for it. */
  letGo (): void {
    this.#deliveries?.clear()
    this.#withheld = null
  }
}

/** What a publication takes that waits for hooks: the text, which others may share, and what is made to wait. */
function deliveryBytes (length: number): number {
  return length * 2 + 512
}
