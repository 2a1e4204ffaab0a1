import { isSendableCloseCode } from '../protocol/close-codes.js'
import type { PacketHandler } from './context.js'

/** `#disconnect`: a client of protocol version 1 announces its close code. A code that must not be sent counts as 1000. */
export const handleDisconnect: PacketHandler = (_context, session, packet) => {
  const { code, data } = (typeof packet.data === 'object' && packet.data !== null ? packet.data : {}) as { code?: unknown, data?: unknown }
  session.end(isSendableCloseCode(code) ? code : 1000, data)
}
