import type { MaybePromise } from '../../types/broker.js'
import type { CallId, EventPacket } from '../../types/protocol.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { SubscriptionOptions } from '../../types/server.js'
import type { HistoryRights } from '../broker/history-from.js'
import { scError } from '../errors.js'
import type { Preparation } from '../exchange/hub-host.js'
import { preparationOf } from '../exchange/preparation.js'
import { decide } from '../lifecycle/run.js'
import { memorySize } from '../memory-size.js'
import { channelNameError, isChannelName } from '../protocol/names.js'
import type { Session } from '../socket/session.js'
import { messageOf } from '../untrusted.js'
import { isGuarded } from './authorization.js'
import type { HandlerContext, PacketHandler } from './context.js'
import { refuse, refuseBlocked, refuseInvalid } from './error-answers.js'
import { type Joining, Refused, authorize, authorizeAgain } from './joining.js'
import { type HistoryRequest, type Recovery, newestWanted, recoveryOf } from './recovery.js'
import { badRewind, notBoolean, notText } from './subscribe-options.js'

/** Maximum bytes of memory for the `data` of all guarded subscriptions of a socket. */
const maxSubscriptionData = 32_768

/** `#subscribe`: `subscribe` hooks → subscribe policy of the channel → broker → events → ack. */
export const handleSubscribe: PacketHandler = (context, session, packet, expired) => {
  // A bare channel name is turned into the same form, so that it passes the same checks.
  const { channel, waitForAuth, data, batch, since, rewind } = (typeof packet.data === 'object' && packet.data !== null ? packet.data : { channel: packet.data }) as Partial<SubscriptionOptions> & { since?: unknown, rewind?: unknown }
  if (session.state !== 'open') {
    refuseInvalid(context, session, packet.cid, scError('SC_ERR_EVENT_NOT_ALLOWED', [packet.event]))
    return
  }
  const { maxChannelNameLength } = context.host.options
  if (!isChannelName(channel, maxChannelNameLength)) {
    refuseInvalid(context, session, packet.cid, channelNameError(channel, maxChannelNameLength, '#subscribe'))
    return
  }
  const mistaken = notBoolean('waitForAuth', waitForAuth) ?? notBoolean('batch', batch) ?? notText('since', since)
  if (mistaken !== undefined) {
    refuseInvalid(context, session, packet.cid, mistaken)
    return
  }
  const options: SubscriptionOptions = { channel }
  if (waitForAuth !== undefined && waitForAuth !== null) options.waitForAuth = waitForAuth
  if (data !== undefined) options.data = data
  if (batch !== undefined && batch !== null) options.batch = batch
  const joining: Joining = {
    cid: packet.cid,
    channel,
    options,
    since: since as string | null | undefined ?? undefined,
    rewind,
    rights: null,
    request: null,
    found: null,
    turn: 0,
    askedAgain: 0,
    wait: null,
    isOver: false,
    refuse (error) {
      joining.isOver = true
      refuse(context, session, packet.cid, error, 'deliberate')
      joining.wait?.end('left')
    }
  }
  session.queue.run(channel, () => begin(context, session, packet, joining, expired), packet.data)
}

/** Subscribes. Until it is decided, others may refuse it. */
function begin (context: HandlerContext, session: Session, packet: EventPacket, joining: Joining, expired: Error | undefined): void | Promise<void> {
  const { subscriptions } = session
  subscriptions.pending.add(joining)
  let running: MaybePromise<void> | null = null
  try {
    running = subscribe(context, session, packet, joining, expired)
  } finally {
    // Also when it throws.
    if (running === undefined || running === null) subscriptions.pending.delete(joining.channel)
  }
  return running?.finally(() => subscriptions.pending.delete(joining.channel))
}

function subscribe (context: HandlerContext, session: Session, packet: EventPacket, joining: Joining, expired: Error | undefined): void | Promise<void> {
  if (session.state !== 'open') return
  const { options } = joining
  const { channel } = options
  if (options.waitForAuth === true && expired !== undefined) {
    refuse(context, session, packet.cid, expired, 'deliberate')
    return
  }
  const resolved = context.contracts.channel(channel)
  const refusal = limitReached(context, session, channel) ?? dataTooLarge(session, options, resolved) ?? resolved.error ??
    (resolved.route.clientSubscribe ? badRewind(joining.rewind, resolved) : scError('SC_ERR_CHANNEL_REFUSED', ['subscribe to', channel]))
  if (refusal !== undefined) {
    refuseInvalid(context, session, packet.cid, refusal)
    return
  }
  return decide(() => authorize(context, session, joining, resolved, expired), () => join(context, session, joining), (thrown) => blocked(context, session, joining, thrown))
}

