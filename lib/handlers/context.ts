import type { AuthEngine, AuthKey, ScAuthToken } from '../../types/auth.js'
import type { EventPacket } from '../../types/protocol.js'
import type { Contracts } from '../../types/routes.js'
import type { ConnectStatus } from '../../types/server.js'
import type { DeadlineSets } from '../deadlines.js'
import type { Exchange } from '../exchange/exchange.js'
import type { Hub } from '../exchange/hub.js'
import type { Scope } from '../lifecycle/scope.js'
import type { SocketHost } from '../socket/host.js'
import type { Session } from '../socket/session.js'
import type { BrokerWaits } from './broker-waits.js'

/** What the packet handlers work with. The server gives it to them. */
export interface HandlerContext {
  readonly host: SocketHost<Session>
  readonly contracts: Contracts
  /** The hooks of the context that registered the plugin. */
  readonly root: Scope
  readonly hub: Hub
  readonly exchange: Exchange
  readonly deadlines: DeadlineSets
  readonly brokerWaits: BrokerWaits
  readonly auth: AuthEngine
  readonly verificationKey: AuthKey | null
  /** The property of the handshake's request in which a hook left the verified user. */
  readonly userProperty: string
  readonly verifyAlgorithms: string[] | undefined
  readonly counters: ActionCounters
  /** The handshake succeeded: the socket is a client from now on. */
  opened (session: Session, status: ConnectStatus): void
  /** Whether a token was revoked although its signature holds. */
  isRevoked (token: ScAuthToken): boolean
}

export interface ActionCounters {
  blocked: number
  invalid: number
  rateLimited: number
  /** Sockets that were ended because code in their name threw. */
  faults: number
}

/**
 * Handles one kind of packet. It never throws.
 * @param expired present when the socket's token ran out before this packet
 * @returns a promise when it is not decided yet who the socket is: what the client sends next waits for it. It never rejects.
 */
export type PacketHandler = (context: HandlerContext, session: Session, packet: EventPacket, expired: Error | undefined) => void | Promise<void>
