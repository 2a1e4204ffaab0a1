import { type ServerOptions, WebSocketServer } from 'ws'
import type { ResolvedOptions } from '../../types/options.js'

/** Makes the upgrades of one registration. It listens to nothing itself. */
export function createWebSocketServer ({ maxPayload, perMessageDeflate, closeTimeout }: ResolvedOptions): WebSocketServer {
  // Some options are newer than the type declarations.
  const options = {
    noServer: true,
    maxPayload,
    perMessageDeflate: perMessageDeflate === true ? safeDeflate : perMessageDeflate,
    // A client that does not answer a close frame is dropped no later than by the drain.
    closeTimeout: Math.min(closeTimeout, 2_000),
    maxFragments: 256,
    maxBufferedChunks: 4_096
  }
  return new WebSocketServer(options as ServerOptions)
}

/** Compression that cannot be made to hold much memory: no context is kept, and few messages are compressed at once. */
const safeDeflate = { threshold: 1_024, serverNoContextTakeover: true, clientNoContextTakeover: true, concurrencyLimit: 4 }