function blocked (context: HandlerContext, session: Session, { cid, options: { channel }, isOver }: Joining, thrown: unknown): void {
  if (!isOver) refuseBlocked(context, session, cid, { line: 'subscribe', thrown, channel })
}

/** Answers a subscription that was refused after the broker was asked. */
function refused (context: HandlerContext, session: Session, joining: Joining, { reason, isLimit }: Refused): void {
  if (!isLimit) blocked(context, session, joining, reason)
  else if (!joining.isOver) refuseInvalid(context, session, joining.cid, reason as Error)
}

/** Returns an error at the channel limit. A channel that the socket is already subscribed to does not count again. */
function limitReached (context: HandlerContext, session: Session, channel: string): Error | undefined {
  const { socketChannelLimit } = context.host.options
  if (socketChannelLimit === 0 || session.subscriptions.size + session.subscriptions.joining < socketChannelLimit || session.subscriptions.has(channel)) return
  return scError('SC_ERR_CHANNEL_LIMIT', [socketChannelLimit])
}

/** Whether a channel is declared with presence, or tells who is in such a channel. */
export function concernsPresence ({ route }: ResolvedChannel): boolean {
  return route.presence !== null || route.isCompanion
}

/**
 * Returns an error when the data of guarded subscriptions take too much memory. The data are stored to show them to the hooks
 * again.
 */
function dataTooLarge (session: Session, options: SubscriptionOptions, resolved: ResolvedChannel): Error | undefined {
  if (options.data === undefined || !isGuarded(options, resolved)) return
  if (session.subscriptions.dataBytes + memorySize(options.data) > maxSubscriptionData) return scError('SC_ERR_SUBSCRIBE_DATA', [maxSubscriptionData])
}

function join (context: HandlerContext, session: Session, joining: Joining): void | Promise<void> {
  const { cid, options } = joining
  const { channel } = options
  if (session.state !== 'open' || joining.isOver) return
  if (session.subscriptions.has(channel)) {
    acknowledge(session, cid, options)
    return
  }
  // Checked again, because hooks of several channels may have run at the same time.
  const refusal = limitReached(context, session, channel)
  if (refusal !== undefined) {
    refuseInvalid(context, session, cid, refusal)
    return
  }
  return ask(context, session, joining)
}

/** Asks the hub to join the channel. */
function ask (context: HandlerContext, session: Session, joining: Joining): void | Promise<void> {
  const { options } = joining
  const { channel } = options
  const { subscriptions } = session
  const resolved = context.contracts.channel(channel)
  const makePreparation = (): Preparation => {
    const { request } = joining
    return request === null ? null : preparationOf(context.hub, channel, resolved, { since: request.refusal === null ? request.since : undefined, newest: newestWanted(request, resolved) }, (found) => { joining.found = found })
  }
  let preparation = makePreparation()
  let isAsking = false
  let hasEntered = false
  const prepare = (): MaybePromise<void> => {
    if (joining.isOver || session.state !== 'open') throw new Refused(null)
    for (;;) {
      const again = authorizeAgain(context, session, joining, resolved)
      if (again === undefined) break
      preparation = makePreparation()
      if (again !== true) return again.then(() => { preparation = makePreparation() })
    }
    // Hooks may have assigned other data each time, and other channels may have begun meanwhile.
    const tooLarge = dataTooLarge(session, options, resolved)
    if (tooLarge !== undefined) throw new Refused(tooLarge, true)
    return preparation?.()
  }
  const joined = context.hub.join(channel, resolved, session, () => {
    hasEntered = true
    if (isAsking) subscriptions.joining--
    if (joining.wait !== null) context.brokerWaits.done(joining.wait)
    // The socket closed while the broker was asked, or the subscription was refused: it must not start.
    if (session.state !== 'open' || joining.isOver) context.hub.leave(channel, session)
    else subscribed(context, session, joining)
  }, prepare)
  if (joined === undefined) return
  isAsking = true
  subscriptions.joining++
  return joined.catch((err: unknown) => {
    // An error of the subscription's own events is not a failure of the broker.
    if (hasEntered) throw err
    const isDown = !joining.isOver && (err as { code?: unknown } | null)?.code === 'SC_ERR_BROKER_DOWN'
    if (isDown) joining.wait ??= context.brokerWaits.begin(session, channel)
    const { wait } = joining
    if (!isDown || wait === null) {
      subscriptions.joining--
      if (wait !== null) context.brokerWaits.done(wait)
      if (!(err instanceof Refused)) failed(session, joining, err, false)
      else if (session.state === 'open') refused(context, session, joining, err)
      return
    }
    // The subscription counts towards the channel limit while it waits.
    return wait.untilUp().then((why) => {
      subscriptions.joining--
      if (why === 'up') return ask(context, session, joining)
      context.brokerWaits.done(wait)
      if (why !== 'closed') failed(session, joining, err, why === 'left')
    })
  })
}

