import { type ServerOptions, WebSocketServer } from 'ws'
import type { ResolvedOptions } from '../../types/options.js'
import { negotiation } from './deflate.js'

/** Milliseconds for which a connection that either side ends may go on, at most: its client may not answer, or read nothing. */
const longestEnd = 2_000

/** How long a connection that either side ends may go on, in milliseconds: a client is dropped at the latest when the drain ends. */
export function endTimeout ({ closeTimeout }: Pick<ResolvedOptions, 'closeTimeout'>): number {
  return Math.min(closeTimeout, longestEnd)
}

/** Creates the ws server that upgrades the requests of one registration. It does not listen by itself. */
export function createWebSocketServer (resolved: ResolvedOptions): WebSocketServer {
  const { maxPayload, perMessageDeflate } = resolved
  // Some options are missing in the type declarations of ws.
  const options = {
    noServer: true,
    maxPayload,
    perMessageDeflate: negotiation(perMessageDeflate),
    // For a client that does not answer a close frame.
    closeTimeout: endTimeout(resolved),
    maxFragments: 256,
    maxBufferedChunks: 4_096
  }
  return new WebSocketServer(options as ServerOptions)
}
