import type { ScChannelContext } from '../../types/contracts.js'
import type { EventPacket } from '../../types/protocol.js'
import type { ResolvedChannel } from '../../types/routes.js'
import { scError } from '../errors.js'
import { decide, runHooks } from '../lifecycle/run.js'
import { dataText } from '../presence/present-user.js'
import { promiseOf } from '../promises.js'
import { channelNameError, isChannelName } from '../protocol/names.js'
import type { Session } from '../socket/session.js'
import type { HandlerContext, PacketHandler } from './context.js'
import { fail, refuseBlocked, refuseInvalid } from './error-answers.js'

/** `#presence`: a client changes the data of its own user in a channel, if the declaration allows it. */
export const handlePresence: PacketHandler = (context, session, packet) => {
  if (session.state !== 'open') {
    refuseInvalid(context, session, packet.cid, scError('SC_ERR_EVENT_NOT_ALLOWED', [packet.event]))
    return
  }
  const { channel, data } = (packet.data ?? {}) as { channel?: unknown, data?: unknown }
  const { maxChannelNameLength } = context.host.options
  if (!isChannelName(channel, maxChannelNameLength)) {
    refuseInvalid(context, session, packet.cid, channelNameError(channel, maxChannelNameLength, '#presence'))
    return
  }
  session.queue.run(channel, () => update(context, session, packet, channel, data), packet.data)
}

function update (context: HandlerContext, session: Session, packet: EventPacket, channel: string, data: unknown): void | Promise<void> {
  if (session.state !== 'open') return
  const resolved = context.contracts.channel(channel)
  const { route: { instance, presence }, params } = resolved
  const refuse = (error: Error): void => refuseInvalid(context, session, packet.cid, error)
  if (resolved.error !== undefined) return refuse(resolved.error)
  if (presence === null) return refuse(scError('SC_ERR_NO_PRESENCE', [channel]))
  const { update: policy } = presence
  if (policy === false) return refuse(scError('SC_ERR_CHANNEL_REFUSED', ['change their presence in', channel]))
  if (!session.subscriptions.has(channel)) return refuse(scError('SC_ERR_NOT_PRESENT', [channel]))
  if (typeof policy === 'boolean') return set(context, session, packet, channel, resolved, data)
  const request: ScChannelContext = { socket: session.socket, channel, params, data }
  const ask = (): void | Promise<void> => {
    const answer = policy.call(instance, request)
    const running = promiseOf(answer)
    if (running !== undefined) return running.then((value) => { if (value !== undefined) request.data = value })
    if (answer !== undefined) request.data = answer
  }
  return decide(
    () => runHooks('presence policy', [ask], instance, request, context.deadlines.hooks),
    () => set(context, session, packet, channel, resolved, request.data),
    (thrown) => { refuseBlocked(context, session, packet.cid, { line: 'publishIn', thrown, channel }) }
  )
}

function set (context: HandlerContext, session: Session, packet: EventPacket, channel: string, resolved: ResolvedChannel, data: unknown): void {
  // The policy may have taken time.
  if (session.state !== 'open') return
  try {
    if (!session.subscriptions.has(channel)) throw scError('SC_ERR_NOT_PRESENT', [channel])
    context.presence.update(session, channel, resolved, dataText(data))
  } catch (err) {
    fail(context, session, packet.cid, err, 'own')
    return
  }
  if (packet.cid !== undefined) session.outbound.ack(packet.cid, undefined)
}
