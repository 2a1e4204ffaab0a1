import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { ScAuthToken } from '../../types/auth.js'
import type { SlowConsumerPolicy } from '../../types/options.js'
import type { CallId, ProtocolVersion } from '../../types/protocol.js'
import type { AuthState, ScServerSocket, SocketEvents, SocketState, SubscriptionOptions } from '../../types/server.js'
import type { Timed } from '../deadlines.js'
import { Emitter } from '../emitter.js'
import { scError } from '../errors.js'
import type { FailureKind } from '../log.js'
import { printAs } from '../printing.js'
import { handled } from '../promises.js'
import { closeReasons, isOrdinaryClose, isSendableCloseCode, reasonText } from '../protocol/close-codes.js'
import { encodeMessage, toJson } from '../protocol/codec.js'
import { type Dialect, dialects, unknownDialect } from '../protocol/dialects.js'
import { memorySize } from '../protocol/memory-size.js'
import { isLocalEvent } from '../protocol/names.js'
import { ackText, eventText } from '../protocol/packets.js'
import { dehydrateError, hydrateError } from '../protocol/wire-errors.js'
import { asError, messageOf, readable } from '../untrusted.js'
import type { SharedMessage } from '../transport/frames.js'
import type { Beating } from '../transport/heartbeat.js'
import type { SocketPort } from '../transport/port.js'
import type { Stream, StreamKeeper } from '../streams.js'
import { StreamSet } from '../streams.js'
import { Activity } from './activity.js'
import { announceLoss, removeToken } from './authentication.js'
import { type CallCallback, Calls, tell } from './calls.js'
import { socketEventObjects } from './event-objects.js'
import type { SocketHost } from './host.js'
import { Lanes } from './lanes.js'
import { PacketBatch } from './packet-batch.js'
import type { TokenBucket } from './token-bucket.js'
import { Withheld } from './withheld.js'

/** Nothing went wrong. */
const delivered: Promise<Error | null> = Promise.resolve(null)

/** A subscription as a socket keeps it. */
interface KeptSubscription extends SubscriptionOptions {
  /** What its `data` counted for. */
  readonly dataBytes?: number
}

/**
 * One connection, from its upgrade to its end: what the handlers, the hub and the way in work on. The application sees the
 * socket of it, which is a façade.
 */
export class Session extends Emitter implements Beating {
  /** What the application sees. */
  socket!: ScServerSocket
  state: SocketState = 'connecting'
  // Written by `authentication.ts` only.
  readonly authState: AuthState = 'unauthenticated'
  /** Counts what was decided about its token. */ readonly authVersion: number = 0
  /** Its subscriptions have yet to be checked for a change of its token. */ readonly unchecked: boolean = false
  readonly remoteAddress: string | undefined

