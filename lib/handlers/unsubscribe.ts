import { scError } from '../errors.js'
import { channelNameError, isChannelName } from '../protocol/names.js'
import type { PacketHandler } from './context.js'
import { refuseInvalid } from './refuse.js'

/** `#unsubscribe`: takes effect after the actions on the same channel that came before it. */
export const handleUnsubscribe: PacketHandler = (context, socket, packet) => {
  const channel: unknown = typeof packet.data === 'object' && packet.data !== null ? (packet.data as { channel?: unknown }).channel : packet.data
  const { maxChannelNameLength } = context.host.options
  if (!isChannelName(channel, maxChannelNameLength)) {
    refuseInvalid(context, socket, packet.cid, channelNameError(channel, maxChannelNameLength, '#unsubscribe'))
    return
  }
  // A subscription that waits for the broker has no reason to any more.
  const waits = socket.lanes.isBusy(channel)
  if (waits) context.brokerWaits.leaving(socket, channel)
  socket.lanes.run(channel, () => {
    const gaveUp = waits && context.brokerWaits.left(socket, channel)
    if (socket.state !== 'open') return
    if (gaveUp && !socket.subscribed.has(channel)) {
      if (packet.cid !== undefined) socket.sendAck(packet.cid, undefined)
      return
    }
    if (!socket.subscribed.has(channel)) {
      refuseInvalid(context, socket, packet.cid, scError('SC_ERR_NOT_SUBSCRIBED', [channel]))
      return
    }
    context.host.leave(socket, channel)
    if (packet.cid !== undefined) socket.sendAck(packet.cid, undefined)
  }, packet.data)
}
