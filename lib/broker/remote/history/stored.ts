import type { BrokerHistoryEntry, BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition } from '../../../../types/broker.js'

/** What an engine keeps of a channel, or a part of it. */
export interface StoredHistory {
  readonly top: BrokerPosition
  /** The time of the engine in milliseconds. */
  readonly now: number
  /** The frames, the oldest first. The first one may also have messages before those that were asked for. */
  readonly frames: readonly StoredFrame[]
  /** For the newest messages: whether older ones were left out because the answer would be too large. */
  readonly isPart?: boolean
}

/** A frame that an engine keeps. */
export interface StoredFrame {
  /** The offset of the last message. */
  readonly last: number
  /** The number of messages. */
  readonly count: number
  readonly check: string
  readonly time: number
  /** The frame, signed or not. */
  readonly text: string
}

/** A page of an engine's history. */
export interface StoredPage extends BrokerHistoryPage {
  /** The position after which all messages are here. Without a position to begin after, entries may precede it. */
  readonly floor: BrokerPosition
  /** The position of the last message that the engine returned, also if it cannot be used; `top` if it returned none. */
  readonly end: BrokerPosition
  /** Whether this is only the first part: the rest was too large, or it begins with a frame that cannot be read. */
  readonly isCut: boolean
  /** For the newest messages: whether the engine keeps no older ones. */
  readonly isWhole: boolean
}

/**
 * Returns the messages of a frame: `null` instead of each one that is no message, and `null` when the frame cannot be read, for example
 * because another key signed it. Messages are missing then.
 */
export type OpenStored = (text: string) => ReadonlyArray<string | null> | null

/**
 * Checks what an engine returned, and leaves out what the limits of the history exclude.
 * @param since the position after which it was asked for messages; `'oldest'` for the oldest ones, `null` for the newest ones
 * @param limit the number of messages that it was asked for
 * @param stops whether the page ends before the first frame that cannot be read, if messages precede it: the next page tells of it
 */
export function pageOf ({ top, now, frames, isPart = false }: StoredHistory, since: BrokerPosition | 'oldest' | null, limit: number, { size, ttl }: BrokerHistoryLimits, open: OpenStored, stops: boolean): StoredPage {
  const { epoch } = top
  const position = since === 'oldest' ? null : since
  const excluded = Math.max(position?.offset ?? 0, top.offset - size)
  let floor: BrokerPosition | null = null
  let entries: BrokerHistoryEntry[] = []
  let end: BrokerPosition | null = null
  let hasExpired = false
  /** The position of the last frame that cannot be read. */
  let unreadable: BrokerPosition | null = null
  for (const { last, count, check, time, text } of frames) {
    const first = last - count + 1
    if (floor === null || first !== end!.offset + 1) {
      // The first frame, or messages between two frames were deleted.
      floor = { epoch, offset: first - 1, check: '' }
      entries = []
    }
    // The start of a history has no messages to open.
    const messages = count === 0 ? [] : open(text)
    const isMissing = messages === null && last > excluded && time > now - ttl
    if (isMissing && stops && unreadable === null && entries.length !== 0) break
    end = { epoch, offset: last, check }
    if (isMissing) {
      floor = unreadable = end
      // Without a position, nobody relies on it that nothing is missing.
      if (since !== null) entries = []
      continue
    }
    for (let offset = first; offset <= last; offset++) {
      const at = { epoch, offset, check }
      const data = messages?.[offset - first]
      if (offset <= excluded || time <= now - ttl) {
        floor = at
        hasExpired ||= offset > excluded
      } else if (data !== null && data !== undefined) entries.push({ position: at, time, data })
    }
  }
  floor ??= top
  end ??= top
  const isWhole = since === null && !isPart && unreadable === null && top.offset - floor.offset < limit
  // Older messages were left out, and not only such that the limits exclude.
  const isPartly = since === null && isPart && !hasExpired && floor.offset > Math.max(excluded, top.offset - limit)
  const withoutPosition = isPartly ? 'limit' : since === 'oldest' && unreadable !== null ? 'unknown' : null
  const gap = position === null ? withoutPosition : gapOf(position, top, floor, floor === unreadable)
  return { top, entries, floor, gap, end, isCut: end.offset < top.offset, isWhole }
}

function gapOf (since: BrokerPosition, top: BrokerPosition, floor: BrokerPosition, isUnreadable: boolean): BrokerHistoryPage['gap'] {
  if (since.epoch !== top.epoch || since.offset > top.offset) return 'unknown'
  if (since.offset === top.offset) return since.check === top.check ? null : 'unknown'
  // The check of a message before the first one that is kept is not known.
  if (floor.offset !== since.offset || (floor.check === '' && since.offset !== 0)) return isUnreadable ? 'unknown' : 'trimmed'
  return floor.check === since.check ? null : 'unknown'
}