  lastSeen = performance.now()
  bytesReceived = 0
  /** Messages in a row that could not be read. */ unreadable = 0
  /** Whether its `#handshake` came. */ handshaking = false
  /** Ends the connection when the handshake takes too long. */ handshakeWait: Timed | null = null
  dialect: Dialect
  /** By channel; with `data` only where it may be needed again. */ get subscribed (): Map<string, KeptSubscription> { return this.#subscribed }
  /** Bytes of memory that those data take. */ subscriptionData = 0
  /** Made with the first `#authenticate`. */ authAttempts: TokenBucket | null = null
  /** Channels for which the broker is being asked; they count towards the limit. */ joining = 0
  /** How often its authorization changed: a subscription under way meanwhile is checked again. */ authorizations = 0
  /** Actions on one channel, in order. */ readonly lanes: Lanes
  /** What is under way. */ readonly activity: Activity
  /** The server is about to close it: what it asks for now is not begun. */ retiring = false
  /** Channels whose messages are held back. */ get withheld (): Withheld | null { return this.#withheld }
  set withheld (withheld: Withheld | null) { this.#withheld = withheld }
  #deliveryLanes: Lanes | null = null
  #calls: Calls | null = null
  #batch: PacketBatch | null = null
  #log: FastifyBaseLogger | null = null

  // These hold or lead to keys, headers and claims, and are no properties of the object itself: whoever walks through those finds none.
  #authToken: ScAuthToken | null = null
  #signedAuthToken: string | null = null
  readonly #subscribed = new Map<string, KeptSubscription>()
  #withheld: Withheld | null = null
  readonly #host: SocketHost<Session>
  readonly #fastifyRequest: FastifyRequest
  #receivers: StreamSet | null = null
  #procedures: StreamSet | null = null

  constructor (readonly id: string, host: SocketHost<Session>, readonly port: SocketPort, fastifyRequest: FastifyRequest) {
    super()
    this.#host = host
    this.#fastifyRequest = fastifyRequest
    this.remoteAddress = fastifyRequest.ip
    const { protocolVersion } = host.options
    this.activity = new Activity(host.options.inboundQueue, host.options.inboundQueueBytes, port)
    this.lanes = new Lanes(this, this.activity)
    this.dialect = protocolVersion === 'auto' ? unknownDialect : dialects[protocolVersion]
  }

  get host (): SocketHost<Session> { return this.#host }
  get fastifyRequest (): FastifyRequest { return this.#fastifyRequest }
  get protocolVersion (): ProtocolVersion | null {
    return this.dialect === unknownDialect ? null : this.dialect.version
  }

  get bufferedAmount (): number { return this.port.bufferedBytes }
  /** Everything that is in memory because of this connection and is counted. */
  get heldBytes (): number { return this.port.bufferedBytes + this.activity.heldBytes + this.subscriptionData }

  isSubscribed (channel: string): boolean { return this.subscribed.has(channel) }

  get log (): FastifyBaseLogger {
    // Made when first needed: a child logger costs as much as a small message.
    return (this.#log ??= this.fastifyRequest.log.child({ socketId: this.id }))
  }

  get authToken (): ScAuthToken | null { return this.#authToken }
  set authToken (claims: ScAuthToken | null) { this.#authToken = claims }
  get signedAuthToken (): string | null { return this.#signedAuthToken }
  set signedAuthToken (signed: string | null) { this.#signedAuthToken = signed }

  // Sending

  emit (event: string, data?: unknown, callback?: CallCallback | null): void {
    if (isLocalEvent(event)) {
      if (event === 'error') this.emitError(data as Error)
      else this.emitError(scError('SC_ERR_EVENT_RESERVED', [event]))
      return
    }
    if (callback === undefined || callback === null) this.sendEvent(event, data)
    else this.#call(event, data, callback)
  }

  transmit (event: string, data?: unknown): void {
    this.emit(event, data)
  }

  /** @param timeout in milliseconds, where it is not the one of all calls */
  invoke (event: string, data?: unknown, timeout?: number): Promise<any> {
    return handled(new Promise((resolve, reject) => {
      if (isLocalEvent(event)) throw scError('SC_ERR_EVENT_RESERVED', [event])
      let timer: NodeJS.Timeout | undefined
      const cid = this.#call(event, data, (err, answer) => {
        clearTimeout(timer)
        if (err === null) resolve(answer)
        else reject(err)
      })
      if (cid !== undefined && timeout !== undefined) {
        timer = setTimeout(() => this.#calls?.settle(cid, scError('SC_ERR_ACK_TIMEOUT', [event]), undefined), timeout)
      }
    }))
  }

  #call (event: string, data: unknown, callback: CallCallback): number | undefined {
    if (this.state === 'closed') {
      const error = scError('SC_ERR_BAD_CONNECTION', [event], { type: 'disconnect', code: 1001, reason: closeReasons[1001] })
      tell(callback, error, undefined, (err) => this.onListenerError(err))
      return
    }
    this.#calls ??= new Calls((err) => this.onListenerError(err))
    const cid = this.#calls.open(event, callback, this.host.ackDeadlines)
    const failure = this.sendEvent(event, data, cid)
    if (failure !== undefined) this.#calls.settle(cid, failure, undefined)
    return cid
  }

  /** @returns what went wrong */
  sendEvent (event: string, data: unknown, cid?: number): Error | undefined {
    try {
      this.port.send(this.host.plainJson ? eventText(event, toJson(data), cid) : this.#encoded({ event, data, cid }))
    } catch (err) {
      const error = encodeError(err)
      this.emitError(error)
      return error
    }
  }

  #encoded (packet: unknown): string | Buffer {
    return encodeMessage(this.host.codec, packet)
  }

  /** Answers a call. Data that cannot be encoded becomes an error for both sides. */
  sendAck (rid: CallId, data: unknown): void {
    try {
      this.port.send(this.host.plainJson ? ackText(rid, toJson(data)) : this.#encoded({ rid, data }))
    } catch (err) {
      const error = encodeError(err)
      this.emitError(error)
      this.sendErrorAck(rid, error)
    }
  }

  /** Answers a call with data that is JSON text already; the empty string is no data. */
  sendJsonAck (rid: CallId, json: string): void {
    if (json === '') this.sendAck(rid, undefined)
    else if (this.host.plainJson) this.port.send(ackText(rid, json))
    else this.sendAck(rid, JSON.parse(json))
  }

  /** Answers a call with an error that the client may see, and with data beside it. */
  sendErrorAck (rid: CallId, error: unknown, data?: unknown): void {
    const packet = { rid, error: dehydrateError(error), data }
    try {
      this.port.send(this.host.plainJson ? toJson(packet)! : this.#encoded(packet))
    } catch (err) {
      this.emitError(encodeError(err))
      const bare = { rid, error: packet.error }
      try {
        this.port.send(this.host.plainJson ? toJson(bare)! : this.#encoded(bare))
      } catch (again) {
        // Nothing can be said to this client, so it must not wait for an answer.
        this.fault(again)
      }
    }
  }

  sendObject (object: unknown, batch = false): void {
    if (batch) {
      this.#batch ??= new PacketBatch(this, this.host.options.pubSubBatchDuration, (packets) => this.#sendBatch(packets))
      this.#batch.add(object)
      return
    }
    const error = this.#sendEncoded(object)
    if (error !== undefined) this.emitError(error)
  }

  #sendBatch (packets: unknown[]): void {
    if (this.#sendEncoded(packets) === undefined) return
    // One of them cannot be encoded; the others need not suffer for it.
    for (const packet of packets) this.sendObject(packet)
  }

  #sendEncoded (object: unknown): Error | undefined {
    try {
      this.port.send(this.#encoded(object))
    } catch (err) {
      return encodeError(err)
    }
  }

  send (payload: string | Buffer): void {
    this.port.send(payload)
  }

  /** A publication; false when it was left out. */
  deliver (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean {
    if (this.withheld !== null && this.withheld.has(channel)) {
      const kept = this.withheld.add(channel, message, policy)
      if (kept === null) this.host.overrun(this, policy)
      return kept === true
    }
    return this.port.publish(message, channel, policy)
  }

  /** Publications that wait for slow hooks, in order. */
  get deliveryLanes (): Lanes {
    return (this.#deliveryLanes ??= new Lanes(this, {
      beginWaiting: (json) => {
        const bytes = deliveryBytes((json as string).length)
        this.port.hold(bytes)
        return bytes
      },
      endWaiting: (bytes) => this.port.release(bytes)
    }))
  }

  ping (): void {
    // Until the version is known both are asked; the one that is answered decides.
    if (this.dialect === unknownDialect) this.port.send(dialects[1].ping)
    this.port.send(this.dialect === unknownDialect ? dialects[2].ping : this.dialect.ping)
  }

  pingTimedOut (): void {
    // Nothing is read from it because our own hooks and handlers are slow; it may well have answered.
    if (this.activity.paused) {
      if (this.#stuck) this.end(4429)
      return
    }
    if (this.activity.resumed) {
      this.activity.resumed = false
      this.lastSeen = performance.now()
      return
    }
    this.end(4001)
  }

  /** Whatever reading waits for has had more time than it may take. */
  get #stuck (): boolean {
    const { hookTimeout, handlerTimeout, pingTimeout } = this.host.options
    if (hookTimeout === 0 || handlerTimeout === 0) return false
    return performance.now() - this.activity.progressAt > Math.max(hookTimeout, handlerTimeout, pingTimeout)
  }

  /** The answer to a call of ours; false when nothing waits for it. */
  settleCall (rid: CallId, error: unknown, data: unknown): boolean {
    // Nothing is made of what nobody waits for.
    return this.#calls !== null && this.#calls.has(rid) && this.#calls.settle(rid, hydrateError(error), data)
  }

  /** */
  addSubscription (options: SubscriptionOptions): void {
    const { channel, data } = options
    if (data === undefined) {
      this.subscribed.set(channel, options)
      return
    }
    const dataBytes = memorySize(data)
    this.subscribed.set(channel, { ...options, dataBytes })
    this.#countSubscriptionData(dataBytes)
  }

  /** False when there was none. */
  removeSubscription (channel: string): boolean {
    const options = this.subscribed.get(channel)
    if (options === undefined) return false
    if (options.dataBytes !== undefined) this.#countSubscriptionData(-options.dataBytes)
    return this.subscribed.delete(channel)
  }

  #countSubscriptionData (bytes: number): void {
    this.subscriptionData += bytes
    this.port.holdings.add(bytes)
  }

  // Authentication

  deauthenticateSelf (): void {
    announceLoss(this, removeToken(this))
  }

  /** A call to the client, as a promise of what went wrong with it. */
  callOf (event: string, data?: unknown): Promise<Error | null> {
    return this.invoke(event, data).then(() => null, asError)
  }

  /** Drops its token here, and tells the client, unless a listener gave it another one. */
  deauthenticate (): void {
    this.deauthenticateSelf()
    // SocketCluster's clients answer it, but nobody waits here: the token is gone either way.
    if (this.authToken === null) this.sendEvent('#removeAuthToken', undefined)
  }

  /** The same, and asks the client. @returns what went wrong with that */
  deauthenticateDelivered (): Promise<Error | null> {
    this.deauthenticateSelf()
    return this.authToken === null ? this.callOf('#removeAuthToken') : delivered
  }

  /** Takes it out of a channel that it is in, and tells the client. */
  kickOut (channel: string, message: string | undefined): void {
    if (!this.subscribed.has(channel)) return
    this.host.leave(this, channel)
    this.sendEvent('#kickOut', { message, channel })
  }

  // Closing

  disconnect (code: number = 1000, data?: unknown): void {
    if (!isSendableCloseCode(code)) {
      this.emitError(scError('SC_ERR_CLOSE_CODE', [code]))
      code = 1000
    }
    if (this.state === 'closed') return
    if (this.dialect.disconnectPacket) this.sendEvent('#disconnect', { code, data })
    this.end(code, data)
  }

  terminate (): void {
    this.port.terminate()
    this.#letGo()
  }

  /** What was kept for a connection that is gone is let go at once, not when its hooks and handlers are done. */
  #letGo (): void {
    this.activity.end()
    this.lanes.clear()
    this.#deliveryLanes?.clear()
    this.withheld = null
  }

  /** Closes without the packet that announces it. */
  end (code: number, data?: unknown): void {
    this.#batch?.flush()
    this.finish(code, data)
    this.port.close(code, reasonText(data))
  }

  /** The connection is closed, or as good as: everything that follows from that, once. */
  finish (code: number, data: unknown): void {
    if (this.state === 'closed') return
    const wasOpen = this.state === 'open'
    this.state = 'closed'
    this.#letGo()
    this.#batch?.cancel()
    this.#calls?.abort(wasOpen ? 'disconnect' : 'connectAbort', code, reasonText(data))
    try {
      this.host.release(this, code)
    } catch (err) {
      this.fault(err)
    }
    this.host.fire(wasOpen ? 'disconnection' : 'connectionAbort', this.socket, code, data)
    this.host.fire('closure', this.socket, code, data)
    this.fireLocal(wasOpen ? 'disconnect' : 'connectAbort', code, data)
    this.fireLocal('close', code, data)
    if (!isOrdinaryClose(code)) {
      const reason = reasonText(data)
      const text = closeReasons[code] ?? `Socket connection closed with status code ${code}${reason === '' ? '' : ` and reason: ${reason}`}`
      this.emitError(scError('SC_ERR_SOCKET_CLOSED', [text], { code }))
    }
    this.#endStreams()
  }

  // Events

  /** Messages of the client that wait for hooks or handlers. */
  get waitingInbound (): number { return this.activity.waiting + this.activity.owed }
  /** Messages that wait to be sent. */
  get waitingOutbound (): number { return this.port.queuedMessages + (this.#deliveryLanes?.pending ?? 0) }

  protected override get receiver (): unknown { return this.socket }

  get listenerStreams (): StreamSet { return this.streams }
  get receiverStreams (): StreamSet { return (this.#receivers ??= new StreamSet(this.streamKeeper())) }
  get procedureStreams (): StreamSet { return (this.#procedures ??= new StreamSet(this.streamKeeper())) }
  activeReceiver (event: string): Stream<any> | undefined { return this.#receivers?.active(event) }
  activeProcedure (event: string): Stream<any> | undefined { return this.#procedures?.active(event) }

  /** How many values wait for the slowest loop over any of its streams. */
  get streamBackpressure (): number {
    return Math.max(this.getAllListenersBackpressure(), this.#receivers?.backpressure() ?? 0, this.#procedures?.backpressure() ?? 0)
  }

  /** The connection is gone: loops over what the client sent end at once, those over local events when they have read what there is. */
  #endStreams (): void {
    this.#receivers?.end(true)
    this.#procedures?.end(true)
    // What these hold are the client's messages.
    this.streams.stop(true, 'message')
    this.streams.stop(true, 'raw')
    this.closeStreams()
  }

  /** What waits for slow loops counts as what waits for handlers: reading pauses. */
  protected override streamKeeper (): StreamKeeper {
    return {
      hold: (data) => this.activity.hold(data),
      release: (bytes) => this.activity.release(bytes),
      behind: (err) => this.host.warn(err, this.log)
    }
  }

  /** */
  fireLocal<E extends keyof SocketEvents> (event: E, ...args: SocketEvents[E]): void {
    this.fire(event, args, socketEventObjects[event])
  }

  /** Whether anybody would notice a local event. */
  observes (event: keyof SocketEvents): boolean {
    return this.hasListeners(event) || this.activeStream(event) !== undefined
  }

  /** Calls the application's handlers of a client's event. */
  eachListener (event: string, visit: (listener: (...args: any[]) => unknown) => void): void {
    this.forEachListener(event, visit)
  }

  /** An event of the wire that only observes: nobody can answer it. */
  fireWire (event: string, data: unknown): void {
    this.fire(event, [data])
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
}

printAs(Session, 'Session', ({ socket }) => ({ socket }))

/** What a publication takes that waits for hooks: the text, which others may share, and what is made to wait. */
export function deliveryBytes (length: number): number {
  return length * 2 + 512
}

function encodeError (err: unknown): Error {
  return scError('SC_ERR_ENCODE', [messageOf(err)], { cause: err })
}
