import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { ScAuthToken } from '../../types/auth.js'
import type { SlowConsumerPolicy } from '../../types/options.js'
import type { ProtocolVersion } from '../../types/protocol.js'
import type { ScProcedureRequest, ScServerSocket, SocketEventObjects, SocketEvents, SocketState } from '../../types/server.js'
import type { AnyListener } from '../../types/user-data.js'
import { Emitter } from '../emitter.js'
import { scError } from '../errors.js'
import type { Subscriber } from '../exchange/deliver.js'
import type { FailureKind } from '../log.js'
import { printAs } from '../printing.js'
import { closeReasons, isOrdinaryClose, isSendableCloseCode, reasonText } from '../protocol/close-codes.js'
import { type Dialect, dialects, unknownDialect } from '../protocol/dialects.js'
import { type Stream, type StreamKeeper, StreamSet } from '../streams.js'
import type { SharedMessage } from '../transport/shared-message.js'
import type { HeartbeatTarget } from '../transport/heartbeat.js'
import type { Connection } from '../transport/connection.js'
import { readable } from '../untrusted.js'
import { Activity } from './activity.js'
import { Authentication } from './authentication.js'
import { socketEventObjects } from './event-objects.js'
import { HandshakeWait } from './handshake-wait.js'
import type { SocketHost } from './host.js'
import { judgeSilence, sendPing } from './keep-alive.js'
import { KeyedQueue } from './keyed-queue.js'
import { Outbound } from './outbound.js'
import type { ProcedureObjects, ReceiverObjects } from './socket-streams.js'
import { Subscriptions } from './subscriptions.js'

/**
 * One connection, from its upgrade to its end: what the handlers, the hub and the way in work on. It is put together of who
 * the socket is, what it is subscribed to, what is said to it and what it has under way. The application sees its socket,
 * which is a façade.
 */
export class Session extends Emitter<SocketEventObjects> implements HeartbeatTarget, Subscriber {
  /** What the application sees. */
  socket!: ScServerSocket
  state: SocketState = 'connecting'
  dialect: Dialect
  lastSeen = performance.now()
  bytesReceived = 0
  /** The server is about to close it: what it asks for now is not begun. */
  closing = false
  /** Until its handshake is done. */
  handshake: HandshakeWait | null = new HandshakeWait(this)
  readonly remoteAddress: string | undefined
  readonly auth = new Authentication(this)
  readonly subscriptions = new Subscriptions(this)
  readonly outbound = new Outbound(this)
  /** What is under way. */
  readonly activity: Activity
  /** Actions on one channel, in order. */
  readonly queue: KeyedQueue
  // These lead to keys and headers, and are no properties of the object itself: whoever walks through those finds none.
  readonly #host: SocketHost<Session>
  readonly #fastifyRequest: FastifyRequest
  #log: FastifyBaseLogger | null = null
  #aborts: Set<AbortController> | null = null
  #receivers: StreamSet<ReceiverObjects> | null = null
  #procedures: StreamSet<ProcedureObjects> | null = null

  constructor (readonly id: string, host: SocketHost<Session>, readonly connection: Connection, fastifyRequest: FastifyRequest) {
    super()
    this.#host = host
    this.#fastifyRequest = fastifyRequest
    this.remoteAddress = fastifyRequest.ip
    const { protocolVersion, inboundQueue, inboundQueueBytes } = host.options
    this.activity = new Activity(inboundQueue, inboundQueueBytes, connection)
    this.queue = new KeyedQueue(this, this.activity)
    this.dialect = protocolVersion === 'auto' ? unknownDialect : dialects[protocolVersion]
  }

