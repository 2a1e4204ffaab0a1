import type { FastifyRequest } from 'fastify'
import type { BrokerState } from './broker.js'
import type { ScHistoryGap } from './history.js'
import type { MiddlewareLine } from './hooks.js'
import type { ScServerSocket } from './server.js'

/** The message of `sc:action:blocked`: a hook, a middleware or a policy blocked an action. */
export interface ScBlockedMessage {
  /**
   * The socket that requested the action; for `publishOut` the recipient. `null` for `handshakeWS`, which runs before there is a
   * socket.
   */
  readonly socket: ScServerSocket | null
  /** The request of the upgrade. Not enumerable, because it contains headers. */
  readonly request: FastifyRequest
  /** The line of the hook, or the line that the policy belongs to. `request` when a Fastify hook blocked an event. */
  readonly line: MiddlewareLine | 'preHandler' | 'request'
  /** The value that was thrown or passed to `next`; for a silent block the error that the client receives. */
  readonly error: unknown
  /**
   * The name of the hook's function (`anonymous` without one), or of the policy, such as `publish policy`. Absent when no hook
   * decided.
   */
  readonly hook?: string
  /** The index of the hook in its list, from 0. Absent for a policy. */
  readonly index?: number
  /** The channel of the action. */
  readonly channel?: string
  /** The event of the action. */
  readonly event?: string
  /**
   * Milliseconds from the start of the first hook of the list, or of the policy, to the block. Absent for actions that began
   * before the diagnostics channel had a subscriber.
   */
  readonly duration?: number
}

/** The messages published through `node:diagnostics_channel`, by channel name. */
export interface ScDiagnostics {
  /** A handshake succeeded. */
  'sc:socket:connect': { readonly socket: ScServerSocket }
  /** A connection was refused by a limit or by the connection rate. */
  'sc:upgrade:refused': { readonly address: string, readonly error: Error }
  /** A connection ended. */
  'sc:socket:close': { readonly socket: ScServerSocket, readonly code: number }
  /** The server received a message. */
  'sc:socket:message': { readonly socket: ScServerSocket, readonly bytes: number }
  /** Code that ran for a socket threw an error that nothing else catches. The server closes the socket with 1011. */
  'sc:socket:fault': { readonly socket: ScServerSocket, readonly error: unknown }
  /** The backlog of a socket exceeded its limit. */
  'sc:socket:slow': { readonly socket: ScServerSocket, readonly bufferedBytes: number, readonly policy: string }
  /** A hook, a middleware or a policy blocked an action. */
  'sc:action:blocked': ScBlockedMessage
  /** A message violated the protocol or a limit. */
  'sc:action:invalid': { readonly socket: ScServerSocket, readonly error: Error }
  /** A socket exceeded its message rate. */
  'sc:action:rate-limited': { readonly socket: ScServerSocket, /** Milliseconds. */ readonly retryAfter: number }
  /** A publication is about to be delivered to the subscribers of this process. */
  'sc:publish': { readonly channel: string, readonly bytes: number }
  /**
   * A client that came back received what it missed (`recovered: true`), or a client was told that messages may be missing on a
   * channel with `recover`. `count` is the number of missed messages that it received.
   */
  'sc:recovery': { readonly socket: ScServerSocket, readonly channel: string, readonly recovered: boolean, readonly count: number, readonly reason: ScHistoryGap | null }
  /** The broker's engine became reachable or unreachable. */
  'sc:broker:state': { readonly state: BrokerState, readonly cause: Error | undefined }
}
