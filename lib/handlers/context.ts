import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { AuthEngine, AuthKey, ScAuthToken } from '../../types/auth.js'
import type { ScBlockedMessage } from '../../types/diagnostics.js'
import type { ScHistoryGap } from '../../types/history.js'
import type { CallId, EventPacket } from '../../types/protocol.js'
import type { Contracts } from '../../types/routes.js'
import type { BadAuthToken, ConnectStatus, ScServerSocket, SocketState } from '../../types/server.js'
import type { Guarded } from '../barrier.js'
import type { DeadlineSets } from '../deadlines.js'
import type { Exchange } from '../exchange/exchange.js'
import type { Hub } from '../exchange/hub.js'
import type { Pages } from '../exchange/pages.js'
import type { Block } from '../lifecycle/block.js'
import type { Scope } from '../lifecycle/scope.js'
import type { FailureKind, LogLevel } from '../log.js'
import type { Presence } from '../presence/presence.js'
import type { DeclaredErrors, ErrorOrigin } from '../protocol/wire-errors.js'
import type { Activity } from '../socket/activity.js'
import type { Authentication } from '../socket/authentication.js'
import type { SocketHost } from '../socket/host.js'
import type { Session } from '../socket/session.js'
import type { BrokerWaits } from './broker-waits.js'

/** Who acts: a session, or a request over HTTP. */
export interface Actor {
  readonly socket: ScServerSocket
  readonly fastifyRequest: FastifyRequest
  readonly log: FastifyBaseLogger
}

/** Who calls an event: a session, or a request over HTTP. */
export interface Caller extends Actor, Guarded {
  readonly state: SocketState
  readonly activity: CallerActivity
  readonly outbound: Answers
  /** Aborts `abort` when the connection closes. */
  abortAtClose (abort: AbortController): void
  /** Reverts `abortAtClose`. */
  keepFromAbort (abort: AbortController): void
}

/** Counts the calls of a caller that are under way. */
export type CallerActivity = Pick<Activity, 'beginOwing' | 'endOwing' | 'beginWaiting' | 'endWaiting' | 'keep' | 'forget' | 'ended'>

/** Answers calls. */
export interface Answers {
  ack (cid: CallId, data: unknown): void
  /** Answers with JSON text; an empty string stands for no data. */
  jsonAck (cid: CallId, json: string): void
  /** @param denied whether a hook refused the call */
  errorAck (cid: CallId, error: unknown, data?: unknown, denied?: boolean): void
}

/** Who is authenticated: a session, or a request over HTTP. */
export interface Authenticated extends Actor {
  readonly state: SocketState
  readonly auth: Pick<Authentication, 'version' | 'replace' | 'clear'>
  emitError (error: unknown): void
  fireLocal (event: 'badAuthToken', status: BadAuthToken): void
}

/** The parts of the server that packet handlers use. */
export interface HandlerContext {
  readonly monitor: ActionMonitor
  readonly host: SocketHost<Session>
  readonly contracts: Contracts
  /** The hooks of the Fastify context that registered the plugin. */
  readonly root: Scope
  readonly hub: Hub
  readonly exchange: Exchange
  readonly presence: Presence<Session>
  /** Reads parts of histories for clients. */
  readonly pages: Pages
  readonly deadlines: DeadlineSets
  readonly brokerWaits: BrokerWaits
  readonly tokens: TokenChecks
  readonly connections: {
    /** Call when the handshake succeeded: opens the socket. */
    opened (session: Session, status: ConnectStatus): void
  }
}

/** What is needed to verify the tokens of clients. */
export interface TokenChecks {
  readonly engine: AuthEngine
  readonly verificationKey: AuthKey | null
  readonly verifyAlgorithms: string[] | undefined
  /** The property of the upgrade request in which a hook stored the verified user. */
  readonly userProperty: string
  /** Whether a token with a valid signature was revoked. */
  isRevoked (token: ScAuthToken): boolean
}

/** An action that a hook, a middleware or a policy blocked. */
export interface Denial {
  readonly line: ScBlockedMessage['line']
  /** What the hooks threw, or another reason of the block. */
  readonly thrown: unknown
  readonly channel?: string
  readonly event?: string
  /** The log level of a refusal. @default 'info'. A mistake of the application is always logged as an error. */
  readonly level?: LogLevel
  /** @default 'action blocked' */
  readonly text?: string
  /**
   * Whether the server emits a `warning`.
   * @default true, unless the block is silent or the option middlewareEmitWarnings is off
   */
  readonly warns?: boolean
}

/** A block, and the error that the client sees. */
export interface ToldBlock extends Block {
  readonly shown: unknown
}

/**
 * Handlers report the outcome of actions here. The monitor counts, publishes, logs and warns. Methods with a result return the
 * error that the client sees.
 */
export interface ActionMonitor {
  /** Reports an action that a hook, a middleware or a policy blocked. */
  denied (actor: Actor, denial: Denial): ToldBlock
  /**
   * Reports a declared event that its `preHandler` or request hooks blocked: what they throw is treated like what the handler
   * throws.
   */
  eventDenied (actor: Actor, denial: Denial, declared: DeclaredErrors | undefined): unknown
  /** Reports an action that broke a rule of the protocol, of a contract, or a limit. */
  invalid (session: Session, error: Error): unknown
  /** Counts an action that broke a rule, when the error is reported elsewhere. @param error creates the error when needed */
  countInvalid (actor: Actor, error: () => Error): void
  /** Reports an action at which the application failed. @param declared the errors that the event's contract declares */
  failed (actor: Actor, error: unknown, origin: ErrorOrigin, declared?: DeclaredErrors): unknown
  /** Converts an error that the application or a rule chose as the answer. Reports it only when the client may not see it. */
  refusal (session: Session, error: unknown, origin: ErrorOrigin): unknown
  /** Reports a socket that exceeded its rate. @param retryAfter milliseconds until the next message is allowed */
  rateLimited (actor: Actor, retryAfter: number): void
  /** Reports a client that came back and receives what it missed. @param count the number of missed messages */
  recovered (session: Session, channel: string, count: number): void
  /** Reports a client that came back and is told that messages may be missing. */
  notRecovered (session: Session, channel: string, reason: ScHistoryGap): void
  /** Reports a connected client that is told that messages may be missing. */
  lost (socket: ScServerSocket, channel: string, reason: ScHistoryGap): void
  /** Emits a `warning` and writes a log line, at a level that fits the error. */
  warn (err: unknown, log: FastifyBaseLogger, kind?: FailureKind): void
}

/**
 * Handles one kind of packet. Never throws.
 * @param expired the expiry error when the token of the socket expired before this packet
 * @returns a promise while the token of the socket is being decided; later packets of the client wait for it. It never rejects.
 */
export type PacketHandler = (context: HandlerContext, session: Session, packet: EventPacket, expired: Error | undefined) => void | Promise<void>
