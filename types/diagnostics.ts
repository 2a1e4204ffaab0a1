import type { FastifyRequest } from 'fastify'
import type { BrokerState } from './broker.js'
import type { MiddlewareLine } from './hooks.js'
import type { ScServerSocket } from './server.js'

/** `sc:action:blocked`: a hook, a middleware or a policy stopped an action. */
export interface ScBlockedMessage {
  /** Who asked for it; for `publishOut` the recipient. `null` on `handshakeWS`: there is no socket yet. */
  readonly socket: ScServerSocket | null
  /** The request of the upgrade. Not enumerable: it holds headers. */
  readonly request: FastifyRequest
  /** The line of the hook; that of a policy is the one it has a say in. `request` for hooks of Fastify that stopped an event. */
  readonly line: MiddlewareLine | 'preHandler' | 'request'
  /** What blocked it, as it was thrown or passed to `next`; for a silent block what the client gets. */
  readonly error: unknown
  /** The name of the hook's function, `anonymous` for one without; what a policy is called, such as `publish policy`. Absent where no hook decided. */
  readonly hook?: string
  /** The hook's place among those that were asked, from 0; absent for a policy. */
  readonly index?: number
  /** The channel that the action is about. */
  readonly channel?: string
  /** The event that the action is about. */
  readonly event?: string
  /** Milliseconds from the first hook of the list, or the policy, to the block. Absent for actions that were under way when the first subscriber came. */
  readonly duration?: number
}

/** What is published on `node:diagnostics_channel`, by the names of the channels. */
export interface ScDiagnostics {
  /** A handshake succeeded. */
  'sc:socket:connect': { readonly socket: ScServerSocket }
  /** A limit or the rate of connections refused one. */
  'sc:upgrade:refused': { readonly address: string, readonly error: Error }
  /** A connection ended. */
  'sc:socket:close': { readonly socket: ScServerSocket, readonly code: number }
  /** A message came in. */
  'sc:socket:message': { readonly socket: ScServerSocket, readonly bytes: number }
  /** Code in a socket's name threw where nobody else catches it; the socket is ended with 1011. */
  'sc:socket:fault': { readonly socket: ScServerSocket, readonly error: unknown }
  /** A backlog went over its budget. */
  'sc:socket:slow': { readonly socket: ScServerSocket, readonly bufferedBytes: number, readonly policy: string }
  /** A hook, a middleware or a policy stopped an action. */
  'sc:action:blocked': ScBlockedMessage
  /** A message broke a rule of the protocol or a limit. */
  'sc:action:invalid': { readonly socket: ScServerSocket, readonly error: Error }
  /** A socket sent too much. */
  'sc:action:rate-limited': { readonly socket: ScServerSocket, /** Milliseconds. */ readonly retryAfter: number }
  /** A publication is about to be handed to the subscribers of this process. */
  'sc:publish': { readonly channel: string, readonly bytes: number }
  /** The broker's engine became reachable or not. */
  'sc:broker:state': { readonly state: BrokerState, readonly cause: Error | undefined }
}
