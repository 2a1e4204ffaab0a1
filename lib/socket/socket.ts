import type { IncomingMessage } from 'node:http'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { ScAuthToken, ScSignOptions } from '../../types/auth.js'
import type { ScExchange } from '../../types/exchange.js'
import type { ScSocketPresence } from '../../types/presence.js'
import type { ProtocolVersion } from '../../types/protocol.js'
import type { AuthState, DeauthenticateOptions, RawBytes, ScServer, ScServerSocket, SocketState } from '../../types/server.js'
import type { AnyListener } from '../../types/user-data.js'
import { checkCallback, checkObject, checkText, checkTimeout } from '../arguments.js'
import { follow } from '../barrier.js'
import { scError } from '../errors.js'
import { printAs } from '../printing.js'
import { done, handled } from '../promises.js'
import { rawPayload } from '../protocol/codec.js'
import { isLocalEvent } from '../protocol/names.js'
import { messageOf } from '../untrusted.js'
import { type CallCallback, tell } from './calls.js'
import { Session } from './session.js'
import { SocketStreams } from './socket-streams.js'

/** The result of a delivery without an error. */
const delivered: Promise<Error | null> = Promise.resolve(null)

/** Returns the session behind a socket that the application passes back. */
export let sessionOf: (socket: ScServerSocket) => Session

/** The socket that the application sees: SocketCluster's API over a session. */
export class ServerSocket extends SocketStreams implements ScServerSocket {
  static readonly CONNECTING = 'connecting'
  static readonly OPEN = 'open'
  static readonly CLOSED = 'closed'
  static readonly AUTHENTICATED = 'authenticated'
  static readonly UNAUTHENTICATED = 'unauthenticated'

  static {
    sessionOf = (socket) => (socket as ServerSocket).#session
  }

  declare readonly CONNECTING: 'connecting'
  declare readonly OPEN: 'open'
  declare readonly CLOSED: 'closed'
  declare readonly AUTHENTICATED: 'authenticated'
  declare readonly UNAUTHENTICATED: 'unauthenticated'

  readonly id: string
  data: unknown = undefined
  readonly #session: Session
  #active = true

  constructor (session: Session) {
    super(session)
    this.#session = session
    this.id = session.id
  }

