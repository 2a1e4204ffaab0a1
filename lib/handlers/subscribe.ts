import type { CallId, EventPacket } from '../../types/protocol.js'
import type { SubscribeRequest } from '../../types/hooks.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { ScServerSocket, SubscriptionOptions } from '../../types/server.js'
import type { HistoryRights } from '../broker/history-from.js'
import { companionBase } from '../contracts/presence.js'
import { scError } from '../errors.js'
import { type Found, preparationOf } from '../exchange/preparation.js'
import { decide, runHooks } from '../lifecycle/run.js'
import { memorySize } from '../memory-size.js'
import { channelNameError, isChannelName } from '../protocol/names.js'
import type { Session } from '../socket/session.js'
import { messageOf } from '../untrusted.js'
import type { BrokerWait } from './broker-waits.js'
import type { HandlerContext, PacketHandler } from './context.js'
import { refuse, refuseBlocked, refuseInvalid } from './error-answers.js'
import { rightsOf } from './history-rights.js'
import { type HistoryRequest, type Recovery, newestWanted, recoveryOf, refusalOf } from './recovery.js'
import { badRewind, notBoolean, notText } from './subscribe-options.js'

/** Maximum bytes of memory for the `data` of all guarded subscriptions of a socket. */
const maxSubscriptionData = 32_768

/** A subscription that is being processed. */
interface Joining {
  readonly cid: CallId | undefined
  readonly options: SubscriptionOptions
  /** The position of the last message that the client has. */
  readonly since: string | undefined
  /** The number of last messages that the client wants, not checked. */
  readonly rewind: unknown
  /** What the client may have of the history of a channel with `recover`. */
  rights: HistoryRights
  /** What it asks for of that history; null on other channels. */
  request: HistoryRequest | null
  /** What was found in it; null if nothing can be read. */
  found: Found | null
  /** The turn of the session's subscriptions when the hooks were called. */
  turn: number
}

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
  const joining: Joining = { cid: packet.cid, options, since: since as string | null | undefined ?? undefined, rewind, rights: null, request: null, found: null, turn: 0 }
  session.queue.run(channel, () => subscribe(context, session, packet, joining, expired), packet.data)
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
  const request = subscribeRequest(session, options, resolved, expired, false)
  if (resolved.route.recover !== null) Object.assign(request, { since: joining.since, recover: true })
  joining.turn = session.subscriptions.turn
  const passed = (): void | Promise<void> => {
    if (request.data !== undefined && request.data !== options.data) {
      options.data = request.data
      // The data that a hook assigned are stored too.
      const tooLarge = dataTooLarge(session, options, resolved)
      if (tooLarge !== undefined) {
        refuseInvalid(context, session, packet.cid, tooLarge)
        return
      }
    }
    if (resolved.route.recover !== null) {
      try {
        joining.rights = rightsOf(request, null)
      } catch (err) {
        blocked(err)
        return
      }
      joining.request = historyRequest(session, joining, resolved.route.recover.rewind)
    }
    return join(context, session, joining)
  }
  const blocked = (thrown: unknown): void => { refuseBlocked(context, session, packet.cid, { line: 'subscribe', thrown, channel }) }
  return decide(() => authorizeSubscription(context, resolved, request), passed, blocked)
}

/** What a client asks for of the history. Takes one of its recoveries if something has to be read. @param declared the channel's `rewind` */
function historyRequest (session: Session, { since, rewind, rights }: Joining, declared: number): HistoryRequest {
  const wanted = rewind as number | null | undefined ?? declared
  const isReading = since !== undefined || wanted !== 0
  return { since, rewind: wanted, refusal: isReading ? refusalOf(session, rights !== 'none') : null, from: rights === 'none' ? null : rights }
}

/** Returns an error at the channel limit. A channel that the socket is already subscribed to does not count again. */
function limitReached (context: HandlerContext, session: Session, channel: string): Error | undefined {
  const { socketChannelLimit } = context.host.options
  if (socketChannelLimit === 0 || session.subscriptions.size + session.subscriptions.joining < socketChannelLimit || session.subscriptions.has(channel)) return
  return scError('SC_ERR_CHANNEL_LIMIT', [socketChannelLimit])
}

