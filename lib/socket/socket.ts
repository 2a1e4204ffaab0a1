import type { IncomingMessage } from 'node:http'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { ScAuthToken, ScSignOptions } from '../../types/auth.js'
import type { ScExchange } from '../../types/exchange.js'
import type { SlowConsumerPolicy } from '../../types/options.js'
import type { CallId, ProtocolVersion } from '../../types/protocol.js'
import type { AuthState, DeauthenticateOptions, RawBytes, ScServer, ScServerSocket, SocketEvents, SocketState, SubscriptionOptions } from '../../types/server.js'
import { checkCallback, checkObject, checkText, checkTimeout } from '../arguments.js'
import { follow } from '../barrier.js'
import type { Timed } from '../deadlines.js'
import { scError } from '../errors.js'
import type { FailureKind } from '../log.js'
import { printAs } from '../printing.js'
import { done, handled } from '../promises.js'
import { closeReasons, isOrdinaryClose, isSendableCloseCode, reasonText } from '../protocol/close-codes.js'
import { encodeMessage, rawPayload, toJson } from '../protocol/codec.js'
import { type Dialect, dialects, unknownDialect } from '../protocol/dialects.js'
import { memorySize } from '../protocol/memory-size.js'
import { isLocalEvent } from '../protocol/names.js'
import { ackText, eventText } from '../protocol/packets.js'
import { dehydrateError, hydrateError } from '../protocol/wire-errors.js'
import { asError, messageOf, readable } from '../untrusted.js'
import type { SharedMessage } from '../transport/frames.js'
import type { Beating } from '../transport/heartbeat.js'
import type { SocketPort } from '../transport/port.js'
import type { StreamKeeper } from '../streams.js'
import { Activity } from './activity.js'
import { announceLoss, removeToken } from './authentication.js'
import { type CallCallback, Calls, tell } from './calls.js'
import { socketEventObjects } from './event-objects.js'
import type { SocketHost } from './host.js'
import { Lanes } from './lanes.js'
import { PacketBatch } from './packet-batch.js'
import { StreamOwner } from './stream-owner.js'
import type { TokenBucket } from './token-bucket.js'
import { Withheld } from './withheld.js'

/** Nothing went wrong. */
const delivered: Promise<Error | null> = Promise.resolve(null)

/** A subscription as a socket keeps it. */
interface KeptSubscription extends SubscriptionOptions {
  /** What its `data` counted for. */
  readonly dataBytes?: number
}

/** The socket class: its state and what goes out. What comes in is in `inbound.ts`. */
export class ServerSocket extends StreamOwner implements ScServerSocket, Beating {
  static readonly CONNECTING = 'connecting'
  static readonly OPEN = 'open'
  static readonly CLOSED = 'closed'
  static readonly AUTHENTICATED = 'authenticated'
  static readonly UNAUTHENTICATED = 'unauthenticated'

  declare readonly CONNECTING: 'connecting'
  declare readonly OPEN: 'open'
  declare readonly CLOSED: 'closed'
  declare readonly AUTHENTICATED: 'authenticated'
  declare readonly UNAUTHENTICATED: 'unauthenticated'

  state: SocketState = 'connecting'
  // Written by `authentication.ts` only.
  readonly authState: AuthState = 'unauthenticated'
  /** @internal Counts what was decided about its token. */ readonly authVersion: number = 0
  /** @internal Its subscriptions have yet to be checked for a change of its token. */ readonly unchecked: boolean = false
  active = true
  data: any = undefined
  readonly remoteAddress: string | undefined

