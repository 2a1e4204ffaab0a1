import type { FastifyBaseLogger } from 'fastify'
import type { ScSignOptions } from '../../types/auth.js'
import type { ScExchange } from '../../types/exchange.js'
import type { ResolvedOptions, SlowConsumerPolicy } from '../../types/options.js'
import type { ScSocketPresence } from '../../types/presence.js'
import type { CodecEngine } from '../../types/protocol.js'
import type { ScServer, ServerEvents } from '../../types/server.js'
import type { Deadlines } from '../deadlines.js'
import type { FailureKind } from '../log.js'

/**
 * The part of the server that a socket uses. `Socket` is the socket class, as a type parameter, so that this file imports nothing
 * from a higher layer.
 */
export interface SocketHost<Socket> {
  readonly server: ScServer
  readonly options: ResolvedOptions
  readonly exchange: ScExchange
  /** The channel members of this process. */
  readonly hub: { readonly serial: number, leave (channel: string, subscriber: Socket): void }
  readonly codec: CodecEngine
  /** Whether the codec is the default one: packets can then be assembled as text around encoded payloads. */
  readonly plainJson: boolean
  readonly ackDeadlines: Deadlines
  /** Emits an event of the server. */
  fire<E extends keyof ServerEvents> (event: E, ...args: ServerEvents[E]): void
  /** Emits a `warning` and writes a log line, at a level that fits the error. */
  warn (err: unknown, log: FastifyBaseLogger, kind?: FailureKind): void
  /** Whether a warning about a client's mistake would reach a listener or this log. */
  hears (log: FastifyBaseLogger): boolean
  /** Ends a socket after an uncaught error of code that ran for it; counts and logs the error. Never throws. */
  fault (socket: Socket, err: unknown): void
  /**
   * Signs a token for a socket and sends it to the client. Resolves with null when the client stored it, or with the error of the
   * delivery. Rejects when the claims are invalid or cannot be signed.
   */
  setAuthToken (socket: Socket, claims: object, options: ScSignOptions): Promise<Error | null>
  /** The token was replaced or removed: reschedules or cancels its expiry. */
  tokenChanged (socket: Socket): void
  /** Withholds messages of guarded channels that the old authorization allowed. `revalidate` must follow. */
  withhold (socket: Socket): void
  /** Checks the subscriptions of a socket again because its authorization changed. */
  revalidate (socket: Socket): void
  /** Returns the presence of a socket in a channel. */
  presenceOf (socket: Socket, channel: string): ScSocketPresence
  /** Applies `policy` to a publication that does not fit in the backlog of a socket, before it is queued. */
  overrun (socket: Socket, policy: SlowConsumerPolicy): void
  /** Delivers what a socket lags behind on a channel, from the history of the channel. Never throws. */
  catchUp (socket: Socket, channel: string): void
  /** Removes a closed socket from its channels and from the clients. */
  release (socket: Socket, code: number): void
}
