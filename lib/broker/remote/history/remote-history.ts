import type { BrokerHistory, BrokerHistoryEntry, BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition } from '../../../../types/broker.js'
import { isPublication } from '../../publication.js'
import { Budget } from './budget.js'
import type { Arrival, Unreadable } from './arrival.js'
import { Followed, type Wanted } from './followed.js'
import type { RemoteHistoryPort } from './port.js'
import type { Positioned } from './positioned.js'
import { Reader, type ReadRequest } from './reader.js'
import type { StoredPage } from './stored.js'

/** A position that no message follows: for clients of a channel whose position is not known. */
const nowhere: BrokerPosition = { epoch: '0', offset: 0, check: '' }

/**
 * The histories of a broker over an engine. The engine keeps them; this class keeps the last messages of each followed channel, so
 * that most clients that come back need no read. A node reads once for all clients of a channel that wait at the same time.
 */
export class RemoteHistory implements BrokerHistory {
  readonly #port: RemoteHistoryPort
  readonly #reader: Reader
  /** The followed channels. Those that were asked for least recently come first. */
  readonly #followed = new Map<string, Followed>()
  readonly #budget = new Budget({ [Symbol.iterator]: () => this.#followed.values() })
  /** Channels that were lost between two sessions and repaired. */
  repairs = 0

  readonly publishOnce?: (channel: string, data: string, limits: BrokerHistoryLimits, key: string) => Promise<boolean>

  constructor (port: RemoteHistoryPort) {
    this.#port = port
    this.#reader = new Reader(port)
    if (port.publishOnce !== undefined) this.publishOnce = port.publishOnce
  }

  /** Number of reads from the engine. */
  get reads (): number { return this.#reader.reads.count }

  /** Time of the oldest read without an answer, by `performance.now()`; `Infinity` when there is none. */
  get waitingSince (): number { return this.#reader.reads.waitingSince }

  publish (channel: string, data: string, limits: BrokerHistoryLimits): Promise<void> {
    return this.#port.publish(channel, data, limits)
  }

  append (channel: string, data: string, limits: BrokerHistoryLimits, key?: string): Promise<BrokerPosition | null> {
    return this.#port.append(channel, data, limits, key)
  }

  read (channel: string, since: BrokerPosition | 'oldest' | null, limit: number, limits: BrokerHistoryLimits): Promise<BrokerHistoryPage> {
    return this.#reader.page(channel, since, limit, limits)
  }

  follow (channel: string, since: BrokerPosition | null, limit: number, limits: BrokerHistoryLimits): BrokerHistoryPage | Promise<void> {
    if (this.#port.session === null) return Promise.reject(this.#port.downError())
    const followed = this.#touch(channel, limits)
    const page = followed.page(since, limit)
    if (page !== null) return page
    followed.want(since, limit)
    return followed.reading ?? this.#startRead(followed)
  }

  /**
   * Delivers a frame of a subscribed channel, in order.
   * @param messages `null` if the frame cannot be read: messages may be missing then
   * @param trusted whether the messages need no further check
   */
  receive (channel: string, { epoch, first, check, time }: Positioned, messages: readonly string[] | null, trusted: boolean): void {
    const { sink } = this.#port
    const followed = this.#followed.get(channel)
    if (followed === undefined) {
      for (const [i, message] of (messages ?? []).entries()) sink.publication(channel, message, trusted, { epoch, offset: first + i, check })
      return
    }
    if (messages === null) return this.#receive(followed, { epoch, first, messages })
    const usable = (message: string): string | null => {
      if (isPublication(message)) return message
      // The sink drops it, counts it and warns.
      sink.publication(channel, message, false)
      return null
    }
    this.#receive(followed, { epoch, first, check, time, messages: trusted ? messages : messages.map(usable) })
  }

  #receive (followed: Followed, arrival: Arrival | Unreadable): void {
    if (arrival.messages === null) this.#receiveUnreadable(followed, arrival)
    else if (followed.tail === null) {
      const before = { epoch: arrival.epoch, offset: arrival.first - 1, check: '' }
      if (followed.isLoose) this.#tellLoss(followed, before)
      if (followed.isBlind) {
        followed.restart(before)
        followed.addDelivered(arrival)
        this.#budget.changed(followed)
      } else if (followed.reading !== null) followed.keep(arrival)
      this.#deliver(followed.channel, arrival)
    } else if (followed.isBehind) followed.keep(arrival)
    else this.#accept(followed, arrival)
  }

  /** The engine is asked whether it keeps the frame: who writes to it may publish anything. */
  #receiveUnreadable (followed: Followed, frame: Unreadable): void {
    const { tail } = followed
    if (tail === null ? followed.reading !== null : followed.isBehind) followed.keep(frame)
    else if (tail === null) followed.isLoose ||= followed.isBlind
    else {
      const { epoch, offset } = tail.top
      if (frame.epoch === epoch && frame.first <= offset) return
      if (frame.epoch !== epoch) this.#restart(followed, { epoch: frame.epoch, offset: 0, check: '' })
      followed.isBehind = true
      this.#repair(followed)
    }
  }

  /** Call when channels were unsubscribed. */
  forget (channels: readonly string[]): void {
    for (const channel of channels) {
      const followed = this.#followed.get(channel)
      if (followed === undefined) continue
      this.#budget.forget(followed)
      this.#followed.delete(channel)
    }
  }

  /** Call when the session is gone: reads fail, and all channels are behind. */
  gone (error: Error): void {
    for (const followed of this.#followed.values()) followed.fallBehind()
    this.#reader.reads.fail(error)
  }

  /** Call when a session is open, before publications and subscriptions go on: reads what the channels missed. */
  up (): void {
    for (const followed of this.#followed.values()) {
      if (followed.isBehind) this.#repair(followed)
      else if (followed.isLoose && followed.tail === null) this.#startRead(followed).catch(() => {})
    }
  }

  #touch (channel: string, limits: BrokerHistoryLimits): Followed {
    const followed = this.#followed.get(channel) ?? new Followed(channel, limits, this.#reader.clock)
    followed.limits = limits
    this.#followed.delete(channel)
    this.#followed.set(channel, followed)
    return followed
  }

  /** Reads for everybody who waits for the channel at this moment. */
  #startRead (followed: Followed): Promise<void> {
    const wanted = followed.takeWanted()
    return this.#run(followed, { since: wanted.since, limit: wanted.limit, whole: true }, (page) => { this.#complete(followed, wanted, page) })
  }

