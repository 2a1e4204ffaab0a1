import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { ScAuthToken } from '../../types/auth.js'
import type { BrokerPosition } from '../../types/broker.js'
import type { SlowConsumerPolicy } from '../../types/options.js'
import type { ProtocolVersion } from '../../types/protocol.js'
import type { ScProcedureRequest, ScServerSocket, SocketEventObjects, SocketEvents, SocketState } from '../../types/server.js'
import type { AnyListener } from '../../types/user-data.js'
import { Emitter } from '../emitter.js'
import { scError, withoutStack } from '../errors.js'
import type { Published, Subscriber } from '../exchange/deliver.js'
import type { FailureKind } from '../log.js'
import { printAs } from '../printing.js'
import { closeMessage, isOrdinaryClose, isSendableCloseCode, reasonText } from '../protocol/close-codes.js'
import { type Dialect, dialects, unknownDialect } from '../protocol/dialects.js'
import { StreamSet } from '../stream-set.js'
import type { Stream, StreamKeeper } from '../streams.js'
import type { MessageSeries, SharedMessage } from '../transport/shared-message.js'
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
 * One connection, from its upgrade to its end. Handlers, the hub and the inbound code work on sessions. A session combines the
 * authentication, the subscriptions, the outbound side and the activity of a socket. The application sees the socket, a façade
 * over the session.
 */