/** Answers a failed subscription. @param left whether the client unsubscribed: then no error is emitted */
function failed (session: Session, { cid, channel, isOver }: Joining, err: unknown, left: boolean): void {
  if (isOver) return
  const error = left ? scError('SC_ERR_UNSUBSCRIBED', [channel]) : scError('SC_ERR_SUBSCRIBE', [channel, messageOf(err)], { cause: err })
  if (!left) session.emitError(error)
  if (cid !== undefined) session.outbound.errorAck(cid, error)
}

function subscribed (context: HandlerContext, session: Session, joining: Joining): void {
  const { cid, options } = joining
  const { channel } = options
  const resolved = context.contracts.channel(channel)
  const { subscriptions } = session
  subscriptions.pending.delete(channel)
  // Runs before the events: messages that their listeners publish follow the missed ones.
  const recovery = joining.request === null ? null : acknowledgeRecovery(context, session, joining, joining.request, resolved)
  // The answer found the backlog full, so the socket was closed.
  if (session.state !== 'open') {
    context.hub.leave(channel, session)
    return
  }
  subscriptions.join(isGuarded(options, resolved) ? options : { channel }, joining.request === null ? undefined : { rights: rightsAtJoin(joining), reached: joining.found?.top ?? null })
  // Whether the authorization changed since the hooks ran, so that their decision is outdated.
  const changed = subscriptions.turn !== joining.turn
  if (changed) context.host.withhold(session)
  if (recovery !== null) {
    if (recovery.before !== null) {
      if (context.hub.isHooked(resolved)) subscriptions.beginReplay(channel)
      context.hub.replay.all(session, channel, resolved, recovery.messages, recovery.before)
    }
    report(context, session, channel, recovery)
  }
  session.fireLocal('subscribe', channel, options)
  context.host.fire('subscription', session.socket, channel, options)
  if (recovery === null) acknowledge(session, cid, options)
  if (concernsPresence(resolved)) context.presence.subscribed(session, channel, resolved)
  if (changed) context.host.revalidate(session)
}

/** A client that may have nothing of the history may have what is published from now on. */
function rightsAtJoin ({ rights, found }: Joining): HistoryRights {
  return rights === 'none' && found !== null ? found.top : rights
}

/** Acknowledges a subscription to a channel with `recover`. */
function acknowledgeRecovery (context: HandlerContext, session: Session, { cid, options: { channel }, found }: Joining, request: HistoryRequest, resolved: ResolvedChannel): Recovery {
  const recovery = recoveryOf(session, channel, resolved, context.hub.isHooked(resolved), request, found)
  if (cid !== undefined) session.outbound.ack(cid, recovery.status)
  return recovery
}

function report ({ monitor }: HandlerContext, session: Session, channel: string, { status, messages }: Recovery): void {
  if (status.recovered === true) monitor.recovered(session, channel, messages.length)
  else if (status.recovered === false) monitor.notRecovered(session, channel, status.reason!)
}

function acknowledge (session: Session, cid: CallId | undefined, options: SubscriptionOptions): void {
  if (cid === undefined) return
  if (options.batch === true) session.outbound.packet({ rid: cid }, true)
  else session.outbound.ack(cid, undefined)
}
