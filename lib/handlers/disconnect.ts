import { isSendableCloseCode } from '../protocol/close-codes.js'
import type { PacketHandler } from './context.js'

/** `#disconnect`: a version 1 client says why it is about to close. A code that nobody may send counts as an ordinary close. */
export const handleDisconnect: PacketHandler = (_context, session, packet) => {
  const { code, data } = (typeof packet.data === 'object' && packet.data !== null ? packet.data : {}) as { code?: unknown, data?: unknown }
  session.end(isSendableCloseCode(code) ? code : 1000, data)
}
