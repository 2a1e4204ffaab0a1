import type { FastifyBaseLogger } from 'fastify'
import type { ScSignOptions } from '../../types/auth.js'
import type { ResolvedOptions, SlowConsumerPolicy } from '../../types/options.js'
import type { ScSocketPresence } from '../../types/presence.js'
import type { CodecEngine } from '../../types/protocol.js'
import type { ScServer, ServerEvents } from '../../types/server.js'
import type { Deadlines } from '../deadlines.js'
import type { Exchange } from '../exchange/exchange.js'
import type { Hub } from '../exchange/hub.js'
import type { HandlerContext } from '../handlers/context.js'
import { catchUp } from '../handlers/catch-up.js'
import { revalidate, withhold } from '../handlers/revalidate.js'
import type { FailureKind } from '../log.js'
import { jsonCodec } from '../protocol/codec.js'
import type { SocketHost } from '../socket/host.js'
import type { Session } from '../socket/session.js'
import type { Connections } from './connections.js'
import type { Events } from './events.js'
import type { Monitor } from './monitor.js'
import type { Tokens } from './tokens.js'

/** The parts of a server that serve its sockets. */
export interface HostParts extends Omit<HandlerContext, 'host'> {
  readonly options: ResolvedOptions
  readonly events: Events
  readonly monitor: Monitor
  readonly tokens: Tokens
  readonly connections: Pick<Connections, 'fault' | 'opened' | 'overrun' | 'release'>
}

/** The server as its sockets use it: passes each call to the part that handles it. */
export class Host implements SocketHost<Session> {
  readonly server: ScServer
  readonly ackDeadlines: Deadlines
  // Private: the options contain keys, and the parts lead to them.
  readonly #parts: HostParts
  readonly #context: HandlerContext
  #codec: CodecEngine

  constructor (server: ScServer, parts: HostParts) {
    this.server = server
    this.#parts = parts
    this.#context = { ...parts, host: this }
    this.ackDeadlines = parts.deadlines.acks
    this.#codec = parts.options.codecEngine ?? jsonCodec
  }

  /** The context of the packet handlers. */
  get context (): HandlerContext { return this.#context }
  get options (): ResolvedOptions { return this.#parts.options }
  get exchange (): Exchange { return this.#parts.exchange }
  get hub (): Hub { return this.#parts.hub }
  get codec (): CodecEngine { return this.#codec }
  set codec (codec: CodecEngine) { this.#codec = codec }
  get plainJson (): boolean { return this.#codec === jsonCodec }

  fire<E extends keyof ServerEvents> (event: E, ...args: ServerEvents[E]): void {
    this.#parts.events.fire(event, args)
  }

  warn (err: unknown, log: FastifyBaseLogger, kind?: FailureKind): void {
    this.#parts.monitor.warn(err, log, kind)
  }

  hears (log: FastifyBaseLogger): boolean {
    return this.#parts.monitor.hears(log)
  }

  fault (session: Session, err: unknown): void {
    this.#parts.connections.fault(session, err)
  }

  setAuthToken (session: Session, claims: object, options: ScSignOptions): Promise<Error | null> {
    return this.#parts.tokens.issue(session, claims, options)
  }

  tokenChanged (session: Session): void {
    this.#parts.tokens.changed(session)
    if (this.#parts.contracts.hasPresence) this.#parts.presence.tokenChanged(session)
  }

  withhold (session: Session): void {
    withhold(this.#context, session)
  }

  revalidate (session: Session): void {
    revalidate(this.#context, session)
  }

  presenceOf (session: Session, channel: string): ScSocketPresence {
    return this.#parts.presence.of(session, channel)
  }

  catchUp (session: Session, channel: string): void {
    catchUp(this.#context, session, channel)
  }

  overrun (session: Session, policy: SlowConsumerPolicy): void {
    this.#parts.connections.overrun(session, policy)
  }

  release (session: Session, code: number): void {
    const { brokerWaits, connections, presence, tokens } = this.#parts
    tokens.forget(session)
    brokerWaits.closed(session)
    connections.release(session, code)
    presence.closed(session, code, () => session.subscriptions.leaveAll())
  }
}
