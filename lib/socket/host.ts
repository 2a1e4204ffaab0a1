import type { FastifyBaseLogger } from 'fastify'
import type { ScSignOptions } from '../../types/auth.js'
import type { ScExchange } from '../../types/exchange.js'
import type { ResolvedOptions, SlowConsumerPolicy } from '../../types/options.js'
import type { CodecEngine } from '../../types/protocol.js'
import type { ScServer, ServerEvents } from '../../types/server.js'
import type { Deadlines } from '../deadlines.js'
import type { FailureKind } from '../log.js'

/** What a socket needs of the server. `Socket` is the socket class, so that this file imports nothing above it. */
export interface SocketHost<Socket> {
  readonly server: ScServer
  readonly options: ResolvedOptions
  readonly exchange: ScExchange
  /** Who of this process is in which channel. */
  readonly hub: { leave (channel: string, subscriber: Socket): void }
  readonly codec: CodecEngine
  /** Whether the codec is the default one, so that packets may be written as text around encoded payloads. */
  readonly plainJson: boolean
  readonly ackDeadlines: Deadlines
  /** Emits an event of the server. */
  fire<E extends keyof ServerEvents> (event: E, ...args: ServerEvents[E]): void
  /** Emits a `warning` and writes a log line, at a level that fits the error. */
  warn (err: unknown, log: FastifyBaseLogger, kind?: FailureKind): void
  /** Ends a socket whose code threw where nobody could catch it, and counts and logs that. Never throws. */
  fault (socket: Socket, err: unknown): void
  /**
   * Signs a token for a socket and sends it. Settles when the client stored it, or with why it could not be delivered.
   * Rejects when the claims are no good or cannot be signed.
   */
  setAuthToken (socket: Socket, claims: object, options: ScSignOptions): Promise<Error | null>
  /** A socket's token is another one now, or gone: its end has to be watched, or no more. */
  tokenChanged (socket: Socket): void
  /** Holds back what the old authorization of a socket allowed; `revalidate` must follow. */
  withhold (socket: Socket): void
  /** Checks a socket's subscriptions again because its authorization changed. */
  revalidate (socket: Socket): void
  /** There is no room for what is published to a socket, before it is queued. */
  overrun (socket: Socket, policy: SlowConsumerPolicy): void
  /** Forgets a closed socket: its subscriptions, its place among the clients. */
  release (socket: Socket, code: number): void
}