  get host (): SocketHost<Session> { return this.#host }
  get fastifyRequest (): FastifyRequest { return this.#fastifyRequest }
  get authToken (): ScAuthToken | null { return this.auth.token }

  get protocolVersion (): ProtocolVersion | null {
    return this.dialect === unknownDialect ? null : this.dialect.version
  }

  get log (): FastifyBaseLogger {
    // Made when first needed: a child logger costs as much as a small message.
    return (this.#log ??= this.fastifyRequest.log.child({ socketId: this.id }))
  }

  get bufferedAmount (): number { return this.connection.bufferedBytes }
  /** Everything that is in memory because of this connection and is counted. */
  get heldBytes (): number { return this.connection.bufferedBytes + this.activity.heldBytes + this.subscriptions.dataBytes }
  /** Messages of the client that wait for hooks or handlers. */
  get waitingInbound (): number { return this.activity.waiting + this.activity.owed }
  /** Messages that wait to be sent. */
  get waitingOutbound (): number { return this.connection.queuedMessages + this.subscriptions.waitingDeliveries }

  // Who it is

  deauthenticateSelf (): void {
    this.auth.announceLoss(this.auth.clear())
  }

  /** Drops its token here, and tells the client, unless a listener gave it another one. */
  deauthenticate (): void {
    this.deauthenticateSelf()
    // SocketCluster's clients answer it, but nobody waits here: the token is gone either way.
    if (this.authToken === null) this.outbound.event('#removeAuthToken')
  }

  // Its channels

  isSubscribed (channel: string): boolean { return this.subscriptions.has(channel) }

  /** A publication; false when it was left out. */
  deliver (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean {
    return this.subscriptions.deliver(message, channel, policy)
  }

  deliverInOrder (channel: string, json: string, deliver: () => void | Promise<void>): boolean {
    return this.subscriptions.deliverInOrder(channel, json, deliver)
  }

  receives (channel: string): boolean {
    return this.state === 'open' && this.subscriptions.has(channel)
  }

  overrun (policy: SlowConsumerPolicy): void {
    this.host.overrun(this, policy)
  }

  /** Takes it out of a channel that it is in, and tells the client. */
  kickOut (channel: string, message: string | undefined): void {
    if (!this.subscriptions.has(channel)) return
    this.subscriptions.leave(channel)
    this.outbound.event('#kickOut', { message, channel })
  }

  // Whether it is alive

  ping (): void { sendPing(this) }
  pingTimedOut (): void { judgeSilence(this) }

  // Its life

  /** Its handshake is done. */
  opened (): void {
    this.#endHandshake()
    this.state = 'open'
  }

  #endHandshake (): void {
    this.handshake?.cancel()
    this.handshake = null
  }

  disconnect (code: number = 1000, data?: unknown): void {
    if (!isSendableCloseCode(code)) {
      this.emitError(scError('SC_ERR_CLOSE_CODE', [code]))
      code = 1000
    }
    if (this.state === 'closed') return
    if (this.dialect.disconnectPacket) this.outbound.event('#disconnect', { code, data })
    this.end(code, data)
  }

  /** Closes without the packet that announces it. */
  end (code: number, data?: unknown): void {
    this.outbound.flush()
    this.finish(code, data)
    this.connection.close(code, reasonText(data))
  }

  terminate (): void {
    this.connection.terminate()
    this.#letGo()
  }

  /** What was kept for a connection that is gone is let go at once, not when its hooks and handlers are done. */
  #letGo (): void {
    this.activity.end()
    this.queue.clear()
    this.subscriptions.letGo()
  }

  /** The connection is closed, or as good as: everything that follows from that, once. */
  finish (code: number, data: unknown): void {
    if (this.state === 'closed') return
    const wasOpen = this.state === 'open'
    this.state = 'closed'
    this.#endHandshake()
    this.#letGo()
    this.outbound.end(wasOpen ? 'disconnect' : 'connectAbort', code, reasonText(data))
    try {
      this.host.release(this, code)
    } catch (err) {
      this.fault(err)
    }
    this.host.fire(wasOpen ? 'disconnection' : 'connectionAbort', this.socket, code, data)
    this.host.fire('closure', this.socket, code, data)
    this.fireLocal(wasOpen ? 'disconnect' : 'connectAbort', code, data)
    this.fireLocal('close', code, data)
    this.#aborts?.forEach((abort) => { abort.abort() })
    this.#aborts = null
    if (!isOrdinaryClose(code)) {
      const reason = reasonText(data)
      const text = closeReasons[code] ?? `Socket connection closed with status code ${code}${reason === '' ? '' : ` and reason: ${reason}`}`
      this.emitError(scError('SC_ERR_SOCKET_CLOSED', [text], { code }))
    }
    this.#endStreams()
  }

  /** Work that is of no use when it is closed. It is no listener, which an application could remove. */
  abortAtClose (abort: AbortController): void {
    (this.#aborts ??= new Set()).add(abort)
  }

  /** The work is done. */
  keepFromAbort (abort: AbortController): void {
    this.#aborts?.delete(abort)
  }

  // Its events

  fireLocal<E extends keyof SocketEvents> (event: E, ...args: SocketEvents[E]): void {
    this.fire(event, args, socketEventObjects[event])
  }

  /** An event of the wire that only observes: nobody can answer it. */
  fireWire (event: string, data: unknown): void {
    this.tellListeners(event, [data])
  }

  /** Whether anybody would notice a local event. */
  observes (event: keyof SocketEvents): boolean {
    return this.hasListeners(event) || this.activeStream(event) !== undefined
  }

  /** Calls the application's handlers of a client's event. */
  eachListener (event: string, visit: (listener: AnyListener) => void): void {
    this.forEachListener(event, visit)
  }

  /** An error of this socket: its own `error` event, and a warning of the server. */
  emitError (err: unknown, kind?: FailureKind): void {
    const error = readable(err) as Error
    this.fireLocal('error', error)
    this.host.warn(error, this.log, kind)
  }

  /** What code in its name threw where nobody else catches it. Never throws. */
  fault (err: unknown): void {
    this.host.fault(this, err)
  }

  /** What code of the application threw that nobody waits for. */
  onListenerError (err: unknown): void {
    this.host.warn(err, this.log)
  }

  protected override get receiver (): unknown { return this.socket }

  // Its streams

  get listenerStreams (): StreamSet<SocketEventObjects> { return this.streams }
  get receiverStreams (): StreamSet<ReceiverObjects> { return (this.#receivers ??= new StreamSet(this.streamKeeper())) }
  get procedureStreams (): StreamSet<ProcedureObjects> { return (this.#procedures ??= new StreamSet(this.streamKeeper())) }
  activeReceiver (event: string): Stream<unknown> | undefined { return this.#receivers?.active(event) }
  activeProcedure (event: string): Stream<ScProcedureRequest> | undefined { return this.#procedures?.active(event) }

  /** How many values wait for the slowest loop over any of its streams. */
  get streamBackpressure (): number {
    return Math.max(this.getAllListenersBackpressure(), this.#receivers?.backpressure() ?? 0, this.#procedures?.backpressure() ?? 0)
  }

  /** What waits for slow loops counts as what waits for handlers: reading pauses. */
  protected override streamKeeper (): StreamKeeper {
    return {
      countsBusy: true,
      hold: (data) => this.activity.hold(data),
      release: (bytes) => this.activity.release(bytes),
      behind: (err) => this.onListenerError(err)
    }
  }

  /** The connection is gone: loops over what the client sent end at once, those over local events when they have read what there is. */
  #endStreams (): void {
    this.#receivers?.end(true)
    this.#procedures?.end(true)
    // What these hold are the client's messages.
    this.stopStream('message')
    this.stopStream('raw')
    this.closeStreams()
  }
}

printAs(Session, 'Session', ({ socket }) => ({ socket }))
