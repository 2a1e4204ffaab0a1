import type { BrokerHistoryEntry, BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition, MaybePromise } from '../../types/broker.js'
import type { ScHistoryGap } from '../../types/history.js'
import type { ResolvedChannel } from '../../types/routes.js'
import { follow } from '../barrier.js'
import { allowedOf } from '../broker/history-from.js'
import { positionText } from '../broker/position.js'
import { partSize } from '../exchange/parts.js'
import type { Lag } from '../socket/lagging-channels.js'
import type { Session } from '../socket/session.js'
import type { HandlerContext } from './context.js'

/**
 * Delivers what a socket lags behind on a channel, from the history of the channel, as far as its backlog has room. A socket that
 * has everything goes on with new publications in the same turn. One that cannot get everything is told.
 */
export function catchUp (context: HandlerContext, session: Session, channel: string): void {
  const { subscriptions } = session
  const lag = subscriptions.lagOf(channel)
  if (lag === undefined || lag.state !== 'idle' || subscriptions.isWithheld(channel)) return
  lag.state = 'busy'
  const work = new CatchUp(context, session, channel, lag)
  if (work.isHooked) {
    // After the publications that wait for hooks. They keep the order of the channel until this is done.
    if (session.deliverInOrder(channel, '', () => work.run())) return
    // Too much waits for hooks: again when some of it is done.
    lag.state = 'waiting'
    session.connection.awaitRoom()
    return
  }
  const running = work.run()
  if (running !== undefined) follow(session, running, () => {}, (err) => { throw err })
}

/** What was read. @property isFresh whether nothing was published meanwhile */
interface Read {
  readonly page: BrokerHistoryPage
  readonly isFresh: boolean
}

/** One attempt to catch up: it ends when the socket has everything, when its backlog is full, or when the broker cannot be read. */
class CatchUp {
  readonly #context: HandlerContext
  readonly #session: Session
  readonly #channel: string
  readonly #lag: Lag
  readonly #resolved: ResolvedChannel
  /** Why messages after a position whose check is not known cannot be returned; null if nothing was asked. */
  #gap: BrokerHistoryPage['gap'] = null

  constructor (context: HandlerContext, session: Session, channel: string, lag: Lag) {
    this.#context = context
    this.#session = session
    this.#channel = channel
    this.#lag = lag
    this.#resolved = context.contracts.channel(channel)
  }

