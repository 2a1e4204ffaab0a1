import type { BrokerHistoryEntry, BrokerHistoryPage } from '../../types/broker.js'
import type { ScHistoryGap, ScRecoveryStatus } from '../../types/history.js'
import type { ChannelRoute } from '../../types/routes.js'
import { positionText } from '../broker/position.js'
import type { Session } from '../socket/session.js'
import { TokenBucket } from '../socket/token-bucket.js'
import type { HandlerContext } from './context.js'

/** Bytes that a message on its way to the client takes beside its data and the channel's name. */
const envelopeBytes = 128

/** Recoveries of one socket in a second. As many as it may have channels come at once, when it connects again. */
const recoveryRate = 10
const recoveryBurst = 1_000

/** The answer to a subscription to a channel with `recover`, and the messages that follow it. */
export interface Recovery {
  readonly status: ScRecoveryStatus
  readonly missed: readonly BrokerHistoryEntry[]
}

/**
 * Reads what a client missed. Must be called in the turn in which the session joins the channel: the first live message then
 * follows the last missed one.
 * @param since the position that the client sent; absent when it subscribes for the first time
 * @param isAllowed false when a hook or the policy set `recover` to false
 */
export function recoveryOf (context: HandlerContext, session: Session, channel: string, route: ChannelRoute, since: string | undefined, isAllowed: boolean): Recovery {
  const recover = route.recover!
  let page: BrokerHistoryPage
  try {
    page = context.exchange.missed(channel, since, route.history!, recover.limit + 1)
  } catch (err) {
    context.monitor.warn(err, session.log)
    return { status: since === undefined ? {} : { recovered: false, reason: 'unknown' }, missed: [] }
  }
  if (since === undefined) return { status: { pos: positionText(page.top) }, missed: [] }
  const reason = isAllowed ? page.gap ?? limitOf(session, channel, page.entries, recover) : 'refused'
  if (reason !== null) return { status: { pos: positionText(page.top), recovered: false, reason }, missed: [] }
  return { status: { pos: since, recovered: true, count: page.entries.length }, missed: page.entries }
}

/** `'limit'` when the messages are more than the channel's limits allow, more than the connection has room for, or asked for too often. */
function limitOf (session: Session, channel: string, entries: readonly BrokerHistoryEntry[], { limit, bytes }: NonNullable<ChannelRoute['recover']>): ScHistoryGap | null {
  if (entries.length === 0) return null
  const total = entries.reduce((sum, { data }) => sum + Buffer.byteLength(data), 0)
  if (entries.length > limit || total > bytes) return 'limit'
  if (!session.connection.hasRoom(total + entries.length * (envelopeBytes + channel.length * 3))) return 'limit'
  const { subscriptions, lastSeen } = session
  subscriptions.recoveries ??= new TokenBucket(recoveryRate, Math.max(recoveryBurst, session.host.options.socketChannelLimit), lastSeen)
  return subscriptions.recoveries.take(lastSeen) === 0 ? null : 'limit'
}
