import type { FastifyRequest } from 'fastify'
import type { ResolvedOptions, SlowConsumerPolicy } from '../../types/options.js'
import type { ConnectStatus } from '../../types/server.js'
import { attempt } from '../barrier.js'
import type { Deadlines } from '../deadlines.js'
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

/** A websocket of which nothing is made yet. */
export interface Upgraded {
  close (code: number, reason?: string): void
}

/** Makes the socket of a connection, which is listened to from then on. */
export type MakeSocket<Ws extends Upgraded> = (ws: Ws, request: FastifyRequest, holdings: Holdings) => Session

/**
 * Who is connected, from the upgrade until the connection is gone: who may come in, whose handshake is awaited, who is alive,
 * and what all of them hold.
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
  #closing = false

  /** @param handshakes how long each may take */
  constructor (options: ResolvedOptions, handshakes: Deadlines, monitor: Monitor, events: Events, make: MakeSocket<Ws>) {
    this.#options = options
    this.#handshakes = handshakes
    this.#monitor = monitor
    this.#events = events
    this.#make = make
    this.admission = new Admission(options)
    this.#heartbeat = new Heartbeat(options.pingInterval, options.pingTimeout)
    this.#budget = new BufferBudget(options.maxTotalBufferedBytes, this.clients.all, (session, bufferedBytes) => {
      this.backlog(session, bufferedBytes, 'disconnect')
    })
  }

  /** A connection was upgraded. Must be called in the same turn, or its first message is lost. */
  accept (ws: Ws, request: FastifyRequest): void {
    if (this.#closing) {
      ws.close(this.#options.closeCode, this.#options.closeReason)
      return
    }
    // Hooks of the upgrade may have taken their time since it was asked.
    const refusal = this.admission.refusal(request.ip)
    if (refusal !== undefined) {
      this.#monitor.refused(request.ip, refusal)
      ws.close(1013, closeReasons[1013])
      return
    }
    const crowds = this.admission.crowded(request.ip)
    if (crowds !== undefined) this.clients.oldestPending((session) => crowds(session.remoteAddress))?.end(1013)
    const session = this.#make(ws, request, this.#budget.holdings)
    try {
      this.clients.addPending(session)
      this.admission.connected(session.remoteAddress)
      if (session.handshake !== null) this.#handshakes.add(session.handshake)
      this.#events.fire('handshake', [session.socket])
    } catch (err) {
      session.fault(err)
    }
  }

  /** The handshake succeeded: the socket is a client from now on. */
  opened (session: Session, status: ConnectStatus): void {
    this.clients.moveToOpen(session)
    this.admission.shookHands(session.remoteAddress)
    session.opened()
    if (!this.#options.pingTimeoutDisabled) this.#heartbeat.add(session)
    this.#monitor.connected(session, status)
    session.fireLocal('connect', status)
    // Who is told of a connection is told of its end after that, not before.
    if (session.state === 'open') this.#events.fire('connection', [session.socket, status])
  }

  /** A socket is closed. Its connection still counts until it is gone. */
  release (session: Session, code: number): void {
    this.#heartbeat.remove(session)
    this.#budget.remove(session)
    if (this.clients.isPending(session)) this.admission.shookHands(session.remoteAddress)
    this.#monitor.closed(session, code)
    this.clients.remove(session)
  }

  /** Its connection is gone, which may be a while after it was closed. */
  gone (session: Session): void {
    this.admission.gone(session.remoteAddress, false)
  }

  /** The operating system did not take everything that was written to a session. */
  congested (session: Session): void {
    this.#budget.add(session)
  }

  /** A socket's backlog went over its budget, or has to make room. */
  backlog (session: Session, bufferedBytes: number, policy: SlowConsumerPolicy): void {
    this.#monitor.slowConsumer(session, bufferedBytes, policy)
    // A close frame could not pass the backlog.
    if (policy === 'disconnect') session.terminate()
  }

  /** There is no room for what is published to a socket, before it is queued. */
  overrun (session: Session, policy: SlowConsumerPolicy): void {
    if (policy === 'disconnect' && session.state === 'open') this.backlog(session, session.bufferedAmount, policy)
  }

  /** The barrier: whatever enters a socket's code from the event loop, and throws, ends here. Never throws itself. */
  fault (session: Session, err: unknown): void {
    this.#monitor.fault(session, err)
    if (!attempt(() => session.end(1011))) attempt(() => session.terminate())
  }

  /** Closes every connection; settles when all are gone, after `closeTimeout` at the latest. None is accepted any more. */
  async drain (): Promise<void> {
    this.#closing = true
    await drainSockets([...this.clients.all], this.#options)
    this.#heartbeat.stop()
    this.#budget.stop()
  }

  /** What is there now. */
  gauges (): { clients: number, pendingClients: number, subscriptions: number, bufferedBytes: number, heldBytes: number } {
    this.#budget.recount()
    let bufferedBytes = 0
    let subscriptions = 0
    for (const session of this.clients.all) {
      bufferedBytes += session.bufferedAmount
      subscriptions += session.subscriptions.size
    }
    return { clients: this.clients.openCount, pendingClients: this.clients.pendingCount, subscriptions, bufferedBytes, heldBytes: this.#budget.holdings.total }
  }
}
