import type { EventPacket } from '../../types/protocol.js'
import type { PublishInRequest } from '../../types/hooks.js'
import type { ChannelPolicy, Checked, HookLists, ResolvedChannel } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import { scError } from '../errors.js'
import { runHooks } from '../lifecycle/run.js'
import { channelNameError, isChannelName } from '../protocol/names.js'
import type { Session } from '../socket/session.js'
import type { HandlerContext, PacketHandler } from './context.js'
import { fail, refuseBlocked, refuseInvalid } from './refuse.js'

/** `#publish`: `publishIn` hooks → message schema → the channel's policy → exchange → ack → the socket's `#publish` event. */
export const handlePublish: PacketHandler = (context, session, packet, expired) => {
  const { allowClientPublish } = context.host.options
  if (!allowClientPublish) {
    refuseInvalid(context, session, packet.cid, scError('SC_ERR_PUBLISH_DISABLED'))
    return
  }
  if (session.state !== 'open') {
    refuseInvalid(context, session, packet.cid, scError('SC_ERR_EVENT_NOT_ALLOWED', [packet.event]))
    return
  }
  const { channel, data } = (packet.data ?? {}) as { channel?: unknown, data?: unknown }
  if (isLegalName(context, session, packet, channel)) session.lanes.run(channel, () => publish(context, session, packet, channel, data, undefined, expired, noHooks), data)
}

type PublishInHook = HookLists['publishIn'][number]

const noHooks: readonly PublishInHook[] = []

function isLegalName (context: HandlerContext, session: Session, packet: EventPacket, channel: unknown): channel is string {
  const { maxChannelNameLength } = context.host.options
  if (isChannelName(channel, maxChannelNameLength)) return true
  refuseInvalid(context, session, packet.cid, channelNameError(channel, maxChannelNameLength, '#publish'))
  return false
}

/**
 * Asks whether the message may go to this channel: the one that the client named, or one to which a hook sent it. Either way
 * all rules of the channel count, and all hooks of its context have run, each once.
 *
 * @param ran the hooks that saw the message on its way here
 */
function publish (context: HandlerContext, session: Session, packet: EventPacket, channel: string, data: unknown, ackData: unknown, expired: Error | undefined, ran: readonly PublishInHook[]): void | Promise<void> {
  if (session.state !== 'open') return
  const resolved = context.contracts.channel(channel)
  const { route } = resolved
  const refusal = resolved.error ?? (route.clientPublish ? undefined : scError('SC_ERR_CHANNEL_REFUSED', ['publish to', channel]))
  if (refusal !== undefined) {
    refuseInvalid(context, session, packet.cid, refusal)
    return
  }
  const hooks = ran.length === 0 ? route.hooks.publishIn : route.hooks.publishIn.filter((hook) => !ran.includes(hook))
  if (hooks.length === 0) return check(context, session, packet, resolved, channel, data, ackData, true)
  const request: PublishInRequest<ScServerSocket> = { socket: session.socket, channel, data, ackData, authTokenExpiredError: expired, params: resolved.params }
  const passed = (): void | Promise<void> => {
    const message = request.data === undefined ? data : request.data
    if (request.channel === channel) return check(context, session, packet, resolved, channel, message, request.ackData, true)
    if (!isLegalName(context, session, packet, request.channel)) return
    return publish(context, session, packet, request.channel, message, request.ackData, expired, [...ran, ...hooks])
  }
  const blocked = (err: unknown): void => { refuseBlocked(context, session, packet.cid, { line: 'publishIn', thrown: err, channel }, request.ackData) }
  try {
    const running = runHooks('publishIn', hooks, route.instance, request, context.deadlines.hooks)
    if (running !== undefined) return running.then(passed, blocked)
  } catch (err) {
    blocked(err)
    return
  }
  return passed()
}

/** @param ask whether the channel's policy has yet to be asked */
function check (context: HandlerContext, session: Session, packet: EventPacket, resolved: ResolvedChannel, channel: string, data: unknown, ackData: unknown, ask: boolean): void | Promise<void> {
  const { validateMessage } = resolved.route
  if (validateMessage === null) return proceed(context, session, packet, resolved, channel, data, ackData, ask)
  const next = (checked: Checked): void | Promise<void> => {
    if (checked.error === undefined) return proceed(context, session, packet, resolved, channel, checked.value, ackData, ask)
    refuseInvalid(context, session, packet.cid, checked.error)
  }
  const checked = validateMessage(data)
  if (checked instanceof Promise) return checked.then(next)
  return next(checked)
}

function proceed (context: HandlerContext, session: Session, packet: EventPacket, resolved: ResolvedChannel, channel: string, data: unknown, ackData: unknown, ask: boolean): void | Promise<void> {
  return ask && resolved.route.publish !== null
    ? authorize(context, session, packet, resolved, resolved.route.publish, channel, data, ackData)
    : send(context, session, packet, channel, data, ackData)
}

function authorize (context: HandlerContext, session: Session, packet: EventPacket, resolved: ResolvedChannel, policy: ChannelPolicy, channel: string, data: unknown, ackData: unknown): void | Promise<void> {
  const { route, params } = resolved
  const request = { socket: session.socket, channel, params, data }
  const blocked = (err: unknown): void => { refuseBlocked(context, session, packet.cid, { line: 'publishIn', thrown: err, channel }, ackData) }
  // What the policy assigned is a message that nobody has checked.
  const passed = (): void | Promise<void> => request.data === data
    ? send(context, session, packet, channel, data, ackData)
    : check(context, session, packet, resolved, channel, request.data, ackData, false)
  try {
    const running = runHooks('publish policy', [policy], route.instance, request, context.deadlines.hooks)
    if (running !== undefined) return running.then(passed, blocked)
  } catch (err) {
    blocked(err)
    return
  }
  return passed()
}

function send (context: HandlerContext, session: Session, packet: EventPacket, channel: string, data: unknown, ackData: unknown): void | Promise<void> {
  if (session.state !== 'open') return
  const failed = (err: unknown): void => {
    fail(context, session, packet.cid, err, 'thrown', undefined, ackData)
  }
  try {
    const published = context.exchange.publishChecked(channel, data)
    if (published !== undefined) return published.then(() => accepted(session, packet, channel, data, ackData), failed)
  } catch (err) {
    failed(err)
    return
  }
  accepted(session, packet, channel, data, ackData)
}

function accepted (session: Session, packet: EventPacket, channel: string, data: unknown, ackData: unknown): void {
  if (packet.cid !== undefined) session.outbound.ack(packet.cid, ackData)
  if (!session.hasListeners('#publish')) return
  session.fireWire('#publish', { channel, data })
}
