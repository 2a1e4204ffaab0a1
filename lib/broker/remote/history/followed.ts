import type { BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition } from '../../../../types/broker.js'
import type { StoredPage } from './stored.js'
import { Tail } from './tail.js'
import type { Arrival, Unreadable } from './arrival.js'
import type { EngineClock } from './clock.js'

/** Maximum frames and characters that wait until a channel has caught up. */
const maxKeptFrames = 1_000
const maxKeptLength = 4 * 1024 * 1024

/** Maximum reads of the newest messages until fewer are enough. */
const maxMissedReads = 5

/** The lowest position that somebody waits for, and the highest number of messages after it. */
export interface Wanted {
  readonly since: BrokerPosition | null
  limit: number
  /** The offsets that somebody waits for and that this node did not reach yet: clients of another node, which was faster, have them. */
  readonly ahead: Set<number>
}

/** What a read could not return: messages after this offset, and why. */
interface Unanswered {
  readonly offset: number
  /** The offsets above the last message of the engine that were asked for. */
  readonly ahead: ReadonlySet<number>
  readonly gap: Exclude<BrokerHistoryPage['gap'], null>
}

/** A subscribed channel whose messages this node delivers completely. */
export class Followed {
  readonly channel: string
  limits: BrokerHistoryLimits
  /** The last messages; `null` until the engine told the position of the last one. */
  tail: Tail | null = null
  /** Whether messages may be missing that have to be read before the next ones are delivered. */
  isBehind = false
  /** Whether the next message may have any position, because the ones before it could not be read. */
  isLoose = false
  /** Whether messages are delivered although the position of the last one could not be read. */
  isBlind = false
  /** The frame that showed that messages are missing. The running read was started after it arrived. */
  awaited: Arrival | null = null
  /** The bytes of the last messages that are counted for the whole broker. */
  countedBytes = 0
  /** The read that is running. Rejects when it fails. */
  reading: Promise<void> | null = null
  /** Valid in the turn after a read. */
  #unanswered: Unanswered | null = null
  /** The number of newest messages that the engine was asked for in this turn. */
  #newestAsked = 0
  /** The number of reads of the newest messages in a row that did not touch what is here. */
  #missedReads = 0
  #wanted: Wanted = nothing()
  /** The highest number of newest messages that somebody waits for. */
  #newestWanted = 0
  /** Frames that arrived meanwhile; `null` when there were too many. */
  #kept: Array<Arrival | Unreadable> | null = []
  #keptLength = 0
  readonly #clock: Pick<EngineClock, 'now'>

  constructor (channel: string, limits: BrokerHistoryLimits, clock: Pick<EngineClock, 'now'>) {
    this.#clock = clock
    this.channel = channel
    this.limits = limits
  }

