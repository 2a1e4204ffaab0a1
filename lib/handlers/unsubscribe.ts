import { scError } from '../errors.js'
import { channelNameError, isChannelName } from '../protocol/names.js'
import type { PacketHandler } from './context.js'
import { refuseInvalid } from './error-answers.js'

/** `#unsubscribe`: takes effect after the actions on the same channel that came before it. */
export const handleUnsubscribe: PacketHandler = (context, session, packet) => {
  const channel: unknown = typeof packet.data === 'object' && packet.data !== null ? (packet.data as { channel?: unknown }).channel : packet.data
  const { maxChannelNameLength } = context.host.options
  if (!isChannelName(channel, maxChannelNameLength)) {
    refuseInvalid(context, session, packet.cid, channelNameError(channel, maxChannelNameLength, '#unsubscribe'))
    return
  }
  // A subscription that waits for the broker is given up.
  const waits = session.queue.isBusy(channel)
  if (waits) context.brokerWaits.leaving(session, channel)
  session.queue.run(channel, () => {
    const gaveUp = waits && context.brokerWaits.left(session, channel)
    if (gaveUp && !session.subscriptions.has(channel)) {
      if (packet.cid !== undefined) session.outbound.ack(packet.cid, undefined)
      return
    }
    if (!session.subscriptions.has(channel)) {
      refuseInvalid(context, session, packet.cid, scError('SC_ERR_NOT_SUBSCRIBED', [channel]))
      return
    }
    session.subscriptions.leave(channel)
    if (packet.cid !== undefined) session.outbound.ack(packet.cid, undefined)
  }, packet.data)
}
