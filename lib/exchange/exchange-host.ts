import type { ScPresence } from '../../types/presence.js'
import type { ResolvedChannel } from '../../types/routes.js'

/** The part of the server that the exchange uses. */
export interface ExchangeHost {
  readonly maxChannelNameLength: number
  /** Returns what was declared for a channel. */
  resolve (channel: string): ResolvedChannel
  /** Reads which users are in a channel. */
  presence (channel: string): Promise<ScPresence>
  /** Counts the sockets in a channel, at all nodes. */
  occupancy (channel: string): Promise<number>
  warn (err: unknown): void
}
