import { type ServerOptions, WebSocketServer } from 'ws'
import type { ResolvedOptions } from '../../types/options.js'
import { negotiation } from './deflate.js'

/** Maximum milliseconds from the end of either side until the connection is dropped: its client may neither answer nor read. */
const longestEnd = 2_000

/** Milliseconds from the end of either side until the connection is dropped. Never longer than the drain (`closeTimeout`). */
export function endTimeout ({ closeTimeout }: Pick<ResolvedOptions, 'closeTimeout'>): number {
  return Math.min(closeTimeout, longestEnd)
}

/** Creates the ws server that upgrades the requests of one registration. It does not listen by itself. */
export function createWebSocketServer (resolved: ResolvedOptions): WebSocketServer {
  const { maxPayload, perMessageDeflate } = resolved
  // Some options are missing in the type declarations of ws.
  const options = {
    noServer: true,
    // The sessions are tracked already.
    clientTracking: false,
    maxPayload,
    perMessageDeflate: negotiation(perMessageDeflate),
    // Drops a client that does not answer a close frame.
    closeTimeout: endTimeout(resolved),
    maxFragments: 256,
    maxBufferedChunks: 4_096
  }
  return new WebSocketServer(options as ServerOptions)
}