  #repair (followed: Followed): void {
    const { tail } = followed
    if (tail === null || followed.reading !== null) return
    const since = tail.top
    this.#run(followed, { since, limit: followed.limits.size, whole: true, isKnown: true }, (page) => { this.#catchUp(followed, since, page) }).catch(() => {})
  }

  #run (followed: Followed, wanted: ReadRequest, apply: (page: StoredPage) => void): Promise<void> {
    const { channel, limits } = followed
    const isCurrent = (): boolean => this.#followed.get(channel) === followed && followed.reading === reading
    const reading: Promise<void> = this.#reader.stored(channel, limits, wanted, wanted.isKnown === true).then((page) => {
      if (!isCurrent()) return
      followed.reading = null
      apply(page)
      this.#budget.changed(followed)
    }, (err: unknown) => {
      if (isCurrent()) {
        followed.reading = null
        if (this.#port.session !== null) this.#giveUp(followed)
      }
      throw err
    })
    followed.reading = reading
    return reading
  }

  /** Adds what was read because somebody asked for it. */
  #complete (followed: Followed, { since, limit, ahead }: Wanted, page: StoredPage): void {
    if (followed.tail === null) {
      const delivered = followed.takeKept()
      // Too many arrived meanwhile: who waits asks again.
      if (delivered === null) return
      followed.begin(page)
      if (followed.isLoose) this.#tellLoss(followed, page.top)
      for (const arrival of delivered) {
        if (arrival.messages === null) followed.isBehind = true
        else followed.addDelivered(arrival)
      }
    } else if (!followed.isBehind) {
      const { tail } = followed
      if (page.top.epoch === tail.top.epoch && !page.isCut) {
        const news = page.entries.filter(({ position }) => position.offset > tail.top.offset)
        if (page.top.offset > tail.top.offset && page.floor.offset <= tail.top.offset) {
          tail.append(news, page.top, followed.limits)
          this.#deliverEntries(followed.channel, news)
        }
        if (page.floor.offset <= tail.floor.offset && page.top.offset >= tail.floor.offset) {
          tail.extend(page.entries.filter(({ position: { offset } }) => offset > page.floor.offset && offset <= tail.floor.offset), page.floor)
        }
      }
    }
    const { tail } = followed
    if (since === null && limit !== 0) followed.askedNewest(page, limit)
    if (since !== null && tail !== null) {
      // The engine returns nothing then.
      const isTooMuch = page.top.offset - since.offset > limit
      if (!isTooMuch && page.gap === 'trimmed' && !page.isCut && page.floor.offset === tail.floor.offset) tail.isWhole = true
      // More than are kept are not asked for again.
      if (!isTooMuch || ahead.size !== 0) followed.asked({ offset: since.offset, gap: isTooMuch || page.isCut ? 'limit' : page.gap ?? 'trimmed', ahead })
    }
    if (followed.isBehind) this.#repair(followed)
  }

  /** Delivers what a channel missed while there was no session, or tells that this is not possible. */
  #catchUp (followed: Followed, since: BrokerPosition, page: StoredPage): void {
    const { channel, limits } = followed
    this.repairs++
    if (page.gap !== null) {
      // It goes on with the first message after those that are missing.
      const before = page.entries.length === 0 ? page.end : page.floor
      followed.restart(before)
      followed.isLoose = true
      this.#port.sink.gap(channel, before)
    }
    followed.tail!.append(page.entries, page.end, limits)
    this.#deliverEntries(channel, page.entries)
    if (page.isCut && page.end.offset > since.offset) return this.#repair(followed)
    const kept = followed.takeKept()
    if (kept === null) return this.#repair(followed)
    const { awaited } = followed
    followed.awaited = null
    followed.isBehind = false
    for (const arrival of kept) {
      // The engine keeps a frame before it publishes it.
      if (arrival === awaited && arrival.epoch === page.top.epoch && arrival.first > page.top.offset) this.#port.dropped('frames with a position that the engine did not give: somebody else writes to the engine')
      // A read that was started since tells of the others that cannot be read.
      else if (arrival.messages !== null || !followed.isBehind) this.#receive(followed, arrival)
    }
  }

  /** The engine answers, but not to this read: the channel goes on without its history. */
  #giveUp (followed: Followed): void {
    const kept = followed.takeKept() ?? []
    if (followed.tail !== null && !followed.isBehind) return
    const hasMissed = followed.isBehind || followed.isLoose
    followed.loseSight()
    this.#budget.changed(followed)
    if (!hasMissed) return
    this.#tellLoss(followed, nowhere)
    for (const arrival of kept) this.#receive(followed, arrival)
  }

  /** Tells that messages may be missing before the next one. */
  #tellLoss (followed: Followed, position: BrokerPosition): void {
    followed.isLoose = false
    this.#port.sink.gap(followed.channel, position)
  }

  #accept (followed: Followed, arrival: Arrival): void {
    const { epoch, first } = arrival
    const { top } = followed.tail!
    if (epoch === top.epoch && first <= top.offset && followed.knows(arrival)) return
    const isNext = epoch === top.epoch && first === top.offset + 1
    if (!isNext) {
      if (epoch === top.epoch ? first <= top.offset : followed.isLoose) this.#restart(followed, { epoch, offset: first - 1, check: '' })
      // The session is the same, so nothing was lost before the first message of the new epoch.
      else if (epoch !== top.epoch) this.#restart(followed, { epoch, offset: 0, check: '' })
    }
    followed.isLoose = false
    if (first === followed.tail!.top.offset + 1) {
      followed.addDelivered(arrival)
      this.#budget.changed(followed)
      this.#deliver(followed.channel, arrival)
      return
    }
    // Frames are missing: read them before this one is delivered.
    followed.isBehind = true
    followed.awaited = arrival
    followed.keep(arrival)
    this.#repair(followed)
  }

  /** Goes on after a position that does not follow the last message. */
  #restart (followed: Followed, before: BrokerPosition): void {
    const { channel, tail } = followed
    // Messages with lower offsets of the same epoch look like old ones to clients.
    if (before.epoch === tail!.top.epoch) this.#port.sink.gap(channel, before)
    followed.restart(before)
    this.#budget.changed(followed)
  }

  #deliver (channel: string, { epoch, first, check, messages }: Arrival): void {
    for (const [i, message] of messages.entries()) if (message !== null) this.#port.sink.publication(channel, message, true, { epoch, offset: first + i, check })
  }

  #deliverEntries (channel: string, entries: readonly BrokerHistoryEntry[]): void {
    for (const { data, position } of entries) this.#port.sink.publication(channel, data, true, position)
  }
}
