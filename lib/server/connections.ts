import type { FastifyRequest } from 'fastify'
import type { ResolvedOptions, SlowConsumerPolicy } from '../../types/options.js'
import type { ConnectStatus } from '../../types/server.js'
import { attempt } from '../barrier.js'
import type { Deadlines } from '../deadlines.js'
import { scError } from '../errors.js'
import { closeReasons } from '../protocol/close-codes.js'
import type { Session } from '../socket/session.js'
import { Heartbeat } from '../transport/heartbeat.js'
import type { Holdings } from '../transport/holdings.js'
import { Admission } from './admission.js'
import { BufferBudget } from './buffer-budget.js'
import { Clients } from './clients.js'
import { drainSockets } from './drain.js'
import type { Events } from './events.js'
import type { Monitor } from './monitor.js'

/** A websocket that has no session yet. */
export interface Upgraded {
  close (code: number, reason?: string): void
}

/** Creates the session of a websocket and starts listening to it. */
export type MakeSocket<Ws extends Upgraded> = (ws: Ws, request: FastifyRequest, holdings: Holdings) => Session

/**
 * The connections of the server, from the upgrade until the connection is gone: admission, handshake timeouts, heartbeats and
 * the budget for held memory.
 */
export class Connections<Ws extends Upgraded = Upgraded> {
  readonly clients = new Clients()
  readonly admission: Admission
  readonly #options: ResolvedOptions
  readonly #handshakes: Deadlines
  readonly #monitor: Monitor
  readonly #events: Events
  readonly #make: MakeSocket<Ws>
  readonly #heartbeat: Heartbeat
  readonly #budget: BufferBudget
  /** Sessions with a connection. They include closed ones, which may still hold data that the client does not read. */
  readonly #connected = new Set<Session>()
  #closing = false

  /** @param handshakes deadlines for the handshake of each connection */
  constructor (options: ResolvedOptions, handshakes: Deadlines, monitor: Monitor, events: Events, make: MakeSocket<Ws>) {
    this.#options = options
    this.#handshakes = handshakes
    this.#monitor = monitor
    this.#events = events
    this.#make = make
    this.admission = new Admission(options)
    this.#heartbeat = new Heartbeat(options.pingInterval, options.pingTimeout)
    this.#budget = new BufferBudget(options.maxTotalBufferedBytes, this.#connected, (session, bufferedBytes) => {
      if (session.state === 'closed') session.terminate()
      else this.backlog(session, bufferedBytes, 'disconnect')
    })
  }

  /**
   * Takes over an upgraded connection. Must be called in the same turn as the upgrade, or its first message is lost.
   * @returns false when it is closed instead: there is no room for it, or the server closes
   */
  accept (ws: Ws, request: FastifyRequest): boolean {
    if (this.#closing) {
      ws.close(this.#options.closeCode, this.#options.closeReason)
      return false
    }
    // Checked again: hooks may have taken time since the upgrade was requested.
    const refusal = this.admission.refusal(request.ip)
    if (refusal !== undefined) {
      this.#monitor.refused(request.ip, refusal)
      ws.close(1013, closeReasons[1013])
      return false
    }
    this.#take(request, (holdings) => this.#make(ws, request, holdings))
    return true
  }

  /**
   * Takes over an event stream.
   * @param make creates its session
   * @throws ScError when there is no room for it, or the server closes
   */
  acceptStream<S extends Session> (request: FastifyRequest, make: (holdings: Holdings) => S): S {
    if (this.#closing) throw scError('SC_ERR_CLOSING')
    const refusal = this.admission.ask(request.ip)
    if (refusal === undefined) return this.#take(request, make)
    this.#monitor.refused(request.ip, refusal)
    throw refusal
  }

  #take<S extends Session> (request: FastifyRequest, make: (holdings: Holdings) => S): S {
    const crowds = this.admission.crowded(request.ip)
    if (crowds !== undefined) this.clients.oldestPending((session) => crowds(session.remoteAddress))?.end(1013)
    const session = make(this.#budget.holdings)
    this.#connected.add(session)
    try {
      this.clients.addPending(session)
      this.admission.connected(session.remoteAddress)
      if (session.handshake !== null) this.#handshakes.add(session.handshake)
      this.#events.fire('handshake', [session.socket])
    } catch (err) {
      session.fault(err)
    }
    return session
  }

  /** Call after a successful handshake: the socket is a client from now on. */
  opened (session: Session, status: ConnectStatus): void {
    this.clients.moveToOpen(session)
    this.admission.shookHands(session.remoteAddress)
    session.opened()
    // Streams have a heartbeat of their own: their clients cannot answer.
    if (!this.#options.pingTimeoutDisabled && session.connection.transport !== 'sse') this.#heartbeat.add(session)
    this.#monitor.connected(session, status)
    session.fireLocal('connect', status)
    // A listener of `connect` may have closed the socket: `connection` must not be emitted after its end.
    if (session.state === 'open') this.#events.fire('connection', [session.socket, status])
  }

  /** Removes a closed socket. Its connection counts towards the limits until it is gone. */
  release (session: Session, code: number): void {
    this.#heartbeat.remove(session)
    this.#budget.remove(session)
    if (this.clients.isPending(session)) this.admission.shookHands(session.remoteAddress)
    this.#monitor.closed(session, code)
    this.clients.remove(session)
  }

  /** Call when the connection of a session is gone, which may be some time after the close. */
  gone (session: Session): void {
    this.#connected.delete(session)
    this.admission.gone(session.remoteAddress, false)
  }

  /** Call when the operating system did not take all data written to a session. */
  congested (session: Session): void {
    this.#budget.add(session)
  }

  /** Handles a socket with a backlog over its budget, or one that has to make room for others. */
  backlog (session: Session, bufferedBytes: number, policy: SlowConsumerPolicy): void {
    this.#monitor.slowConsumer(session, bufferedBytes, policy)
    // A close frame would wait behind the backlog.
    if (policy === 'disconnect') session.terminate()
  }

  /** Call when a session has no room for a publication, before it is queued. */
  overrun (session: Session, policy: SlowConsumerPolicy): void {
    if ((policy === 'disconnect' || policy === 'resume') && session.state === 'open') this.backlog(session, session.bufferedAmount, policy)
  }

  /** The barrier: handles an error that a socket's code threw into the event loop, and ends the socket. Never throws. */
  fault (session: Session, err: unknown): void {
    this.#monitor.fault(session, err)
    if (!attempt(() => session.end(1011))) attempt(() => session.terminate())
  }

  /** Accepts no more connections and closes all of them. Settles when all are gone, after `closeTimeout` at the latest. */
  async drain (): Promise<void> {
    this.#closing = true
    await drainSockets([...this.clients], this.#options)
    this.#heartbeat.stop()
    this.#budget.stop()
  }

  /** Returns the current totals for `stats()`. */
  gauges (): { clients: number, pendingClients: number, subscriptions: number, bufferedBytes: number, heldBytes: number } {
    this.#budget.recount()
    let bufferedBytes = 0
    let subscriptions = 0
    for (const session of this.clients) {
      bufferedBytes += session.bufferedAmount
      subscriptions += session.subscriptions.size
    }
    return { clients: this.clients.openCount, pendingClients: this.clients.pendingCount, subscriptions, bufferedBytes, heldBytes: this.#budget.holdings.total }
  }
}