  get transport (): 'websocket' | 'sse' { return this.#session.connection.transport }
  get active (): boolean { return this.#active }
  get state (): SocketState { return this.#session.state }
  get authState (): AuthState { return this.#session.auth.state }
  get authToken (): ScAuthToken | null { return this.#session.auth.token }
  get signedAuthToken (): string | null { return this.#session.auth.signedToken }
  get log (): FastifyBaseLogger { return this.#session.log }
  get server (): ScServer { return this.#session.host.server }
  get exchange (): ScExchange { return this.#session.host.exchange }
  get fastifyRequest (): FastifyRequest { return this.#session.fastifyRequest }
  get request (): IncomingMessage { return this.#session.fastifyRequest.raw }
  get remoteAddress (): string | undefined { return this.#session.remoteAddress }
  // Node.js keeps the address after the first access, which the session made.
  get remoteFamily (): string | undefined { return this.request.socket?.remoteFamily }
  get remotePort (): number | undefined { return this.request.socket?.remotePort }

  get forwardedForAddress (): string | undefined {
    const header = this.request.headers['x-forwarded-for']
    const first = (Array.isArray(header) ? header[0] : header)?.split(',', 1)[0]?.trim()
    return first === '' ? undefined : first
  }

  get protocolVersion (): ProtocolVersion | null { return this.#session.protocolVersion }
  get bufferedAmount (): number { return this.#session.bufferedAmount }

  get channelSubscriptions (): Readonly<Record<string, true>> {
    const view = Object.create(null) as Record<string, true>
    for (const channel of this.#session.subscriptions.names) view[channel] = true
    return view
  }

  get channelSubscriptionsCount (): number { return this.#session.subscriptions.size }

  getState (): SocketState { return this.#session.state }
  getBytesReceived (): number { return this.#session.bytesReceived }
  getAuthToken (): ScAuthToken | null { return this.#session.auth.token }
  subscriptions (): string[] { return this.#session.subscriptions.names }
  isSubscribed (channel: string): boolean { return this.#session.subscriptions.has(channel) }

  presence (channel: string): ScSocketPresence {
    checkText('presence', 'channel', channel)
    return this.#session.host.presenceOf(this.#session, channel)
  }

  getBackpressure (): number { return Math.max(this.getInboundBackpressure(), this.getOutboundBackpressure(), this.#session.streamBackpressure) }
  getInboundBackpressure (): number { return this.#session.waitingInbound }
  getOutboundBackpressure (): number { return this.#session.waitingOutbound }

  // Listeners

  on (event: string, listener: AnyListener): this {
    this.#session.on(event, listener)
    return this
  }

  once (event: string, listener: AnyListener): this {
    this.#session.once(event, listener)
    return this
  }

  off (event?: string, listener?: AnyListener): this {
    this.#session.off(event, listener)
    return this
  }

  removeListener (event: string, listener: AnyListener): this { return this.off(event, listener) }
  listeners (event: string): AnyListener[] { return this.#session.listeners(event) }
  hasListeners (event: string): boolean { return this.#session.hasListeners(event) }

  // Sending

  emit (event: string, data?: unknown, callback?: CallCallback): void {
    checkText('emit', 'event', event)
    checkCallback('emit', callback)
    if (event === 'error') this.#session.emitError(data)
    else if (isLocalEvent(event)) this.#session.emitError(scError('SC_ERR_EVENT_RESERVED', [event]))
    else if (callback === undefined || callback === null) this.#session.outbound.event(event, data)
    else this.#session.outbound.call(event, data, callback)
  }

  transmit (event: string, data?: unknown): void {
    this.emit(event, data)
  }

  invoke (event: string, data?: unknown, options?: { timeout?: number }): Promise<unknown> {
    try {
      checkText('invoke', 'event', event)
      checkObject('invoke', 'options', options)
      checkTimeout('invoke', options?.timeout)
    } catch (err) {
      return handled(Promise.reject(err))
    }
    return this.#session.outbound.invoke(event, data, options?.timeout)
  }

  sendObject (object: unknown, options?: { batch?: boolean }): void {
    this.#session.outbound.packet(object, options?.batch === true)
  }

  send (data: string | number | RawBytes, options?: { binary?: boolean }): void {
    checkObject('send', 'options', options)
    const payload = rawPayload(data)
    if (this.transport === 'sse') {
      this.#session.emitError(scError('SC_ERR_SSE_RAW'))
      return
    }
    const binary = options?.binary ?? typeof payload !== 'string'
    if (binary === (typeof payload !== 'string')) this.#session.connection.send(payload)
    else this.#session.connection.send(binary ? Buffer.from(payload as string) : payload.toString())
  }

  encode (object: unknown): string | Buffer | ArrayBuffer | Uint8Array { return this.#session.host.codec.encode(object) }
  decode (message: string | Buffer): unknown { return this.#session.host.codec.decode(message) }

  // Authentication and channels

  setAuthToken (claims: ScAuthToken | object, options?: ScSignOptions | null, callback?: (err: Error | null) => void): Promise<void> {
    return this.#promise(() => {
      checkObject('setAuthToken', 'options', options)
      checkCallback('setAuthToken', callback)
      const { rejectOnFailedDelivery, ...signOptions } = options ?? {}
      const delivery = this.#session.host.setAuthToken(this.#session, claims, signOptions)
      this.#tell(delivery, callback)
      return delivery.then((failure) => {
        if (failure === null || rejectOnFailedDelivery !== true) return
        const error = scError('SC_ERR_TOKEN_DELIVERY', [messageOf(failure)], { cause: failure })
        this.#session.emitError(error)
        throw error
      })
    })
  }

  deauthenticate (options?: DeauthenticateOptions | ((err: Error | null) => void) | null): Promise<void> {
    return this.#promise(() => {
      const callback = typeof options === 'function' ? options : undefined
      if (callback === undefined) checkObject('deauthenticate', 'argument', options)
      const reject = callback === undefined && (options as DeauthenticateOptions | null | undefined)?.rejectOnFailedDelivery === true
      if (callback === undefined && !reject) {
        this.#session.deauthenticate()
        return done
      }
      this.#session.deauthenticateSelf()
      // A listener may have set a new token, which the client has to keep.
      const removed = this.getAuthToken() === null ? this.#session.outbound.delivery('#removeAuthToken') : delivered
      this.#tell(removed, callback)
      return removed.then((failure) => {
        if (failure === null || !reject) return
        this.#session.emitError(failure)
        throw failure
      })
    })
  }

  deauthenticateSelf (): void {
    this.#session.deauthenticateSelf()
  }

  kickOut (channel?: string | null, message?: string, callback?: (err: Error | null) => void): Promise<void> {
    return this.#promise(() => {
      if (channel !== undefined && channel !== null) checkText('kickOut', 'channel', channel)
      checkCallback('kickOut', callback)
      const { subscriptions } = this.#session
      const channels = channel === undefined || channel === null ? new Set([...subscriptions.names, ...subscriptions.pending.channels]) : [channel]
      for (const name of channels) this.#session.kickOut(name, message)
      this.#tell(delivered, callback)
      return done
    })
  }

  /** Runs a method that returns a promise. The application need not await it: a rejection is a warning at most. */
  #promise (act: () => Promise<void>): Promise<void> {
    try {
      return handled(act())
    } catch (err) {
      this.#session.onListenerError(err)
      return handled(Promise.reject(err))
    }
  }

  #tell (delivery: Promise<Error | null>, callback: ((err: Error | null) => void) | null | undefined): void {
    if (callback === undefined || callback === null) return
    const told = (failure: unknown): void => tell(callback, failure as Error | null, undefined, (err) => this.#session.onListenerError(err))
    follow(this.#session, delivery, told, told)
  }

  // Closing

  disconnect (code: number = 1000, data?: unknown): void {
    this.#session.disconnect(code, data)
  }

  destroy (code?: number, data?: unknown): void {
    this.#active = false
    this.disconnect(code, data)
  }

  terminate (): void {
    this.#session.terminate()
  }
}

// Instances have the constants too, through their prototype.
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

/** Creates the session of a connection and its socket. */
export function createSession (...args: ConstructorParameters<typeof Session>): Session {
  const session = new Session(...args)
  session.socket = new ServerSocket(session)
  return session
}