  get #limits (): BrokerHistoryLimits { return this.#resolved.route.history! }
  get isHooked (): boolean { return this.#context.hub.isHooked(this.#resolved) }

  /** Whether this attempt is no longer wanted: the socket or the subscription is gone, or its messages are withheld. */
  get #isOver (): boolean {
    const { state, subscriptions } = this.#session
    return state !== 'open' || subscriptions.lagOf(this.#channel) !== this.#lag
  }

  run (): MaybePromise<void> {
    for (;;) {
      if (this.#isOver) return
      if (this.#session.subscriptions.isWithheld(this.#channel)) {
        this.#lag.state = 'idle'
        return
      }
      let read: Read | Promise<BrokerHistoryPage | void>
      try {
        read = this.#read()
      } catch (err) {
        this.#failed(err)
        return
      }
      if (read instanceof Promise) return read.then((part) => this.#continue(part as BrokerHistoryPage | undefined), (err: unknown) => this.#failed(err))
      const delivered = this.#deliver(read.page, read.isFresh)
      if (delivered instanceof Promise) return delivered.then((goesOn) => goesOn ? this.run() : undefined)
      if (!delivered) return
    }
  }

  /** @param page the first messages; nothing when the last ones have to be read again */
  #continue (page: BrokerHistoryPage | undefined): MaybePromise<void> {
    if (page === undefined || this.#isOver || this.#session.subscriptions.isWithheld(this.#channel)) return this.run()
    if (page.gap === null && page.entries.length === 0) {
      // Nothing of this part can be read by this process, so another read would return the same.
      this.#lost('unknown', page)
      return
    }
    const delivered = this.#deliver(page, false)
    if (delivered instanceof Promise) return delivered.then((goesOn) => goesOn ? this.run() : undefined)
    if (delivered) return this.run()
  }

  /** Reads everything that the socket misses; the first part of it when that is too much at once. */
  #read (): Read | Promise<BrokerHistoryPage | void> {
    const { hub } = this.#context
    const { position, wasWithheld } = this.#lag
    if (this.#resolved.route.recover!.latest) {
      const newest = hub.allAfter(this.#channel, null, 1, this.#limits)
      return newest instanceof Promise ? newest : { page: newest, isFresh: true }
    }
    if (position === null) throw new Error('The position of the last message is not known')
    const { limit } = this.#resolved.route.recover!
    const page = this.#after(position, wasWithheld ? limit : partSize)
    if (page instanceof Promise) return page
    if (page.gap !== 'limit' || wasWithheld) return { page, isFresh: true }
    const part = hub.parts.after(this.#channel, position, this.#limits)
    return part instanceof Promise ? part : { page: part as BrokerHistoryPage, isFresh: false }
  }

  /**
   * Reads the messages after a position. The check of the position before the oldest message that is kept may not be known: what
   * follows it are the newest messages, if they begin there.
   */
  #after (position: BrokerPosition, limit: number): BrokerHistoryPage | Promise<void> {
    const { hub } = this.#context
    if (this.#gap === null || position.check !== '') {
      const page = hub.allAfter(this.#channel, position, limit, this.#limits)
      if (page instanceof Promise || page.gap === null || page.gap === 'limit' || position.check !== '') return page
      this.#gap = page.gap
    }
    const newest = hub.allAfter(this.#channel, null, limit, this.#limits)
    if (newest instanceof Promise) return newest
    const entries = newest.entries.filter(({ position: { epoch, offset } }) => epoch === position.epoch && offset > position.offset)
    const follows = entries[0]?.position.offset === position.offset + 1
    return { ...newest, entries, gap: follows ? null : this.#gap }
  }

  /**
   * Delivers a page.
   * @param isFresh whether it was read in this turn, so that nothing was published meanwhile
   * @returns whether to go on reading; with slow hooks, a promise for it
   */
  #deliver (page: BrokerHistoryPage, isFresh: boolean): boolean | Promise<boolean> {
    if (this.#resolved.route.recover!.latest) return this.#deliverLatest(page)
    if (page.gap !== null) {
      this.#lost(page.gap, page)
      return false
    }
    const lag = this.#lag
    const { entries, top } = page
    const isLast = isFresh && (entries.length === 0 || entries.at(-1)!.position.offset === top.offset)
    let at = entries.length - this.#allowed(entries).length
    if (at !== 0) {
      lag.position = entries[at - 1]!.position
      this.#tell('refused', lag.position)
    }
    const step = (): boolean | Promise<boolean> => {
      while (at < entries.length) {
        if (this.#isOver) return false
        const together = this.#deliverTogether(entries, at)
        if (together !== 0) {
          at += together
          continue
        }
        const entry = entries[at++]!
        const running = this.#deliverOne(entry)
        if (running !== undefined) return running.then(() => lag.position === entry.position && step())
        if (lag.position !== entry.position) return false
      }
      return true
    }
    const delivered = step()
    // With a promise, more may have been published meanwhile.
    if (delivered !== true || !isLast) return delivered
    this.#session.subscriptions.skipTo(this.#channel, top)
    return false
  }

  /** Delivers the newest message, unless the socket has it. */
  #deliverLatest ({ top, entries }: BrokerHistoryPage): boolean | Promise<boolean> {
    const { subscriptions } = this.#session
    const lag = this.#lag
    if (lag.position?.epoch === top.epoch && lag.position.offset === top.offset) {
      subscriptions.skipTo(this.#channel, top)
      return false
    }
    const newest = entries.filter(({ position }) => position.offset === top.offset)
    const [entry] = this.#allowed(newest)
    if (entry === undefined) {
      this.#lost(newest.length === 0 ? 'trimmed' : 'refused', { top })
      return false
    }
    const running = this.#deliverOne(entry)
    // Meanwhile a newer one may have been published.
    if (running !== undefined) return running.then(() => lag.position === entry.position)
    if (lag.position === entry.position) subscriptions.skipTo(this.#channel, top)
    return false
  }

  /** Returns those of consecutive messages that the client may have. */
  #allowed (entries: readonly BrokerHistoryEntry[]): readonly BrokerHistoryEntry[] {
    return allowedOf(entries, this.#session.subscriptions.rightsOf(this.#channel))
  }

  /** Delivers several messages as one. @returns how many; 0 if the next one has to be delivered alone */
  #deliverTogether (entries: readonly BrokerHistoryEntry[], at: number): number {
    const { hub: { replay } } = this.#context
    const series = replay.seriesAt(this.#channel, this.#resolved, entries, at)
    if (series === null) return 0
    const lag = this.#lag
    const previous = lag.position
    lag.position = series.place!.position
    if (replay.together(this.#session, this.#channel, series)) return series.count
    lag.position = previous
    return 0
  }

  /** Delivers a message. It counts as delivered when the position of the lag stays; without room for it, the position is set back. */
  #deliverOne (entry: BrokerHistoryEntry): MaybePromise<void> {
    const previous = this.#lag.position
    this.#lag.position = entry.position
    return this.#context.hub.replay.one(this.#session, this.#channel, this.#resolved, entry, previous)
  }

  #failed (err: unknown): void {
    if (this.#isOver) return
    // The server catches up when the broker is up again.
    this.#lag.state = 'idle'
    if ((err as { code?: unknown } | null)?.code === 'SC_ERR_BROKER_DOWN') return
    this.#context.monitor.warn(err, this.#session.log)
    this.#lost('unknown', null)
  }

  /** Goes on with new publications, and tells the client that messages may be missing. */
  #lost (reason: ScHistoryGap, page: Pick<BrokerHistoryPage, 'top'> | null): void {
    this.#session.subscriptions.skipTo(this.#channel, page === null ? null : page.top)
    this.#tell(reason, page === null ? null : page.top)
  }

  /** Tells the client that messages may be missing, up to a position. */
  #tell (reason: ScHistoryGap, position: BrokerPosition | null): void {
    this.#context.monitor.lost(this.#session.socket, this.#channel, reason)
    this.#session.outbound.event('#recovery', { channel: this.#channel, ...(position === null ? {} : { pos: positionText(position) }), recovered: false, reason })
  }
}
