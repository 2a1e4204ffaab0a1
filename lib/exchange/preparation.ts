import type { BrokerHistoryEntry, BrokerHistoryPage, BrokerPosition, MaybePromise } from '../../types/broker.js'
import type { ResolvedChannel } from '../../types/routes.js'
import { parsePosition } from '../broker/position.js'
import type { Hub } from './hub.js'
import type { Preparation } from './hub-host.js'

/** What a subscriber wants to have of the history of a channel with `recover`. */
export interface Wanted {
  /** The text of the position of the last message that it has. */
  readonly since?: string | undefined
  /** The number of newest messages that it gets without a position, or when it cannot get what follows its position. */
  readonly newest: number
}

/** What was found for a subscriber in the history, in the turn in which it is added to the channel. */
export interface Found {
  /** The position of the last message. */
  readonly top: BrokerPosition
  /** The messages after the position that the subscriber has; `null` if it has none. */
  readonly missed: Pick<BrokerHistoryPage, 'entries' | 'gap'> | null
  readonly newest: readonly BrokerHistoryEntry[]
}

/**
 * Returns what has to be done before a subscriber is added to a channel with `history`: to read what it missed, and from then on to
 * get all messages.
 * @param found called with what was found, `null` if nothing can be read, in the turn in which the subscriber is added
 */
export function preparationOf (hub: Pick<Hub, 'allAfter' | 'reached' | 'warn'>, channel: string, { route: { history, recover } }: ResolvedChannel, { since, newest }: Wanted, found: (found: Found | null) => void): Preparation {
  const position = since === undefined ? null : parsePosition(since)
  /** What the broker answered to a position after which it cannot return all messages. It is not asked again. */
  let missed: Found['missed'] = since === undefined || position !== null ? null : { entries: [], gap: 'unknown' }
  let hasFailed = false
  const failed = (err: unknown): void => {
    // The subscription waits until the engine is back.
    if ((err as { code?: unknown } | null)?.code === 'SC_ERR_BROKER_DOWN') throw err
    hasFailed = true
    hub.warn(err)
  }
  const finish = (top: BrokerPosition, entries: Found['newest']): void => {
    hub.reached(channel, top)
    found({ top, missed, newest: entries })
  }
  const read = (): MaybePromise<void> => {
    if (position !== null && missed === null) {
      const page = hub.allAfter(channel, position, recover?.limit ?? 0, history!)
      if (page instanceof Promise) return page.catch(failed)
      missed = page
      if (page.gap === null || newest === 0) return finish(page.top, [])
    }
    const page = hub.allAfter(channel, null, newest, history!)
    if (page instanceof Promise) return page.catch(failed)
    finish(page.top, page.entries)
  }
  return () => {
    if (!hasFailed) {
      try {
        return read()
      } catch (err) {
        failed(err)
      }
    }
    found(null)
  }
}