  /** Returns the messages after a position, or the newest ones; `null` when the engine has to be asked. */
  page (since: BrokerPosition | null, limit: number): BrokerHistoryPage | null {
    const { tail, limits } = this
    if (tail === null || this.isBehind) return null
    const page = tail.page(since, limit, limits, this.#clock.now)
    if (page !== null) return page
    if (since === null) return limit > this.#newestAsked ? null : tail.newest(limit, limits, this.#clock.now, true)
    const gap = this.#gapAfter(since)
    return gap === null ? null : { top: tail.top, entries: [], gap }
  }

  /** Notes a position that somebody waits for, and the number of messages after it, or of newest ones, that this one takes. */
  want (since: BrokerPosition | null, limit: number): void {
    if (since === null) {
      this.#newestWanted = Math.max(limit, this.#newestWanted)
      return
    }
    const { tail } = this
    const { since: lowest, limit: most, ahead } = this.#wanted
    if (tail !== null && since.epoch === tail.top.epoch && since.offset > tail.top.offset) {
      // What is between is on its way to this node: it is read, and proves or disproves the position.
      ahead.add(since.offset)
      since = tail.top
      limit = this.limits.size
    }
    if (lowest === null || since.epoch !== lowest.epoch || since.offset < lowest.offset) this.#wanted = { since, limit: Math.max(limit, most), ahead }
    else this.#wanted.limit = Math.max(limit, most)
  }

  /** Takes what satisfies everybody who waits for newest messages, or else for those after a position. */
  takeWanted (): Wanted {
    const newest = this.#newestWanted
    this.#newestWanted = 0
    if (newest !== 0 && this.page(null, newest) === null) return { ...nothing(), limit: newest }
    const wanted = this.#wanted
    this.#wanted = nothing()
    return wanted
  }

  /** Notes that the engine was asked in this turn for messages after an offset. @param gap why it did not return them, if so */
  asked (unanswered: Unanswered): void {
    this.#unanswered = unanswered
    setImmediate(() => { this.#unanswered = null })
  }

  /** Notes that the engine was asked in this turn for the newest messages. */
  askedNewest ({ isWhole, floor, top }: StoredPage, limit: number): void {
    const { tail } = this
    if (tail === null) return
    if (isWhole && floor.offset >= tail.floor.offset) tail.isWhole = true
    // Frames on their way: what was read and what is here do not touch each other yet, and who waits asks again.
    const isApart = top.epoch === tail.top.epoch && (top.offset < tail.floor.offset || floor.offset > tail.top.offset)
    if (isApart && ++this.#missedReads < maxMissedReads) return
    this.#missedReads = 0
    this.#newestAsked = Math.max(limit, this.#newestAsked)
    setImmediate(() => { this.#newestAsked = 0 })
  }

  /** Why messages after a position that are not here cannot be returned; `null` when the engine has to be asked. */
  #gapAfter ({ offset }: BrokerPosition): Unanswered['gap'] | null {
    const unanswered = this.#unanswered
    if (unanswered === null) return null
    if (offset > this.tail!.top.offset) return unanswered.ahead.has(offset) ? 'unknown' : null
    // A read that was too large says nothing of those who miss less.
    const isConcerned = unanswered.gap === 'limit' ? offset <= unanswered.offset : offset >= unanswered.offset
    return isConcerned ? unanswered.gap : null
  }

  /** Starts with the messages that were read. */
  begin ({ top, entries, floor, isCut }: StoredPage): void {
    this.restart(top)
    if (!isCut) this.tail!.extend(entries.filter(({ position }) => position.offset > floor.offset), floor)
  }

  restart (top: BrokerPosition): void {
    this.tail = new Tail(top)
    this.isBlind = false
  }

  /** Goes on without the last messages. */
  loseSight (): void {
    this.tail = this.awaited = null
    this.isBehind = this.isLoose = false
    this.isBlind = true
  }

  /** Adds a frame that was or will be delivered. Frames from before the last read are known. */
  addDelivered (arrival: Arrival): void {
    const { epoch, first, messages } = arrival
    const { top } = this.tail!
    if (epoch === top.epoch && first + messages.length - 1 <= top.offset) return
    if (epoch !== top.epoch || first !== top.offset + 1) this.restart({ epoch, offset: first - 1, check: '' })
    this.tail!.add(arrival, this.limits)
  }

  /** Whether a frame from before the top is one of those that were delivered, as far as is known. */
  knows ({ first, check, messages }: Arrival): boolean {
    const tail = this.tail!
    const last = first + messages.length - 1
    if (last > tail.top.offset) return false
    const known = last === tail.top.offset ? tail.top.check : tail.checkAt(last)
    return known === undefined || known === check
  }

  /** Keeps a frame until the channel has caught up. */
  keep (arrival: Arrival | Unreadable): void {
    if (this.#kept === null) return
    if (arrival.messages !== null) this.#keptLength += arrival.messages.reduce((sum, message) => sum + (message?.length ?? 0), 0)
    this.#kept.push(arrival)
    if (this.#kept.length > maxKeptFrames || this.#keptLength > maxKeptLength) this.#kept = null
  }

  /** Takes the frames that were kept; `null` when there were too many, so that they have to be read. */
  takeKept (): Array<Arrival | Unreadable> | null {
    const kept = this.#kept
    this.#kept = []
    this.#keptLength = 0
    return kept
  }

  /** Call when the session is gone. */
  fallBehind (): void {
    this.reading = this.awaited = null
    this.isBehind = this.tail !== null
    if (this.isBlind) this.isLoose = true
    this.takeKept()
  }
}

function nothing (): Wanted {
  return { since: null, limit: 0, ahead: new Set() }
}
