import type { EventPacket } from '../../types/protocol.js'
import type { PublishInRequest } from '../../types/hooks.js'
import type { Checked, ResolvedChannel } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import { scError } from '../errors.js'
import { runHooks } from '../lifecycle/run.js'
import { isThenable } from '../promises.js'
import { channelNameError, isChannelName } from '../protocol/names.js'
import type { ServerSocket } from '../socket/socket.js'
import type { HandlerContext, PacketHandler } from './context.js'
import { fail, refuseBlocked, refuseInvalid } from './refuse.js'

/** `#publish`: `publishIn` hooks → message schema → the channel's policy → exchange → ack → the socket's `#publish` event. */
export const handlePublish: PacketHandler = (context, socket, packet, expired) => {
  const { allowClientPublish, maxChannelNameLength } = context.host.options
  if (!allowClientPublish) {
    refuseInvalid(context, socket, packet.cid, scError('SC_ERR_PUBLISH_DISABLED'))
    return
  }
  if (socket.state !== 'open') {
    refuseInvalid(context, socket, packet.cid, scError('SC_ERR_EVENT_NOT_ALLOWED', [packet.event]))
    return
  }
  const { channel, data } = (packet.data ?? {}) as { channel?: unknown, data?: unknown }
  if (!isChannelName(channel, maxChannelNameLength)) {
    refuseInvalid(context, socket, packet.cid, channelNameError(channel, maxChannelNameLength, '#publish'))
    return
  }
  socket.lanes.run(channel, () => publish(context, socket, packet, channel, data, expired))
}

function publish (context: HandlerContext, socket: ServerSocket, packet: EventPacket, channel: string, data: unknown, expired: Error | undefined): void | Promise<void> {
  if (socket.state !== 'open') return
  const resolved = context.contracts.channel(channel)
  const { route } = resolved
  const refusal = resolved.error ?? (route.clientPublish ? undefined : scError('SC_ERR_CHANNEL_REFUSED', ['publish to', channel]))
  if (refusal !== undefined) {
    refuseInvalid(context, socket, packet.cid, refusal)
    return
  }
  const hooks = route.hooks.publishIn
  if (hooks.length === 0) return check(context, socket, packet, resolved, channel, data, undefined)
  const request: PublishInRequest<ScServerSocket> = { socket, channel, data, ackData: undefined, authTokenExpiredError: expired, params: resolved.params }
  const passed = (): void | Promise<void> => redirect(context, socket, packet, resolved, channel, data, request)
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

/** A hook may have sent the message to another channel, whose own rules count then; hooks do not run again. */
function redirect (context: HandlerContext, socket: ServerSocket, packet: EventPacket, resolved: ResolvedChannel, channel: string, data: unknown, request: PublishInRequest<ScServerSocket>): void | Promise<void> {
  if (socket.state !== 'open') return
  const message = request.data === undefined ? data : request.data
  if (request.channel === channel) return check(context, socket, packet, resolved, channel, message, request.ackData)
  const { maxChannelNameLength } = context.host.options
  if (!isChannelName(request.channel, maxChannelNameLength)) {
    refuseInvalid(context, socket, packet.cid, channelNameError(request.channel, maxChannelNameLength, '#publish'))
    return
  }
  return check(context, socket, packet, context.contracts.channel(request.channel), request.channel, message, request.ackData)
}

function check (context: HandlerContext, socket: ServerSocket, packet: EventPacket, resolved: ResolvedChannel, channel: string, data: unknown, ackData: unknown): void | Promise<void> {
  const { validateMessage } = resolved.route
  if (validateMessage === null) return authorize(context, socket, packet, resolved, channel, data, ackData)
  const next = (checked: Checked): void | Promise<void> => {
    if (checked.error === undefined) return authorize(context, socket, packet, resolved, channel, checked.value, ackData)
    refuseInvalid(context, socket, packet.cid, checked.error)
  }
  const checked = validateMessage(data)
  return isThenable(checked) ? (checked as Promise<Checked>).then(next) : next(checked as Checked)
}

function authorize (context: HandlerContext, socket: ServerSocket, packet: EventPacket, resolved: ResolvedChannel, channel: string, data: unknown, ackData: unknown): void | Promise<void> {
  const { route, params } = resolved
  if (route.publish === null) return send(context, socket, packet, channel, data, ackData)
  const request = { socket, channel, params, data }
  const blocked = (err: unknown): void => { refuseBlocked(context, socket, 'publishIn', err, packet.cid, ackData) }
  const passed = (): void | Promise<void> => send(context, socket, packet, channel, request.data, ackData)
  try {
    const running = runHooks('publish policy', [route.publish], route.instance, request, context.deadlines.hooks)
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
    fail(socket, packet.cid, err, 'deliberate', ackData)
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
