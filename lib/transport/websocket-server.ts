import { type ServerOptions, WebSocketServer } from 'ws'
import type { ResolvedOptions } from '../../types/options.js'
import { negotiation } from './deflate.js'

/** Makes the upgrades of one registration. It listens to nothing itself. */
export function createWebSocketServer ({ maxPayload, perMessageDeflate, closeTimeout }: ResolvedOptions): WebSocketServer {
  // Some options are newer than the type declarations.
  const options = {
    noServer: true,
    maxPayload,
    perMessageDeflate: negotiation(perMessageDeflate),
    // A client that does not answer a close frame is dropped no later than by the drain.
    closeTimeout: Math.min(closeTimeout, 2_000),
    maxFragments: 256,
    maxBufferedChunks: 4_096
  }
  return new WebSocketServer(options as ServerOptions)
}
