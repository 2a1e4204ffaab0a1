import { scError } from '../errors.js'
import { isReservedEvent } from '../protocol/names.js'
import { handleAuthenticate, handleRemoveAuthToken } from './authenticate.js'
import type { PacketHandler } from './context.js'
import { handleDisconnect } from './disconnect.js'
import { handleEvent } from './event.js'
import { handleHandshake } from './handshake.js'
import { handleHistory } from './history.js'
import { handlePresence } from './presence.js'
import { handlePublish } from './publish.js'
import { refuseInvalid } from './error-answers.js'
import { handleSubscribe } from './subscribe.js'
import { handleUnsubscribe } from './unsubscribe.js'

/** The packets of the protocol. Clients may not send other events that start with `#`. */
const reserved: ReadonlyMap<string, PacketHandler> = new Map([
  ['#handshake', handleHandshake],
  ['#authenticate', handleAuthenticate],
  ['#removeAuthToken', handleRemoveAuthToken],
  ['#subscribe', handleSubscribe],
  ['#unsubscribe', handleUnsubscribe],
  ['#publish', handlePublish],
  ['#presence', handlePresence],
  ['#history', handleHistory],
  ['#disconnect', handleDisconnect]
])

/** Calls the handler of a packet. */
export const dispatch: PacketHandler = (context, session, packet, expired) => {
  if (!isReservedEvent(packet.event)) {
    handleEvent(context, session, packet, expired)
    return
  }
  const handler = reserved.get(packet.event)
  if (handler !== undefined) return handler(context, session, packet, expired)
  refuseInvalid(context, session, packet.cid, scError('SC_ERR_EVENT_NOT_ALLOWED', [packet.event]))
}
