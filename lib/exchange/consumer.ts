import { setImmediate as nextTurn } from 'node:timers/promises'
import type { BrokerHistoryEntry, BrokerHistoryLimits, BrokerPosition } from '../../types/broker.js'
import type { ScSubscriptionRecovery } from '../../types/exchange.js'
import { parsePosition } from '../broker/position.js'
import type { Hub } from './hub.js'
import { type Parts, partSize } from './parts.js'

/** Maximum number and characters of JSON of messages that wait for a slow loop. More are delivered later, from the history. */
const maxWaiting = 1_000
const maxWaitingLength = 256 * 1024

/** The channel object that a consumer delivers to. */
export interface Outlet {
  readonly name: string
  /** The number of messages that wait for the slowest loop. */
  readonly waiting: number
  /** Returns a promise that resolves when no message waits for a loop; nothing if none waits now. */
  idle (): Promise<void> | undefined
  /** Gives a message to watchers and loops. */
  show (json: string, position: BrokerPosition | null): void
  /** Notes the position before the next message. */
  begin (position: BrokerPosition): void
}

/** The parts of the exchange that a consumer uses. */
export interface ConsumerPort {
  readonly hub: Pick<Hub, 'allAfter'> & { readonly parts: Pick<Parts, 'after'> }
  tell (status: ScSubscriptionRecovery): void
  /** Runs work that does not end in this turn. */
  run (work: Promise<void>): void
  warn (err: unknown): void
}

/**
 * A subscription of the server that misses nothing: it delivers what follows a position from the history, and then new messages.
 * When a loop is slow, it lets new messages pass, and delivers them from the history when the loop has read the ones before.
 */
export class Consumer {
  readonly #outlet: Outlet
  readonly #port: ConsumerPort
  readonly #limits: BrokerHistoryLimits
  /** The position of the last message that was delivered; `null` if it is not known, `'oldest'` before the oldest one that is kept. */
  #last: BrokerPosition | 'oldest' | null
  /** `live`: new messages are delivered. Otherwise they are read from the history: now, or when the broker is up again. */
  #state: 'live' | 'reading' | 'waiting'
  /** Whether it has to be told that everything since the first position was delivered. */
  #owesStatus: boolean
  /** Characters of the messages that were delivered since loops had read everything. */
  #length = 0
  #isOver = false

  /** @param since the text of the position to continue after, or `'oldest'`; `undefined` to begin with new messages */
  constructor (outlet: Outlet, port: ConsumerPort, limits: BrokerHistoryLimits, since: string | undefined) {
    this.#outlet = outlet
    this.#port = port
    this.#limits = limits
    const position = since === undefined ? null : parsePosition(since)
    this.#last = since === 'oldest' ? since : position
    this.#state = since === undefined ? 'live' : 'waiting'
    this.#owesStatus = since !== undefined
    if (position !== null) outlet.begin(position)
  }

