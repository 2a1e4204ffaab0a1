import type { FastifyBaseLogger } from 'fastify'
import type { AuthEngine, AuthKey, ScAuthToken } from '../../types/auth.js'
import type { ScBlockedMessage } from '../../types/diagnostics.js'
import type { EventPacket } from '../../types/protocol.js'
import type { Contracts } from '../../types/routes.js'
import type { ConnectStatus } from '../../types/server.js'
import type { DeadlineSets } from '../deadlines.js'
import type { Exchange } from '../exchange/exchange.js'
import type { Hub } from '../exchange/hub.js'
import type { Block } from '../lifecycle/block.js'
import type { Scope } from '../lifecycle/scope.js'
import type { FailureKind, LogLevel } from '../log.js'
import type { DeclaredErrors, ErrorOrigin } from '../protocol/wire-errors.js'
import type { SocketHost } from '../socket/host.js'
import type { Session } from '../socket/session.js'
import type { BrokerWaits } from './broker-waits.js'

/** What the packet handlers work with. The server gives it to them. */
export interface HandlerContext {
  readonly monitor: ActionMonitor
  readonly host: SocketHost<Session>
  readonly contracts: Contracts
  /** The hooks of the context that registered the plugin. */
  readonly root: Scope
  readonly hub: Hub
  readonly exchange: Exchange
  readonly deadlines: DeadlineSets
  readonly brokerWaits: BrokerWaits
  readonly tokens: TokenChecks
  readonly connections: {
    /** The handshake succeeded: the socket is a client from now on. */
    opened (session: Session, status: ConnectStatus): void
  }
}

/** How the tokens of clients are checked. */
export interface TokenChecks {
  readonly engine: AuthEngine
  readonly verificationKey: AuthKey | null
  readonly verifyAlgorithms: string[] | undefined
  /** The property of the handshake's request in which a hook left the verified user. */
  readonly userProperty: string
  /** Whether a token was revoked although its signature holds. */
  isRevoked (token: ScAuthToken): boolean
}

/** An action that hooks, a middleware or a policy stopped. */
export interface Denial {
  readonly line: ScBlockedMessage['line']
  /** What came out of the hooks; or what else stopped it. */
  readonly thrown: unknown
  readonly channel?: string
  readonly event?: string
  /** How a refusal is logged. @default 'info'. A mistake of the application is an error in any case. */
  readonly level?: LogLevel
  /** @default 'action blocked' */
  readonly text?: string
  /** Whether the server warns of it. @default true, unless the block is silent or the option middlewareEmitWarnings is off */
  readonly warns?: boolean
}

/** A block, and what the client sees of it. */
export interface ToldBlock extends Block {
  readonly shown: unknown
}

/** Where handlers tell what became of an action: it is counted, published, logged, and warned of. Each gives what the client sees. */
export interface ActionMonitor {
  /** Hooks, a middleware or a policy stopped an action. */
  denied (session: Session, denial: Denial): ToldBlock
  /** The same for hooks of a declared event alone: what they throw fails it as what its handler throws. */
  eventDenied (session: Session, denial: Denial, declared: DeclaredErrors | undefined): unknown
  /** An action broke a rule of the protocol, of a contract, or a limit. */
  invalid (session: Session, error: Error): unknown
  /** The same, where somebody else tells of the error. */
  countInvalid (session: Session, error: () => Error): void
  /** The application failed at an action. @param declared the errors that the event's contract declares */
  failed (session: Session, error: unknown, origin: ErrorOrigin, declared?: DeclaredErrors): unknown
  /** The application or a rule answers with an error: that is told nobody else, unless the client may not see it. */
  refusal (session: Session, error: unknown, origin: ErrorOrigin): unknown
  /** A socket sent too much. */
  rateLimited (session: Session, retryAfter: number): void
  /** Emits a `warning` and writes a log line, at a level that fits the error. */
  warn (err: unknown, log: FastifyBaseLogger, kind?: FailureKind): void
}

/**
 * Handles one kind of packet. It never throws.
 * @param expired present when the socket's token ran out before this packet
 * @returns a promise when it is not decided yet who the socket is: what the client sends next waits for it. It never rejects.
 */
export type PacketHandler = (context: HandlerContext, session: Session, packet: EventPacket, expired: Error | undefined) => void | Promise<void>
