import type { BrokerHistoryEntry, BrokerHistoryPage } from '../../types/broker.js'
import type { ScHistoryGap, ScRecoveryStatus } from '../../types/history.js'
import type { ChannelRoute, ResolvedChannel } from '../../types/routes.js'
import { positionText } from '../broker/position.js'
import type { Session } from '../socket/session.js'
import { deliveryBytes } from '../socket/subscriptions.js'
import { TokenBucket } from '../socket/token-bucket.js'
import type { HandlerContext } from './context.js'

/** Bytes that a message takes in the backlog beside its data and the name of its channel. */
const envelopeBytes = 128
/** Bytes that the answer takes, which is sent before the messages. */
const answerBytes = 512

/** Recoveries per second and socket. The burst allows a socket to recover all its channels at once after a reconnect. */
const recoveryRate = 10
const recoveryBurst = 1_000

/** The answer to a subscription to a channel with `recover`, and the missed messages to send after it. */
export interface Recovery {
  readonly status: ScRecoveryStatus
  readonly missed: readonly BrokerHistoryEntry[]
}

/**
 * Returns the reason why nothing is read for a client that sent a position, or null.
 * @param isAllowed false when a hook or the policy set `recover` to false
 */
export function refusalOf (session: Session, isAllowed: boolean): ScHistoryGap | null {
  if (!isAllowed) return 'refused'
  return recoveryDelay(session) === 0 ? null : 'limit'
}

/** Counts a recovery, or a read of a history. @returns 0 if it is within the rate, else the milliseconds until one is */
export function recoveryDelay ({ subscriptions, lastSeen, host: { options: { socketChannelLimit } } }: Session): number {
  subscriptions.recoveries ??= new TokenBucket(recoveryRate, Math.max(recoveryBurst, socketChannelLimit), lastSeen)
  return subscriptions.recoveries.take(lastSeen)
}

/**
 * Decides what a client gets of the messages that it missed. Must be called in the turn in which the session joins the channel, so
 * that the first live message follows the last missed one.
 * @param since the position that the client sent; absent when it subscribes for the first time
 * @param page what was read; `null` if it could not be read
 */
export function recoveryOf (context: HandlerContext, session: Session, channel: string, resolved: ResolvedChannel, since: string | undefined, refusal: ScHistoryGap | null, page: BrokerHistoryPage | null): Recovery {
  if (page === null) return { status: since === undefined ? {} : { recovered: false, reason: 'unknown' }, missed: [] }
  if (since === undefined) return { status: { pos: positionText(page.top) }, missed: [] }
  const reason = refusal ?? page.gap ?? limitOf(session, channel, page.entries, resolved.route.recover!, context.hub.isHooked(resolved))
  if (reason !== null) return { status: { pos: positionText(page.top), recovered: false, reason }, missed: [] }
  return { status: { pos: since, recovered: true, count: page.entries.length }, missed: page.entries }
}

/** Returns `'limit'` when the messages exceed the limits of the channel or the room of the connection. */
function limitOf (session: Session, channel: string, entries: readonly BrokerHistoryEntry[], { bytes }: NonNullable<ChannelRoute['recover']>, hooked: boolean): ScHistoryGap | null {
  if (entries.length === 0) return null
  const { connection, subscriptions, host: { options: { maxBufferedBytes } } } = session
  const total = bytesOf(entries)
  if (total > bytes) return 'limit'
  if (hooked && !subscriptions.mayWait(entries.length)) return 'limit'
  // What waits for hooks counts more than what waits to be sent.
  const needed = answerBytes + (hooked ? entries.reduce((sum, { data }) => sum + deliveryBytes(data.length), deliveryBytes(0)) : total + entries.length * (envelopeBytes + channel.length * 3))
  // An empty backlog has room for one message of any size, but not for several.
  if (maxBufferedBytes !== 0 && needed > maxBufferedBytes && (entries.length > 1 || hooked)) return 'limit'
  return connection.hasRoom(needed) ? null : 'limit'
}

/** The bytes of messages that clients missed. Those that come back at the same time missed the same list of messages. */
const sizes = new WeakMap<readonly BrokerHistoryEntry[], number>()

function bytesOf (entries: readonly BrokerHistoryEntry[]): number {
  let bytes = sizes.get(entries)
  if (bytes === undefined) sizes.set(entries, bytes = entries.reduce((sum, { data }) => sum + Buffer.byteLength(data), 0))
  return bytes
}
