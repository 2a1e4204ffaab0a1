import { type ServerOptions, WebSocketServer } from 'ws'
import type { ResolvedOptions } from '../../types/options.js'
import { negotiation } from './deflate.js'

/** Creates the ws server that upgrades the requests of one registration. It does not listen by itself. */
export function createWebSocketServer ({ maxPayload, perMessageDeflate, closeTimeout }: ResolvedOptions): WebSocketServer {
  // Some options are missing in the type declarations of ws.
  const options = {
    noServer: true,
    maxPayload,
    perMessageDeflate: negotiation(perMessageDeflate),
    // A client that does not answer a close frame is dropped at the latest when the drain ends.
    closeTimeout: Math.min(closeTimeout, 2_000),
    maxFragments: 256,
    maxBufferedChunks: 4_096
  }
  return new WebSocketServer(options as ServerOptions)
}