  /** @internal */ lastSeen = performance.now()
  /** @internal */ bytesReceived = 0
  /** @internal Messages in a row that could not be read. */ unreadable = 0
  /** @internal Whether its `#handshake` came. */ handshaking = false
  /** @internal Ends the connection when the handshake takes too long. */ handshakeWait: Timed | null = null
  /** @internal */ dialect: Dialect
  /** @internal By channel; with `data` only where it may be needed again. */ get subscribed (): Map<string, KeptSubscription> { return this.#subscribed }
  /** @internal Bytes of memory that those data take. */ subscriptionData = 0
  /** @internal Made with the first `#authenticate`. */ authAttempts: TokenBucket | null = null
  /** @internal Channels for which the broker is being asked; they count towards the limit. */ joining = 0
  /** @internal How often its authorization changed: a subscription under way meanwhile is checked again. */ authorizations = 0
  /** @internal Actions on one channel, in order. */ readonly lanes: Lanes
  /** @internal What is under way. */ readonly activity: Activity
  /** @internal The server is about to close it: what it asks for now is not begun. */ retiring = false
  /** @internal Channels whose messages are held back. */ get withheld (): Withheld | null { return this.#withheld }
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
  readonly #host: SocketHost<ServerSocket>
  readonly #fastifyRequest: FastifyRequest

  constructor (readonly id: string, host: SocketHost<ServerSocket>, /** @internal */ readonly port: SocketPort, fastifyRequest: FastifyRequest) {
    super()
    this.#host = host
    this.#fastifyRequest = fastifyRequest
    this.remoteAddress = fastifyRequest.ip
    const { protocolVersion } = host.options
    this.activity = new Activity(host.options.inboundQueue, host.options.inboundQueueBytes, port)
    this.lanes = new Lanes(this, this.activity)
    this.dialect = protocolVersion === 'auto' ? unknownDialect : dialects[protocolVersion]
  }

  /** @internal */ get host (): SocketHost<ServerSocket> { return this.#host }
  get fastifyRequest (): FastifyRequest { return this.#fastifyRequest }
  get server (): ScServer { return this.#host.server }
  get exchange (): ScExchange { return this.host.exchange }
  get request (): IncomingMessage { return this.fastifyRequest.raw }
  // The address is kept by Node.js after the first look, which the constructor took.
  get remoteFamily (): string | undefined { return this.request.socket?.remoteFamily }
  get remotePort (): number | undefined { return this.request.socket?.remotePort }

  get forwardedForAddress (): string | undefined {
    const header = this.request.headers['x-forwarded-for']
    const first = (Array.isArray(header) ? header[0] : header)?.split(',', 1)[0]?.trim()
    return first === '' ? undefined : first
  }

  get protocolVersion (): ProtocolVersion | null {
    return this.dialect === unknownDialect ? null : this.dialect.version
  }

  get bufferedAmount (): number { return this.port.bufferedBytes }
  /** @internal Everything that is in memory because of this connection and is counted. */
  get heldBytes (): number { return this.port.bufferedBytes + this.activity.heldBytes + this.subscriptionData }

  get log (): FastifyBaseLogger {
    // Made when first needed: a child logger costs as much as a small message.
    return (this.#log ??= this.fastifyRequest.log.child({ socketId: this.id }))
  }

  get channelSubscriptions (): Readonly<Record<string, true>> {
    const view = Object.create(null) as Record<string, true>
    for (const channel of this.subscribed.keys()) view[channel] = true
    return view
  }

  get channelSubscriptionsCount (): number { return this.subscribed.size }

  get authToken (): ScAuthToken | null { return this.#authToken }
  set authToken (claims: ScAuthToken | null) { this.#authToken = claims }
  get signedAuthToken (): string | null { return this.#signedAuthToken }
  set signedAuthToken (signed: string | null) { this.#signedAuthToken = signed }

  getState (): SocketState { return this.state }
  getBytesReceived (): number { return this.bytesReceived }
  getAuthToken (): ScAuthToken | null { return this.authToken }
  subscriptions (): string[] { return [...this.subscribed.keys()] }
  isSubscribed (channel: string): boolean { return this.subscribed.has(channel) }

  // Sending

  emit (event: string, data?: unknown, callback?: CallCallback): void {
    checkText('emit', 'event', event)
    checkCallback('emit', callback)
    if (isLocalEvent(event)) {
      if (event === 'error') this.emitError(data as Error)
      else this.emitError(scError('SC_ERR_EVENT_RESERVED', [event]))
      return
    }
    if (callback === undefined || callback === null) this.#sendEvent(event, data)
    else this.#call(event, data, callback)
  }

  transmit (event: string, data?: unknown): void {
    this.emit(event, data)
  }

  invoke (event: string, data?: unknown, options?: { timeout?: number }): Promise<any> {
    return handled(new Promise((resolve, reject) => {
      checkText('invoke', 'event', event)
      checkObject('invoke', 'options', options)
      const timeout = options?.timeout
      checkTimeout('invoke', timeout)
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
    const failure = this.#sendEvent(event, data, cid)
    if (failure !== undefined) this.#calls.settle(cid, failure, undefined)
    return cid
  }

  #sendEvent (event: string, data: unknown, cid?: number): Error | undefined {
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

  /** @internal Answers a call. Data that cannot be encoded becomes an error for both sides. */
  sendAck (rid: CallId, data: unknown): void {
    try {
      this.port.send(this.host.plainJson ? ackText(rid, toJson(data)) : this.#encoded({ rid, data }))
    } catch (err) {
      const error = encodeError(err)
      this.emitError(error)
      this.sendErrorAck(rid, error)
    }
  }

  /** @internal Answers a call with data that is JSON text already; the empty string is no data. */
  sendJsonAck (rid: CallId, json: string): void {
    if (json === '') this.sendAck(rid, undefined)
    else if (this.host.plainJson) this.port.send(ackText(rid, json))
    else this.sendAck(rid, JSON.parse(json))
  }

  /** @internal Answers a call with an error that the client may see, and with data beside it. */
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

  sendObject (object: unknown, options?: { batch?: boolean }): void {
    if (options?.batch === true) {
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

  send (data: string | number | RawBytes, options?: { binary?: boolean }): void {
    checkObject('send', 'options', options)
    const payload = rawPayload(data)
    const binary = options?.binary ?? typeof payload !== 'string'
    if (binary === (typeof payload !== 'string')) this.port.send(payload)
    else this.port.send(binary ? Buffer.from(payload as string) : payload.toString())
  }

  encode (object: unknown): string | Buffer | ArrayBuffer | Uint8Array { return this.host.codec.encode(object) }
  decode (message: string | Buffer): unknown { return this.host.codec.decode(message) }

  /** @internal A publication; false when it was left out. */
  deliver (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean {
    if (this.withheld !== null && this.withheld.has(channel)) {
      const kept = this.withheld.add(channel, message, policy)
      if (kept === null) this.host.overrun(this, policy)
      return kept === true
    }
    return this.port.publish(message, channel, policy)
  }

  /** @internal Publications that wait for slow hooks, in order. */
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

  /** @internal The answer to a call of ours; false when nothing waits for it. */
  settleCall (rid: CallId, error: unknown, data: unknown): boolean {
    // Nothing is made of what nobody waits for.
    return this.#calls !== null && this.#calls.has(rid) && this.#calls.settle(rid, hydrateError(error), data)
  }

  /** @internal */
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

  /** @internal False when there was none. */
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

  setAuthToken (claims: ScAuthToken | object, options?: ScSignOptions | null, callback?: (err: Error | null) => void): Promise<void> {
    return this.#promise(() => {
      checkObject('setAuthToken', 'options', options)
      checkCallback('setAuthToken', callback)
      const { rejectOnFailedDelivery, ...signOptions } = options ?? {}
      const delivery = this.host.setAuthToken(this, claims, signOptions)
      this.#tell(delivery, callback)
      return delivery.then((failure) => {
        if (failure === null || rejectOnFailedDelivery !== true) return
        const error = scError('SC_ERR_TOKEN_DELIVERY', [messageOf(failure)], { cause: failure })
        this.emitError(error)
        throw error
      })
    })
  }

  deauthenticate (options?: DeauthenticateOptions | ((err: Error | null) => void) | null): Promise<void> {
    return this.#promise(() => {
      const callback = typeof options === 'function' ? options : undefined
      if (callback === undefined) checkObject('deauthenticate', 'argument', options)
      const reject = callback === undefined && (options as DeauthenticateOptions | null | undefined)?.rejectOnFailedDelivery === true
      this.deauthenticateSelf()
      // A listener may have given it another one, which the client is to keep.
      const gone = this.getAuthToken() === null
      if (callback === undefined && !reject) {
        // SocketCluster's clients answer it, but nobody waits here: the token is gone either way.
        if (gone) this.#sendEvent('#removeAuthToken', undefined)
        return done
      }
      const removed = gone ? this.deliveryOf(this.invoke('#removeAuthToken')) : delivered
      this.#tell(removed, callback)
      return removed.then((failure) => {
        if (failure === null || !reject) return
        this.emitError(failure)
        throw failure
      })
    })
  }

  /** @internal A call to the client as a promise of what went wrong with it. */
  deliveryOf (call: Promise<unknown>): Promise<Error | null> {
    return call.then(() => null, asError)
  }

  deauthenticateSelf (): void {
    announceLoss(this, removeToken(this))
  }

  kickOut (channel?: string | null, message?: string, callback?: (err: Error | null) => void): Promise<void> {
    return this.#promise(() => {
      if (channel !== undefined && channel !== null) checkText('kickOut', 'channel', channel)
      checkCallback('kickOut', callback)
      const channels = channel === undefined || channel === null ? this.subscriptions() : this.subscribed.has(channel) ? [channel] : []
      for (const name of channels) {
        this.host.leave(this, name)
        this.#sendEvent('#kickOut', { message, channel: name })
      }
      this.#tell(delivered, callback)
      return done
    })
  }

  /** What a method promises. Nobody has to wait for it: a rejection that is not handled is a warning at most. */
  #promise (act: () => Promise<void>): Promise<void> {
    try {
      return handled(act())
    } catch (err) {
      this.onListenerError(err)
      return handled(Promise.reject(err))
    }
  }

  #tell (delivery: Promise<Error | null>, callback: ((err: Error | null) => void) | null | undefined): void {
    if (callback === undefined || callback === null) return
    const told = (failure: unknown): void => tell(callback, failure as Error | null, undefined, (err) => this.onListenerError(err))
    follow(this, delivery, told, told)
  }

  // Closing

  disconnect (code: number = 1000, data?: unknown): void {
    if (!isSendableCloseCode(code)) {
      this.emitError(scError('SC_ERR_CLOSE_CODE', [code]))
      code = 1000
    }
    if (this.state === 'closed') return
    if (this.dialect.disconnectPacket) this.#sendEvent('#disconnect', { code, data })
    this.end(code, data)
  }

  destroy (code?: number, data?: unknown): void {
    this.active = false
    this.disconnect(code, data)
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

  /** @internal Closes without the packet that announces it. */
  end (code: number, data?: unknown): void {
    this.#batch?.flush()
    this.finish(code, data)
    this.port.close(code, reasonText(data))
  }

  /** @internal The connection is closed, or as good as: everything that follows from that, once. */
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
    this.host.fire(wasOpen ? 'disconnection' : 'connectionAbort', this, code, data)
    this.host.fire('closure', this, code, data)
    this.fireLocal(wasOpen ? 'disconnect' : 'connectAbort', code, data)
    this.fireLocal('close', code, data)
    if (!isOrdinaryClose(code)) {
      const reason = reasonText(data)
      const text = closeReasons[code] ?? `Socket connection closed with status code ${code}${reason === '' ? '' : ` and reason: ${reason}`}`
      this.emitError(scError('SC_ERR_SOCKET_CLOSED', [text], { code }))
    }
    this.endStreams()
  }

  // Events

  getBackpressure (): number {
    return Math.max(this.getInboundBackpressure(), this.getOutboundBackpressure(), this.getAllListenersBackpressure(), this.getAllReceiversBackpressure(), this.getAllProceduresBackpressure())
  }

  getInboundBackpressure (): number { return this.activity.waiting + this.activity.owed }
  getOutboundBackpressure (): number { return this.port.queuedMessages + (this.#deliveryLanes?.pending ?? 0) }

  /** What waits for slow loops counts as what waits for handlers: reading pauses. */
  protected override streamKeeper (): StreamKeeper {
    return {
      hold: (data) => this.activity.hold(data),
      release: (bytes) => this.activity.release(bytes),
      behind: (err) => this.host.warn(err, this.log)
    }
  }

  /** @internal */
  fireLocal<E extends keyof SocketEvents> (event: E, ...args: SocketEvents[E]): void {
    this.fire(event, args, socketEventObjects[event])
  }

  /** @internal Whether anybody would notice a local event. */
  observes (event: keyof SocketEvents): boolean {
    return this.hasListeners(event) || this.activeStream(event) !== undefined
  }

  /** @internal Calls the application's handlers of a client's event. */
  eachListener (event: string, visit: (listener: (...args: any[]) => unknown) => void): void {
    this.forEachListener(event, visit)
  }

  /** @internal An event of the wire that only observes: nobody can answer it. */
  fireWire (event: string, data: unknown): void {
    this.fire(event, [data])
  }

  /** @internal An error of this socket: its own `error` event, and a warning of the server. */
  emitError (err: unknown, kind?: FailureKind): void {
    const error = readable(err) as Error
    this.fireLocal('error', error)
    this.host.warn(error, this.log, kind)
  }

  /** @internal What code in its name threw where nobody else catches it. Never throws. */
  fault (err: unknown): void {
    this.host.fault(this, err)
  }

  protected onListenerError (err: unknown): void {
    this.host.warn(err, this.log)
  }
}

// Instances have the constants too, on their prototype.
for (const name of ['CONNECTING', 'OPEN', 'CLOSED', 'AUTHENTICATED', 'UNAUTHENTICATED'] as const) {
  Object.defineProperty(ServerSocket.prototype, name, { value: ServerSocket[name] })
}

printAs(ServerSocket, 'ScServerSocket', (socket) => ({
  id: socket.id,
  state: socket.state,
  authState: socket.authState,
  user: socket.authToken?.sub,
  remoteAddress: socket.remoteAddress,
  protocolVersion: socket.protocolVersion,
  subscriptions: socket.channelSubscriptionsCount,
  bufferedAmount: socket.bufferedAmount
}))

/** What a publication takes that waits for hooks: the text, which others may share, and what is made to wait. */
export function deliveryBytes (length: number): number {
  return length * 2 + 512
}

function encodeError (err: unknown): Error {
  return scError('SC_ERR_ENCODE', [messageOf(err)], { cause: err })
}