export class Session extends Emitter<SocketEventObjects> implements HeartbeatTarget, Subscriber {
  /** The socket that the application sees. */
  socket!: ScServerSocket
  state: SocketState = 'connecting'
  dialect: Dialect
  lastSeen = performance.now()
  openedAt = 0 // when the handshake succeeded, by `performance.now()`
  heartbeatSlot = -1
  bytesReceived = 0
  /** The server is about to close the socket: new requests of the client are not begun. */
  closing = false
  /** The deadline of the handshake; null once the handshake is done. */
  handshake: HandshakeWait | null = new HandshakeWait(this)
  readonly remoteAddress: string | undefined
  readonly auth = new Authentication(this)
  readonly subscriptions = new Subscriptions(this)
  readonly outbound = new Outbound(this)
  /** Messages under way and answers still to be sent. */
  readonly activity: Activity
  /** Runs the actions on each channel in order. */
  readonly queue: KeyedQueue
  // Private fields, because these lead to keys and headers: code that walks the properties of a session does not find them.
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
    this.dialect = protocolVersion === 'auto' || connection.transport === 'sse' ? unknownDialect : dialects[protocolVersion]
  }

  get host (): SocketHost<Session> { return this.#host }
  get fastifyRequest (): FastifyRequest { return this.#fastifyRequest }
  get authToken (): ScAuthToken | null { return this.auth.token }

  get protocolVersion (): ProtocolVersion | null {
    return this.dialect === unknownDialect ? null : this.dialect.version
  }

  get log (): FastifyBaseLogger {
    // Created when first needed: a child logger costs as much as a small message.
    return (this.#log ??= this.fastifyRequest.log.child({ socketId: this.id }))
  }

  get bufferedAmount (): number { return this.connection.bufferedBytes }
  /** Counted bytes in memory because of this connection. */
  get heldBytes (): number { return this.connection.bufferedBytes + this.activity.heldBytes + this.subscriptions.dataBytes }
  /** Number of the client's messages that wait for hooks or handlers, and of answers still to be sent. */
  get waitingInbound (): number { return this.activity.waiting + this.activity.owed }
  /** Number of messages that wait to be sent. */
  get waitingOutbound (): number { return this.connection.queuedMessages + this.subscriptions.waitingDeliveries }

  // Authentication

  deauthenticateSelf (): void {
    this.auth.announceLoss(this.auth.clear())
  }

  /** Removes the token of the socket. Tells the client to do so too, unless a listener set a new token. */
  deauthenticate (): void {
    this.deauthenticateSelf()
    // SocketCluster clients answer this event, but the server does not wait: the token is removed either way.
    if (this.authToken === null) this.outbound.event('#removeAuthToken')
  }

  // Channels

  isSubscribed (channel: string): boolean { return this.subscriptions.has(channel) }

  /** Delivers a publication. @returns false when it was dropped, null when it is delivered later */
  deliver (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean | null { return this.subscriptions.deliver(message, channel, policy) }
  deliverSeries (series: MessageSeries, channel: string): boolean { return this.subscriptions.deliverSeries(series, channel) }
  deliverInOrder (channel: string, json: string, deliver: () => void | Promise<void>): boolean { return this.subscriptions.deliverInOrder(channel, json, deliver) }

  receives (published: Published): boolean { return this.state === 'open' && this.subscriptions.expects(published) }
  lose (channel: string, position: BrokerPosition): boolean { return this.subscriptions.lose(channel, position) }
  overrun (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean {
    const isLater = policy === 'resume' && this.subscriptions.lag(channel, message.place)
    if (!isLater) this.host.overrun(this, policy)
    return isLater
  }

  slow (): void { this.host.overrun(this, 'resume') }
  catchUp (channel: string): void { this.host.catchUp(this, channel) }

  /** Removes the socket from a channel, or refuses a subscription that is not decided yet, and tells the client. @returns whether there was one */
  kickOut (channel: string, message: string | undefined): boolean {
    const isRefused = this.subscriptions.pending.refuse(channel, () => scError('SC_ERR_KICKED_OUT', [channel, message ?? 'no reason given']))
    if (!this.subscriptions.has(channel)) return isRefused
    this.subscriptions.leave(channel)
    this.outbound.event('#kickOut', { message, channel })
    return true
  }

  // Lifecycle

  ping (): void { sendPing(this) }
  pingTimedOut (): void { judgeSilence(this) }

  /** Ends the handshake: the socket is open from now on. */
  opened (): void {
    this.#endHandshake()
    this.openedAt = performance.now()
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

  /** Closes the connection without sending `#disconnect` first. */
  end (code: number, data?: unknown): void {
    this.outbound.flush()
    this.finish(code, data)
    this.connection.close(code, reasonText(data))
  }

  terminate (): void {
    this.connection.terminate()
    this.#letGo()
  }

  /** Lets go of everything kept for the connection at once, not only when its hooks and handlers are done. */
  #letGo (): void {
    this.activity.end()
    this.queue.clear()
    this.subscriptions.letGo()
  }

  /** Closes the session, once: releases it and emits its events. Call when the connection is closed or about to be. */
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
    // Most clients just vanish, and then nobody asked for an error. The request's logger answers for that of the socket, which costs more.
    if (!isOrdinaryClose(code) && (this.observes('error') || this.host.hears(this.#log ?? this.#fastifyRequest.log))) {
      // Its stack would only show the event loop.
      this.emitError(withoutStack(() => scError('SC_ERR_SOCKET_CLOSED', [closeMessage(code, data)], { code })))
    }
    this.#endStreams()
  }

  /** Aborts `abort` when the session closes. This is not a listener, which an application could remove. */
  abortAtClose (abort: AbortController): void {
    (this.#aborts ??= new Set()).add(abort)
  }

  /** Reverts `abortAtClose` when the work is done. */
  keepFromAbort (abort: AbortController): void {
    this.#aborts?.delete(abort)
  }

  // Events

  fireLocal<E extends keyof SocketEvents> (event: E, ...args: SocketEvents[E]): void {
    this.fire(event, args, socketEventObjects[event])
  }

  /** Calls the listeners of a client's event that needs no answer. */
  fireWire (event: string, data: unknown): void {
    this.tellListeners(event, [data])
  }

  /** Whether a local event has listeners or an active stream. */
  observes (event: keyof SocketEvents): boolean {
    return this.hasListeners(event) || this.activeStream(event) !== undefined
  }

  /** Visits the application's listeners of a client's event. */
  eachListener (event: string, visit: (listener: AnyListener) => void): void {
    this.forEachListener(event, visit)
  }

  /** Emits an error of this socket: its `error` event, and a warning of the server. */
  emitError (err: unknown, kind?: FailureKind): void {
    const error = readable(err) as Error
    this.fireLocal('error', error)
    this.host.warn(error, this.log, kind)
  }

  /** Handles an error that code of this socket threw and nothing else caught. Never throws. */
  fault (err: unknown): void {
    this.host.fault(this, err)
  }

  /** Reports an error of a callback or listener of the application as a warning of the server. */
  onListenerError (err: unknown): void {
    this.host.warn(err, this.log)
  }

  protected override get receiver (): unknown { return this.socket }

  // Streams

  get listenerStreams (): StreamSet<SocketEventObjects> { return this.streams }
  get receiverStreams (): StreamSet<ReceiverObjects> { return (this.#receivers ??= new StreamSet(this.streamKeeper())) }
  get procedureStreams (): StreamSet<ProcedureObjects> { return (this.#procedures ??= new StreamSet(this.streamKeeper())) }
  activeReceiver (event: string): Stream<unknown> | undefined { return this.#receivers?.active(event) }
  activeProcedure (event: string): Stream<ScProcedureRequest> | undefined { return this.#procedures?.active(event) }

  /** Number of values that wait for the slowest loop over any stream of the socket. */
  get streamBackpressure (): number {
    return Math.max(this.getAllListenersBackpressure(), this.#receivers?.backpressure() ?? 0, this.#procedures?.backpressure() ?? 0)
  }

  /** Values that wait for slow loops count like messages that wait for handlers: reading pauses. */
  protected override streamKeeper (): StreamKeeper {
    return {
      countsBusy: true,
      hold: (data) => this.activity.hold(data),
      release: (bytes) => this.activity.release(bytes),
      behind: (err) => this.onListenerError(err)
    }
  }

  /**
   * Call when the connection is gone. Loops over the client's messages end at once; loops over local events end after the values
   * that are already there.
   */
  #endStreams (): void {
    this.#receivers?.end(true)
    this.#procedures?.end(true)
    // These two hold messages of the client.
    this.stopStream('message')
    this.stopStream('raw')
    this.closeStreams()
  }
}

printAs(Session, 'Session', ({ socket }) => ({ socket }))
