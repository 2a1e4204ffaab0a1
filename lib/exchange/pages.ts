import type { BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition, MaybePromise } from '../../types/broker.js'
import type { ScHistoryGap } from '../../types/history.js'
import type { BrokerLink } from '../broker/link.js'

/** A part of a history. */
export interface Page extends Omit<BrokerHistoryPage, 'gap'> {
  readonly gap: ScHistoryGap | null
}

/** The part of the link to the broker that is used. */
type PagesLink = Pick<BrokerLink, 'checkUp' | 'followHistory' | 'readHistory'>

/** Uses a page in the turn of the event loop in which it is complete. */
type UsePage = (page: Page) => MaybePromise<void>

interface Query {
  readonly channel: string
  readonly limit: number
  readonly limits: BrokerHistoryLimits
}

/**
 * Reads parts of the histories of channels that this node follows. A page ends with the last message that the node delivered when
 * the page is used: what comes later is not in it, and nothing that came before is missing.
 */
export class Pages {
  readonly #link: PagesLink

  constructor (link: PagesLink) {
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
    const query = { channel, limit, limits }
    if (since === null) return this.#newest(query, null, use)
    const page = this.#link.followHistory(channel, since, limit, limits)
    if (page instanceof Promise) return page.then(() => this.read(channel, since, limit, limits, use))
    if (page.gap === null) return use(page)
    if (page.gap !== 'limit') return this.#newest(query, page.gap, use)
    const first = this.#link.readHistory(channel, since, limit, limits)
    if (first instanceof Promise) return first.then((read) => this.#first(query, read, use))
    return this.#first(query, first, use)
  }

  #newest (query: Query, gap: BrokerHistoryPage['gap'], use: UsePage): MaybePromise<void> {
    const page = this.#link.followHistory(query.channel, null, query.limit, query.limits)
    if (page instanceof Promise) return page.then(() => this.#newest(query, gap, use))
    return use({ ...page, gap })
  }

  /** @param read the first messages that the engine has, which may be ahead of this node */
  #first (query: Query, read: BrokerHistoryPage, use: UsePage): MaybePromise<void> {
    if (read.gap !== null) return this.#newest(query, read.gap, use)
    const last = this.#link.followHistory(query.channel, null, 0, query.limits)
    if (last instanceof Promise) return last.then(() => this.#first(query, read, use))
    return use(upTo(last.top, { ...read, gap: 'limit' }))
  }
}

/** Leaves out the messages of a page that follow a position, and those of another history. */
export function upTo (top: BrokerPosition, page: Page): Page {
  const entries = page.entries.filter(({ position: { epoch, offset } }) => epoch === top.epoch && offset <= top.offset)
  const isWhole = page.gap === 'limit' && entries.at(-1)?.position.offset === top.offset
  return { top, entries, gap: isWhole ? null : page.gap }
}
