import type { BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition, MaybePromise } from '../../types/broker.js'
import type { ScHistoryGap } from '../../types/history.js'
import type { BrokerLink } from '../broker/link.js'

/** How often a read begins again because more was published meanwhile than the last messages of the channel can tell. */
const maxAttempts = 5
/** The most messages that are read because they were not delivered yet. */
const maxAhead = 1_000

/** A part of a history. */
export interface Page extends Omit<BrokerHistoryPage, 'gap'> {
  readonly gap: ScHistoryGap | null
}

/** Uses a page in the turn of the event loop in which it is complete. */
type UsePage = (page: Page) => MaybePromise<void>

/** What to read: messages after `since`, or the newest ones for `null`. */
interface Query {
  readonly channel: string
  readonly since: BrokerPosition | null
  readonly limit: number
  readonly limits: BrokerHistoryLimits
}

/**
 * Reads parts of the histories of channels that this node follows. A page ends with the last message that the node delivered when
 * the page is used: what comes later is not in it, and nothing that came before is missing.
 */
export class Pages {
  readonly #link: BrokerLink

  constructor (link: BrokerLink) {
    this.#link = link
  }

  /** @throws BrokerError while the engine is down */
  checkUp (): void {
    this.#link.checkUp()
  }

  /**
   * Reads a page. `gap` is `'limit'` when there are more messages after `since` than the page has. For another gap, and for `since`
   * `null`, it has the newest messages.
   * @throws BrokerError, at once or as a rejection, while the engine is down or when the broker fails
   */
  read (channel: string, since: BrokerPosition | null, limit: number, limits: BrokerHistoryLimits, use: UsePage): MaybePromise<void> {
    return this.#read({ channel, since, limit, limits }, use, 1)
  }

  /** @param ahead how many more of the newest messages to read, because they were not delivered yet */
  #read (query: Query, use: UsePage, attempt: number, ahead = 0): MaybePromise<void> {
    const { channel, since, limit, limits } = query
    const page = this.#link.followHistory(channel, since, since === null ? 0 : limit, limits)
    if (page instanceof Promise) return page.then(() => this.#read(query, use, attempt + 1, ahead))
    if (since !== null && page.gap === null) return use(page)
    // Only the engine has messages from before.
    const { gap } = page
    const older = gap === 'limit' ? this.#link.readHistory(channel, since, limit, limits) : this.#link.readHistory(channel, null, limit + ahead, limits)
    const goOn = (read: BrokerHistoryPage): MaybePromise<void> => this.#complete(query, gap, read, use, attempt)
    if (older instanceof Promise) return older.then(goOn)
    return goOn(older)
  }

  /** Makes what was read end with the last message that was delivered. */
  #complete (query: Query, gap: BrokerHistoryPage['gap'], read: BrokerHistoryPage, use: UsePage, attempt: number): MaybePromise<void> {
    const { channel, limit, limits } = query
    let news = this.#link.followHistory(channel, null, 0, limits)
    if (news instanceof Promise) return news.then(() => this.#complete(query, gap, read, use, attempt))
    const { top } = news
    if (gap === 'limit') return use(upTo(top, { ...read, gap: read.gap ?? gap }))
    const again = (ahead: number): MaybePromise<void> => this.#read(query, use, attempt + 1, ahead)
    const mayRepeat = attempt < maxAttempts
    if (top.epoch !== read.top.epoch && mayRepeat) return again(0)
    if (top.offset > read.top.offset) {
      news = this.#link.followHistory(channel, read.top, limit, limits)
      if (news instanceof Promise) return news.then(() => this.#complete(query, gap, read, use, attempt))
      if (news.gap !== null && mayRepeat) return again(0)
    }
    const page = upTo(top, { top, entries: [...read.entries, ...news.entries], gap })
    // The engine has messages that are on their way to this node.
    const ahead = read.top.offset - top.offset
    if (page.entries.length < limit && ahead > 0 && read.entries.length >= limit && mayRepeat) return again(Math.min(ahead, maxAhead))
    return use({ ...page, entries: page.entries.slice(-limit) })
  }
}

/** Leaves out the messages of a page that follow a position, and those of another history. */
export function upTo (top: BrokerPosition, page: Page): Page {
  const entries = page.entries.filter(({ position: { epoch, offset } }) => epoch === top.epoch && offset <= top.offset)
  const isWhole = page.gap === 'limit' && entries.at(-1)?.position.offset === top.offset
  return { top, entries, gap: isWhole ? null : page.gap }
}