  /** Call in the turn from which on the broker delivers the channel. @param top the position of its last message, if it is known */
  begin (top: BrokerPosition | null): void {
    if (!this.#owesStatus && top !== null && !this.#isOver) this.#goOn(top)
  }

  /** Call when the broker delivers the channel, and when it is up again. */
  resume (): void {
    if (this.#state === 'waiting' && !this.#isOver) this.#read(nextTurn())
  }

  stop (): void {
    this.#isOver = true
  }

  /** Takes a new message of the broker. @param position absent for a message that the history does not keep */
  receive (json: string, position: BrokerPosition | undefined): void {
    // What is not kept must not overtake what is delivered later.
    if (this.#state !== 'live' || this.#isOver || (position !== undefined && this.#isOld(position))) return
    const busy = this.#busy(json)
    if (busy === undefined) this.#deliver(json, position ?? null)
    else if (position !== undefined) this.#read(busy)
  }

  /** Call when the broker cannot deliver what precedes the next message. */
  lost (position: BrokerPosition): void {
    // What is being read shows by itself that something is missing.
    if (this.#state === 'live' && !this.#isOver) this.#lose('unknown', position)
  }

  #isOld ({ epoch, offset }: BrokerPosition): boolean {
    return this.#last !== null && this.#last !== 'oldest' && epoch === this.#last.epoch && offset <= this.#last.offset
  }

  /** Returns a promise for when there is room for a message; nothing if there is room now. */
  #busy (json: string): Promise<void> | undefined {
    const { waiting } = this.#outlet
    if (waiting === 0) this.#length = 0
    return waiting >= maxWaiting || (waiting !== 0 && this.#length + json.length > maxWaitingLength) ? this.#outlet.idle() : undefined
  }

  #deliver (json: string, position: BrokerPosition | null): void {
    this.#length += json.length
    if (position !== null) this.#last = position
    this.#outlet.show(json, position)
  }

  #read (after: Promise<void>): void {
    this.#state = 'reading'
    this.#port.run(this.#catchUp(after))
  }

  async #catchUp (after: Promise<void>): Promise<void> {
    try {
      await after
      while (!this.#isOver && !await this.#nextPart()) { /* There is more. */ }
    } catch (err) {
      this.#failed(err)
    }
  }

  /** Delivers the next messages. @returns whether there were none, so that new messages follow directly */
  async #nextPart (): Promise<boolean> {
    const { hub } = this.#port
    const { name } = this.#outlet
    if (this.#last === 'oldest') return this.#deliverFirst(this.#last)
    const page = hub.allAfter(name, this.#last, this.#last === null ? 0 : partSize, this.#limits)
    if (page instanceof Promise) {
      await page
      return false
    }
    if (this.#last === null) return this.#lose('unknown', page.top)
    if (page.gap === 'limit') return this.#deliverFirst(this.#last)
    if (page.gap !== null) return this.#lose(page.gap, page.top)
    if (page.entries.length !== 0) return await this.#deliverAll(page.entries)
    this.#last = page.top
    this.#state = 'live'
    if (this.#owesStatus) this.#port.tell({ channel: name, recovered: true })
    this.#owesStatus = false
    return true
  }

  /** Delivers the first messages of many. */
  async #deliverFirst (since: BrokerPosition | 'oldest'): Promise<false> {
    const page = await this.#port.hub.parts.after(this.#outlet.name, since, this.#limits)
    // Without a page another read has ended, which may have what follows.
    if (this.#isOver || page === undefined) return false
    const { top, entries, gap } = page
    if (gap !== null) return this.#lose(gap === 'trimmed' ? gap : 'unknown', top)
    if (entries.length === 0) {
      // The next messages cannot be read by this process.
      if (since !== 'oldest') return this.#lose('unknown', top)
      // Nothing is kept.
      this.#goOn(top)
    }
    await this.#deliverAll(entries)
    // A broker inside the process answers at once: let others have their turn.
    await nextTurn()
    return false
  }

  async #deliverAll (entries: readonly BrokerHistoryEntry[]): Promise<false> {
    for (const { data, position } of entries) {
      const busy = this.#busy(data)
      if (busy !== undefined) await busy
      if (this.#isOver) break
      this.#deliver(data, position)
    }
    return false
  }

  /** Tells that messages may be missing before the next one. @returns false: it goes on after `position` */
  #lose (reason: 'unknown' | 'trimmed', position: BrokerPosition | null): false {
    if (position === null) this.#last = null
    else this.#goOn(position)
    this.#owesStatus = false
    this.#port.tell({ channel: this.#outlet.name, recovered: false, reason })
    return false
  }

  #goOn (position: BrokerPosition): void {
    this.#last = position
    this.#outlet.begin(position)
  }

  #failed (err: unknown): void {
    if (this.#isOver) return
    this.#state = 'waiting'
    // It goes on when the broker is up again.
    if ((err as { code?: unknown } | null)?.code === 'SC_ERR_BROKER_DOWN') return
    this.#port.warn(err)
    this.#state = 'live'
    this.#lose('unknown', null)
  }
}
