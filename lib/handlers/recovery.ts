import type { BrokerHistoryEntry } from '../../types/broker.js'
import type { ScHistoryGap, ScRecoveryStatus } from '../../types/history.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { HistoryFrom } from '../broker/history-from.js'
import { parsePosition, positionText } from '../broker/position.js'
import type { Found } from '../exchange/preparation.js'
import { channelsAtOnce } from '../socket/inbound-rate.js'
import type { Session } from '../socket/session.js'
import { TokenBucket } from '../socket/token-bucket.js'
import { type Following, HistoryOffer } from './history-offer.js'

/** Recoveries per second and socket. The burst allows a socket to recover all its channels at once after a reconnect. */
const recoveryRate = 10
const recoveryBurst = 1_000

/** What a client that subscribes asks for, and what it may have. */
export interface HistoryRequest {
  /** The position that the client sent; absent when it subscribes for the first time. */
  readonly since: string | undefined
  /** The number of last messages that it gets without a position, or when it cannot get everything that it missed. */
  readonly rewind: number
  /** Why nothing is read for it; null if nothing prevents it. */
  readonly refusal: ScHistoryGap | null
  /** What it may have of the history; null for everything. */
  readonly from: HistoryFrom | null
}

/** The answer to a subscription to a channel with `recover`, and the messages to send after it. */
export interface Recovery extends Following {
  readonly status: ScRecoveryStatus
}

type Outcome = Pick<ScRecoveryStatus, 'recovered' | 'reason'>

const none: Following = { messages: [], before: null }

/**
 * Returns the reason why nothing is read for a client, or null. Call once for each subscription for which something would be read.
 * @param isAllowed false when a hook or the policy set `recover` to false
 */
export function refusalOf (session: Session, isAllowed: boolean): ScHistoryGap | null {
  if (!isAllowed) return 'refused'
  return recoveryDelay(session) === 0 ? null : 'limit'
}

/** Counts a recovery, or a read of a history. @returns 0 if it is within the rate, else the milliseconds until one is */
export function recoveryDelay ({ subscriptions, lastSeen, host: { options } }: Session): number {
  subscriptions.recoveries ??= new TokenBucket(recoveryRate, Math.max(recoveryBurst, channelsAtOnce(options)), lastSeen)
  return subscriptions.recoveries.take(lastSeen)
}

/** Returns how many of the newest messages have to be read for a client. */
export function newestWanted ({ since, rewind, refusal }: HistoryRequest, { route: { recover } }: ResolvedChannel): number {
  if (refusal !== null) return 0
  if (recover!.latest && since !== undefined) return 1
  // One more: its position is the one before the first message that the client gets.
  return rewind === 0 ? 0 : rewind + 1
}

/**
 * Decides what a client gets of the history. Must be called in the turn in which the session joins the channel, so that the first
 * live message follows the last one of the history.
 * @param isHooked whether the messages pass hooks
 * @param found what was read; `null` if it could not be read
 */
export function recoveryOf (session: Session, channel: string, resolved: ResolvedChannel, isHooked: boolean, request: HistoryRequest, found: Found | null): Recovery {
  const { since, rewind, refusal, from } = request
  if (found === null) return { ...none, status: since === undefined ? {} : { recovered: false, reason: 'unknown' } }
  const { top, missed, newest } = found
  const answer = (following: Following, outcome: Outcome, isCounted = rewind > 0): Recovery => {
    const { messages, before } = following
    return { messages, before, status: { pos: positionText(before ?? top), ...outcome, ...(isCounted ? { count: messages.length } : {}) } }
  }
  if (refusal !== null) return answer(none, since === undefined ? {} : { recovered: false, reason: refusal })
  const offer = new HistoryOffer(session, channel, resolved, isHooked, from)
  const position = since === undefined ? null : parsePosition(since)
  if (resolved.route.recover!.latest) {
    const entries = missed?.gap === null ? missed.entries : newest
    // The newest message may be expired.
    const isKept = entries.at(-1)?.position.offset === top.offset
    const following = offer.last(isKept ? entries : [], missed === null ? rewind : 1, missed?.gap === null ? position : null)
    if (missed === null) return answer(following, {})
    const hasNewest = missed.gap === null && position!.offset === top.offset
    if (hasNewest || following.messages.length !== 0) return answer(following, { recovered: true }, true)
    return answer(none, { recovered: false, reason: latestGap(offer, isKept ? entries : [], missed.gap) })
  }
  if (missed === null) return answer(offer.last(newest, rewind, null), {})
  if (missed.gap !== null) {
    // A client has nothing of what follows a position that is unknown.
    const entries = missed.gap === 'unknown' ? newest : newest.filter((entry) => entry.position.offset > position!.offset)
    return answer(offer.last(entries, rewind, null), { recovered: false, reason: missed.gap })
  }
  const { entries } = missed
  if (!offer.allows(entries)) return answer(offer.last(entries, entries.length, position), { recovered: false, reason: 'refused' }, true)
  if (!offer.fits(entries)) return answer(offer.last(entries, rewind, position), { recovered: false, reason: 'limit' })
  return { messages: entries, before: position, status: { pos: since!, recovered: true, count: entries.length } }
}

/** Why a client does not get the newest message, the last of `entries`, if it is kept. */
function latestGap (offer: HistoryOffer, entries: readonly BrokerHistoryEntry[], gap: ScHistoryGap | null): ScHistoryGap {
  if (entries.length === 0) return gap === null || gap === 'limit' ? 'trimmed' : gap
  return offer.allows(entries.slice(-1)) ? 'limit' : 'refused'
}
