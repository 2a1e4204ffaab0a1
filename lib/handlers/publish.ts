import type { EventPacket } from '../../types/protocol.js'
import type { PublishInRequest } from '../../types/hooks.js'
import type { ChannelPolicy, Checked, HookLists, ResolvedChannel } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import { scError } from '../errors.js'
import { runHooks } from '../lifecycle/run.js'
import { channelNameError, isChannelName } from '../protocol/names.js'
import type { ServerSocket } from '../socket/socket.js'
import type { HandlerContext, PacketHandler } from './context.js'
import { fail, refuseBlocked, refuseInvalid } from './refuse.js'

/** `#publish`: `publishIn` hooks → message schema → the channel's policy → exchange → ack → the socket's `#publish` event. */
export const handlePublish: PacketHandler = (context, socket, packet, expired) => {
  const { allowClientPublish } = context.host.options
  if (!allowClientPublish) {
    refuseInvalid(context, socket, packet.cid, scError('SC_ERR_PUBLISH_DISABLED'))
    return
  }
  if (socket.state !== 'open') {
    refuseInvalid(context, socket, packet.cid, scError('SC_ERR_EVENT_NOT_ALLOWED', [packet.event]))
    return
  }
  const { channel, data } = (packet.data ?? {}) as { channel?: unknown, data?: unknown }
  if (isLegalName(context, socket, packet, channel)) socket.lanes.run(channel, () => publish(context, socket, packet, channel, data, undefined, expired, noHooks), data)
}

type PublishInHook = HookLists['publishIn'][number]

const noHooks: readonly PublishInHook[] = []

function isLegalName (context: HandlerContext, socket: ServerSocket, packet: EventPacket, channel: unknown): channel is string {
  const { maxChannelNameLength } = context.host.options
  if (isChannelName(channel, maxChannelNameLength)) return true
  refuseInvalid(context, socket, packet.cid, channelNameError(channel, maxChannelNameLength, '#publish'))
  return false
}

/**
 * Asks whether the message may go to this channel: the one that the client named, or one to which a hook sent it. Either way
 * all rules of the channel count, and all hooks of its context have run, each once.
 *
 * @param ran the hooks that saw the message on its way here
 */
function publish (context: HandlerContext, socket: ServerSocket, packet: EventPacket, channel: string, data: unknown, ackData: unknown, expired: Error | undefined, ran: readonly PublishInHook[]): void | Promise<void> {
  if (socket.state !== 'open') return
  const resolved = context.contracts.channel(channel)
  const { route } = resolved
  const refusal = resolved.error ?? (route.clientPublish ? undefined : scError('SC_ERR_CHANNEL_REFUSED', ['publish to', channel]))
  if (refusal !== undefined) {
    refuseInvalid(context, socket, packet.cid, refusal)
    return
  }
  const hooks = ran.length === 0 ? route.hooks.publishIn : route.hooks.publishIn.filter((hook) => !ran.includes(hook))
  if (hooks.length === 0) return check(context, socket, packet, resolved, channel, data, ackData, true)
  const request: PublishInRequest<ScServerSocket> = { socket, channel, data, ackData, authTokenExpiredError: expired, params: resolved.params }
  const passed = (): void | Promise<void> => {
    const message = request.data === undefined ? data : request.data
    if (request.channel === channel) return check(context, socket, packet, resolved, channel, message, request.ackData, true)
    if (!isLegalName(context, socket, packet, request.channel)) return
    return publish(context, socket, packet, request.channel, message, request.ackData, expired, [...ran, ...hooks])
  }
  const blocked = (err: unknown): void => { refuseBlocked(context, socket, 'publishIn', err, packet.cid, request.ackData) }
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
function check (context: HandlerContext, socket: ServerSocket, packet: EventPacket, resolved: ResolvedChannel, channel: string, data: unknown, ackData: unknown, ask: boolean): void | Promise<void> {
  const { validateMessage } = resolved.route
  if (validateMessage === null) return proceed(context, socket, packet, resolved, channel, data, ackData, ask)
  const next = (checked: Checked): void | Promise<void> => {
    if (checked.error === undefined) return proceed(context, socket, packet, resolved, channel, checked.value, ackData, ask)
    refuseInvalid(context, socket, packet.cid, checked.error)
  }
  const checked = validateMessage(data)
  if (checked instanceof Promise) return checked.then(next)
  return next(checked)
}

function proceed (context: HandlerContext, socket: ServerSocket, packet: EventPacket, resolved: ResolvedChannel, channel: string, data: unknown, ackData: unknown, ask: boolean): void | Promise<void> {
  return ask && resolved.route.publish !== null
    ? authorize(context, socket, packet, resolved, resolved.route.publish, channel, data, ackData)
    : send(context, socket, packet, channel, data, ackData)
}

function authorize (context: HandlerContext, socket: ServerSocket, packet: EventPacket, resolved: ResolvedChannel, policy: ChannelPolicy, channel: string, data: unknown, ackData: unknown): void | Promise<void> {
  const { route, params } = resolved
  const request = { socket, channel, params, data }
  const blocked = (err: unknown): void => { refuseBlocked(context, socket, 'publishIn', err, packet.cid, ackData) }
  // What the policy assigned is a message that nobody has checked.
  const passed = (): void | Promise<void> => request.data === data
    ? send(context, socket, packet, channel, data, ackData)
    : check(context, socket, packet, resolved, channel, request.data, ackData, false)
  try {
    const running = runHooks('publish policy', [policy], route.instance, request, context.deadlines.hooks)
    if (running !== undefined) return running.then(passed, blocked)
  } catch (err) {
    blocked(err)
    return
  }
  return passed()
}

function send (context: HandlerContext, socket: ServerSocket, packet: EventPacket, channel: string, data: unknown, ackData: unknown): void | Promise<void> {
  if (socket.state !== 'open') return
  const failed = (err: unknown): void => {
    fail(socket, packet.cid, err, 'thrown', undefined, ackData)
  }
  try {
    const published = context.exchange.publishChecked(channel, data)
    if (published !== undefined) return published.then(() => accepted(socket, packet, channel, data, ackData), failed)
  } catch (err) {
    failed(err)
    return
  }
  accepted(socket, packet, channel, data, ackData)
}

function accepted (socket: ServerSocket, packet: EventPacket, channel: string, data: unknown, ackData: unknown): void {
  if (packet.cid !== undefined) socket.sendAck(packet.cid, ackData)
  if (!socket.hasListeners('#publish')) return
  socket.fireWire('#publish', { channel, data })
}