/** Whether `waitForAuth`, a hook or a policy decides about the subscription, now and when it is checked again. */
export function isGuarded (options: SubscriptionOptions, resolved: ResolvedChannel): boolean {
  const { route } = resolved
  return options.waitForAuth === true || route.hooks.subscribe.length !== 0 || route.subscribe !== null
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

/** Creates the request that `subscribe` hooks and policies get. */
export function subscribeRequest (session: Session, options: SubscriptionOptions, resolved: ResolvedChannel, expired: Error | undefined, revalidation: boolean): SubscribeRequest<ScServerSocket> {
  const { waitForAuth, data } = options
  // Rules by name hold for a companion as for the channel that it is about.
  const channel = resolved.route.isCompanion ? companionBase(options.channel)! : options.channel
  const request = { socket: session.socket, channel, waitForAuth, data, authTokenExpiredError: expired, revalidation, params: resolved.params }
  return resolved.route.isCompanion ? { ...request, presence: true } : request
}

/** Runs the `subscribe` hooks and the policy of a channel. Throws or rejects with the block. */
export function authorizeSubscription (context: HandlerContext, resolved: ResolvedChannel, request: SubscribeRequest<ScServerSocket>): void | Promise<void> {
  const { route } = resolved
  const running = runHooks('subscribe', route.hooks.subscribe, route.instance, request, context.deadlines.hooks)
  if (route.subscribe === null) return running
  const policy = route.subscribe
  const ask = (): void | Promise<void> => runHooks('subscribe policy', [policy], route.instance, request, context.deadlines.hooks)
  if (running === undefined) return ask()
  return running.then(ask)
}

function join (context: HandlerContext, session: Session, joining: Joining): void | Promise<void> {
  const { cid, options } = joining
  const { channel } = options
  if (session.state !== 'open') return
  if (session.subscriptions.has(channel)) {
    acknowledge(session, cid, options)
    return
  }
  // The limits are checked again, because hooks of several channels may have run at the same time.
  const refusal = limitReached(context, session, channel) ?? dataTooLarge(session, options, context.contracts.channel(channel))
  if (refusal !== undefined) {
    refuseInvalid(context, session, cid, refusal)
    return
  }
  return ask(context, session, joining, null)
}

/** Asks the hub to join the channel. @param waited the wait for the broker; null at the first attempt */
function ask (context: HandlerContext, session: Session, joining: Joining, waited: BrokerWait | null): void | Promise<void> {
  const { cid, options: { channel }, request } = joining
  const resolved = context.contracts.channel(channel)
  const prepare = request === null ? null : preparationOf(context.hub, channel, resolved, { since: request.refusal === null ? request.since : undefined, newest: newestWanted(request, resolved) }, (found) => { joining.found = found })
  let isAsking = false
  let hasEntered = false
  const joined = context.hub.join(channel, resolved, session, () => {
    hasEntered = true
    if (isAsking) session.subscriptions.joining--
    if (waited !== null) context.brokerWaits.done(waited)
    // The socket closed while the broker was asked: the subscription must not start.
    if (session.state !== 'open') context.hub.leave(channel, session)
    else subscribed(context, session, joining)
  }, prepare)
  if (joined === undefined) return
  isAsking = true
  session.subscriptions.joining++
  return joined.catch((err: unknown) => {
    // An error of the subscription's own events is not a failure of the broker.
    if (hasEntered) throw err
    const wait = (err as { code?: unknown } | null)?.code === 'SC_ERR_BROKER_DOWN' ? waited ?? context.brokerWaits.begin(session, channel) : null
    if (wait === null) {
      session.subscriptions.joining--
      if (waited !== null) context.brokerWaits.done(waited)
      failed(session, cid, channel, err, false)
      return
    }
    // The subscription counts towards the channel limit while it waits.
    return wait.untilUp().then((why) => {
      session.subscriptions.joining--
      if (why === 'up') return ask(context, session, joining, wait)
      context.brokerWaits.done(wait)
      if (why !== 'closed') failed(session, cid, channel, err, why === 'left')
    })
  })
}

/** Answers a failed subscription. @param left whether the client unsubscribed: then no error is emitted */
function failed (session: Session, cid: CallId | undefined, channel: string, err: unknown, left: boolean): void {
  const error = left ? scError('SC_ERR_UNSUBSCRIBED', [channel]) : scError('SC_ERR_SUBSCRIBE', [channel, messageOf(err)], { cause: err })
  if (!left) session.emitError(error)
  if (cid !== undefined) session.outbound.errorAck(cid, error)
}

function subscribed (context: HandlerContext, session: Session, joining: Joining): void {
  const { cid, options } = joining
  const { channel } = options
  const resolved = context.contracts.channel(channel)
  // Whether the authorization changed since the hooks ran, so that their decision is outdated.
  const changed = session.subscriptions.turn !== joining.turn
  // Runs before the events: messages that their listeners publish follow the missed ones.
  const recovery = joining.request === null ? null : acknowledgeRecovery(context, session, joining, joining.request, resolved)
  // The answer found the backlog full, so the socket was closed.
  if (session.state !== 'open') {
    context.hub.leave(channel, session)
    return
  }
  session.subscriptions.join(isGuarded(options, resolved) ? options : { channel }, joining.request === null ? undefined : { rights: rightsAtJoin(joining), reached: joining.found?.top ?? null })
  if (changed) context.host.withhold(session)
  if (recovery !== null && recovery.before !== null) {
    if (context.hub.isHooked(resolved)) session.subscriptions.beginReplay(channel)
    context.hub.replay.all(session, channel, resolved, recovery.messages, recovery.before)
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
  const { status, messages } = recovery
  if (cid !== undefined) session.outbound.ack(cid, status)
  if (status.recovered === true) context.monitor.recovered(session, channel, messages.length)
  else if (status.recovered === false) context.monitor.notRecovered(session, channel, status.reason!)
  return recovery
}

function acknowledge (session: Session, cid: CallId | undefined, options: SubscriptionOptions): void {
  if (cid === undefined) return
  if (options.batch === true) session.outbound.packet({ rid: cid }, true)
  else session.outbound.ack(cid, undefined)
}
