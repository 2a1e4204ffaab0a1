import type { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { AuthEngine, AuthKey, ScAuthToken, ScClaims, ScSignOptions } from './auth.js'
import type { BrokerState } from './broker.js'
import type { ClusterStats } from './cluster.js'
import type { ScExchange, ScStream } from './exchange.js'
import type { Middleware, MiddlewareLine } from './hooks.js'
import type { ResolvedOptions } from './options.js'
import type { CodecEngine, ProtocolVersion } from './protocol.js'
import type { ScStats } from './stats.js'
import type { AnyListener, UserData } from './user-data.js'

export type SocketState = 'connecting' | 'open' | 'closed'
export type AuthState = 'authenticated' | 'unauthenticated'

/** What a finished handshake says. On the server side `authError` is an Error, on the client plain data. */
export interface ConnectStatus {
  id: string
  /** Milliseconds. */
  pingTimeout: number
  isAuthenticated: boolean
  authError?: Error
}

export interface AuthStateChange {
  oldState: AuthState
  newState: AuthState
  authToken?: ScAuthToken
}

export interface BadAuthToken {
  authError: Error
  signedAuthToken: string | null
}

/** What a client sent with its subscription. */
export interface SubscriptionOptions {
  channel: string
  waitForAuth?: boolean
  data?: UserData
  batch?: boolean
}

/**
 * Answers a call once: `res('text')` and `res(new Error())` fail it, `res(1234, 'text')` fails it with a code, `res(null, data)` succeeds.
 * A second call throws an `InvalidActionError`.
 */
export type Respond = (err?: unknown, data?: unknown) => void

/** Bytes that `socket.send()` takes; an array is one of numbers from 0 to 255. */
export type RawBytes = ArrayBufferView | ArrayBuffer | SharedArrayBuffer | readonly number[]

/** Options of `socket.deauthenticate()`. */
export interface DeauthenticateOptions {
  /** Reject the promise when the client does not confirm that it dropped its token. */
  rejectOnFailedDelivery?: boolean
}

/** A handler of a client's event. An async handler's result, or a promise's, is the ack when `res` was not used. */
export type EventListener = (data: UserData, res: Respond) => unknown

/** The local events of a socket and what their listeners get. */
export interface SocketEvents {
  error: [err: Error]
  /** A message that is no packet. */
  raw: [message: string | Buffer]
  /** Every message, before it is read; a Buffer when the frame was binary. */
  message: [message: string | Buffer]
  connect: [status: ConnectStatus]
  disconnect: [code: number, data: unknown]
  connectAbort: [code: number, data: unknown]
  close: [code: number, data: unknown]
  subscribe: [channel: string, options: SubscriptionOptions]
  unsubscribe: [channel: string]
  badAuthToken: [status: BadAuthToken]
  authenticate: [authToken: ScAuthToken]
  deauthenticate: [oldToken: ScAuthToken | null]
  authStateChange: [change: AuthStateChange]
  authTokenSigned: [signedAuthToken: string]
}

/** What `socket.listener(event)` gives of each local event: one object, as in SocketCluster 15 and later. */
export interface SocketEventObjects {
  error: { error: Error }
  raw: { message: string | Buffer }
  message: { message: string | Buffer }
  connect: ConnectStatus
  disconnect: { code: number, reason: unknown }
  connectAbort: { code: number, reason: unknown }
  close: { code: number, reason: unknown }
  subscribe: { channel: string, subscriptionOptions: SubscriptionOptions }
  unsubscribe: { channel: string }
  badAuthToken: BadAuthToken
  authenticate: { authToken: ScAuthToken }
  deauthenticate: { oldAuthToken: ScAuthToken | null }
  authStateChange: AuthStateChange
  authTokenSigned: { signedAuthToken: string }
}

/** A call of a client, as `socket.procedure(name)` gives it. */
export interface ScProcedureRequest {
  readonly socket: ScServerSocket
  readonly id: string | number
  readonly procedure: string
  readonly data: UserData
  readonly sent: boolean
  /** Answers with data. A second answer throws an `InvalidActionError`. */
  end (data?: unknown): void
  /** Answers with an error. */
  error (error: unknown): void
}

/** What a `for await` loop over a stream tells of itself. */
export interface ScConsumerStats {
  /** Unique among the loops over streams of the same kind. */
  readonly id: number
  /** Values that wait for it. */
  readonly backpressure: number
  /** The event. */
  readonly stream: string
}

/** Streams of a socket, by the names of SocketCluster 20. Loops that start later are not concerned by `close…` and `kill…`. */
export interface ScSocketStreams {
  /** Ends loops over a local event once they have read what waits for them. */
  closeListener (event: string): void
  closeAllListeners (): void
  /** Ends loops over a local event at once. */
  killListener (event: string): void
  killAllListeners (): void
  /** Ends one loop at once. */
  killListenerConsumer (consumerId: number): void
  getListenerConsumerStats (consumerId: number): ScConsumerStats | undefined
  getListenerConsumerStatsList (event: string): ScConsumerStats[]
  getAllListenersConsumerStatsList (): ScConsumerStats[]
  getListenerConsumerCount (event: string): number
  getAllListenersConsumerCount (): number
  /** How many values wait for the slowest of the loops over a local event. */
  getListenerBackpressure (event: string): number
  getAllListenersBackpressure (): number
  getListenerConsumerBackpressure (consumerId: number): number
  hasListenerConsumer (event: string, consumerId: number): boolean
  hasAnyListenerConsumer (consumerId: number): boolean

  /** Ends loops over what the client transmits once they have read what waits for them. */
  closeReceiver (event: string): void
  closeAllReceivers (): void
  /** Ends loops over what the client transmits at once. */
  killReceiver (event: string): void
  killAllReceivers (): void
  /** Ends one loop at once. */
  killReceiverConsumer (consumerId: number): void
  getReceiverConsumerStats (consumerId: number): ScConsumerStats | undefined
  getReceiverConsumerStatsList (event: string): ScConsumerStats[]
  getAllReceiversConsumerStatsList (): ScConsumerStats[]
  /** How many values wait for the slowest of the loops over what the client transmits. */
  getReceiverBackpressure (event: string): number
  getAllReceiversBackpressure (): number
  getReceiverConsumerBackpressure (consumerId: number): number
  hasReceiverConsumer (event: string, consumerId: number): boolean
  hasAnyReceiverConsumer (consumerId: number): boolean

  /** Ends loops over calls of the client once they have read what waits for them. */
  closeProcedure (event: string): void
  closeAllProcedures (): void
  /** Ends loops over calls of the client at once. */
  killProcedure (event: string): void
  killAllProcedures (): void
  /** Ends one loop at once. */
  killProcedureConsumer (consumerId: number): void
  getProcedureConsumerStats (consumerId: number): ScConsumerStats | undefined
  getProcedureConsumerStatsList (event: string): ScConsumerStats[]
  getAllProceduresConsumerStatsList (): ScConsumerStats[]
  /** How many values wait for the slowest of the loops over calls of the client. */
  getProcedureBackpressure (event: string): number
  getAllProceduresBackpressure (): number
  getProcedureConsumerBackpressure (consumerId: number): number
  hasProcedureConsumer (event: string, consumerId: number): boolean
  hasAnyProcedureConsumer (consumerId: number): boolean
}

/** One client's connection. */
export interface ScServerSocket extends ScSocketStreams {
  /** Unique, 20 URL-safe characters. */
  readonly id: string
  readonly CONNECTING: 'connecting'
  readonly OPEN: 'open'
  readonly CLOSED: 'closed'
  readonly AUTHENTICATED: 'authenticated'
  readonly UNAUTHENTICATED: 'unauthenticated'
  /** The Node.js request of the handshake. */
  readonly request: IncomingMessage
  /** Fastify's request of the handshake. */
  readonly fastifyRequest: FastifyRequest
  /** A child of the request's logger with `socketId`. */
  readonly log: FastifyBaseLogger
  /** The client's address; behind proxies what Fastify's `trustProxy` makes of it. */
  readonly remoteAddress: string | undefined
  readonly remoteFamily: string | undefined
  readonly remotePort: number | undefined
  /** The first address of `x-forwarded-for`, when there is one. It is what the client says: do not trust it unless a proxy sets it. */
  readonly forwardedForAddress: string | undefined
  readonly exchange: ScExchange
  readonly server: ScServer
  readonly state: SocketState
  readonly authState: AuthState
  /** The decoded claims, or `null`. */
  readonly authToken: ScAuthToken | null
  readonly signedAuthToken: string | null
  /** Keyed by channel name; has no prototype. */
  readonly channelSubscriptions: Readonly<Record<string, true>>
  readonly channelSubscriptionsCount: number
  /** False after `destroy()`. */
  readonly active: boolean
  /** The wire protocol, once it is known: after the first pong, unless the server is set to one version. */
  readonly protocolVersion: ProtocolVersion | null
  /** Bytes that wait to be sent to this client. */
  readonly bufferedAmount: number
  /** Free for the application. */
  data: UserData

  getState (): SocketState
  /**
   * Ends the connection.
   * @param code 1000, or 3000–4999. Suggested: 4100–4499; from 4500 on, and with 1000, stock clients do not come back. Default 1000. Anything else emits an `InvalidArgumentsError` and closes with 1000.
   * @param data A reason, as text or as an object; 123 bytes of it reach version 2 clients.
   */
  disconnect (code?: number, data?: unknown): void
  /** `disconnect`, and `active` becomes false. */
  destroy (code?: number, data?: unknown): void
  /** Drops the TCP connection. */
  terminate (): void
  /**
   * Sends an event. With a callback the client's answer is awaited: `callback(err, data)`, with a `TimeoutError` after
   * `ackTimeout`, or a `BadConnectionError` at once when the socket closes. `emit('error', err)` is local; any other
   * reserved name emits an `InvalidActionError` on `'error'`. On a closed socket it does nothing but fail the callback.
   */
  emit (event: string, data?: unknown, callback?: (err: Error | null, data?: UserData) => void): void
  /** `emit` with a promise for the answer. */
  invoke (event: string, data?: unknown, options?: { /** Milliseconds; default `ackTimeout`. */ timeout?: number }): Promise<UserData>
  /** `emit` without an answer. */
  transmit (event: string, data?: unknown): void
  on<E extends keyof SocketEvents> (event: E, listener: (...args: SocketEvents[E]) => unknown): this
  on (event: string, listener: EventListener): this
  once<E extends keyof SocketEvents> (event: E, listener: (...args: SocketEvents[E]) => unknown): this
  once (event: string, listener: EventListener): this
  /** Removes one handler, all of an event, or all of the application's own. */
  off (event?: string, listener?: AnyListener): this
  /** `off` for one handler; `once(socket, 'disconnect')` of `node:events` needs it. */
  removeListener (event: string, listener: AnyListener): this
  listeners (event: string): AnyListener[]
  hasListeners (event: string): boolean
  /** A local event as a stream of objects, as in SocketCluster 15 and later: `for await (const { code } of socket.listener('disconnect'))`. */
  listener<E extends keyof SocketEvents> (event: E): ScStream<SocketEventObjects[E]>
  /** Data of events that clients transmit without waiting for an answer. */
  receiver (event: string): ScStream<UserData>
  /** Calls of clients; answer each with `request.end(data)` or `request.error(err)`. */
  procedure (event: string): ScStream<ScProcedureRequest>
  /**
   * Sends raw data; `'raw'` on the client. Text and numbers go as text, everything else as bytes, unless `binary` says otherwise.
   * @throws InvalidArgumentsError for anything else, such as an object
   */
  send (data: string | number | RawBytes, options?: { binary?: boolean }): void
  getAuthToken (): ScAuthToken | null
  /**
   * Authenticates the socket: signs a token with `claims` and sends it to the client. `authState` and the events change
   * synchronously; the promise settles when the client stored the token. It also resolves when the client left meanwhile or
   * did not answer, unless `rejectOnFailedDelivery` is set; the callback gets the error then. It rejects with an
   * InvalidArgumentsError for claims that are no plain object, and with an AuthTokenError when signing fails, which closes the
   * socket with 4002.
   */
  setAuthToken (claims: ScClaims, options?: ScSignOptions | null, callback?: (err: Error | null) => void): Promise<void>
  /**
   * Drops the token here and on the client. With a callback, or with `rejectOnFailedDelivery`, the client's answer is awaited:
   * the callback gets what went wrong, the promise rejects with it only if asked to.
   */
  deauthenticate (options?: DeauthenticateOptions | ((err: Error | null) => void) | null): Promise<void>
  /** Drops the token here only. */
  deauthenticateSelf (): void
  /** Unsubscribes the socket from a channel, or from all of them, and tells the client. A channel it is not in changes nothing. */
  kickOut (channel?: string | null, message?: string, callback?: (err: Error | null) => void): Promise<void>
  subscriptions (): string[]
  isSubscribed (channel: string): boolean
  /** Encodes a packet with the server's codec. */
  encode (object: unknown): string | Buffer | ArrayBuffer | Uint8Array
  /** Decodes a message with the server's codec. */
  decode (message: string | Buffer): unknown
  /** Sends a packet as it is; `batch` gathers packets for `pubSubBatchDuration` into one array. */
  sendObject (object: unknown, options?: { batch?: boolean }): void
  /** Bytes of messages received on this connection. */
  getBytesReceived (): number
  /** The most of all kinds: what waits to be worked on, to be sent, or for the slowest loop over any stream of this socket. */
  getBackpressure (): number
  /** Messages of the client that wait for hooks or handlers. */
  getInboundBackpressure (): number
  /** Messages that wait to be sent; not those that the operating system has not taken yet, see `bufferedAmount`. */
  getOutboundBackpressure (): number
}

/** Which sockets are meant: those that fit every field given. */
export interface RevokeFilter {
  /** The `sub` claim; a number and its text are the same. */
  user?: string | number
  /** The `jti` claim; likewise. */
  jti?: string | number
  socketId?: string
}

/** The events of the server and what their listeners get. */
export interface ServerEvents {
  ready: []
  error: [err: Error]
  warning: [err: unknown]
  /** As soon as the socket object exists. */
  handshake: [socket: ScServerSocket]
  connection: [socket: ScServerSocket, status: ConnectStatus]
  connectionAbort: [socket: ScServerSocket, code: number, data: unknown]
  disconnection: [socket: ScServerSocket, code: number, data: unknown]
  closure: [socket: ScServerSocket, code: number, data: unknown]
  subscription: [socket: ScServerSocket, channel: string, options: SubscriptionOptions]
  unsubscription: [socket: ScServerSocket, channel: string]
  authentication: [socket: ScServerSocket, authToken: ScAuthToken]
  deauthentication: [socket: ScServerSocket, oldToken: ScAuthToken | null]
  authenticationStateChange: [socket: ScServerSocket, change: AuthStateChange]
  badSocketAuthToken: [socket: ScServerSocket, status: BadAuthToken]
  /** A socket's backlog went over its budget. */
  slowConsumer: [socket: ScServerSocket, info: { bufferedBytes: number, policy: string }]
  /** The broker's engine became reachable or not. */
  brokerState: [state: BrokerState, cause: Error | undefined]
  /** Messages may have been lost on a channel, or on all of them (`null`). */
  gap: [channel: string | null]
}

/** What `scServer.listener(event)` gives of each event: one object, as in SocketCluster 15 and later. */
export interface ServerEventObjects {
  ready: object
  error: { error: Error }
  warning: { warning: unknown }
  handshake: { socket: ScServerSocket }
  connection: { socket: ScServerSocket } & ConnectStatus
  connectionAbort: { socket: ScServerSocket, code: number, reason: unknown }
  disconnection: { socket: ScServerSocket, code: number, reason: unknown }
  closure: { socket: ScServerSocket, code: number, reason: unknown }
  subscription: { socket: ScServerSocket, channel: string, subscriptionOptions: SubscriptionOptions }
  unsubscription: { socket: ScServerSocket, channel: string }
  authentication: { socket: ScServerSocket, authToken: ScAuthToken }
  deauthentication: { socket: ScServerSocket, oldAuthToken: ScAuthToken | null }
  authenticationStateChange: { socket: ScServerSocket } & AuthStateChange
  badSocketAuthToken: { socket: ScServerSocket } & BadAuthToken
  slowConsumer: { socket: ScServerSocket, bufferedBytes: number, policy: string }
  brokerState: { state: BrokerState, cause: Error | undefined }
  gap: { channel: string | null }
}

/** The processes that share a broker. */
export interface ScCluster {
  /** This process. */
  readonly nodeId: string
  /** Live processes, this one first. */
  readonly nodes: string[]
  /** Statistics of all live processes, and their sums. One that died is left out after its lease. */
  stats (): Promise<ClusterStats<ScStats>>
}

/** The realtime server of a Fastify application. */
export interface ScServer extends EventEmitter {
  readonly MIDDLEWARE_HANDSHAKE_WS: 'handshakeWS'
  readonly MIDDLEWARE_HANDSHAKE_SC: 'handshakeSC'
  readonly MIDDLEWARE_AUTHENTICATE: 'authenticate'
  readonly MIDDLEWARE_SUBSCRIBE: 'subscribe'
  readonly MIDDLEWARE_PUBLISH_IN: 'publishIn'
  readonly MIDDLEWARE_PUBLISH_OUT: 'publishOut'
  readonly MIDDLEWARE_EMIT: 'emit'
  /** @deprecated The old name of `MIDDLEWARE_PUBLISH_IN`. */
  readonly MIDDLEWARE_PUBLISH: 'publishIn'
  /** Complete and frozen. Keys, engines and the broker are read by name only: they are not enumerated or printed. */
  readonly options: Readonly<ResolvedOptions>
  readonly exchange: ScExchange
  /** Sockets by id; has no prototype. */
  readonly clients: Readonly<Record<string, ScServerSocket>>
  readonly clientsCount: number
  /** Sockets whose handshake is not done. */
  readonly pendingClients: Readonly<Record<string, ScServerSocket>>
  readonly pendingClientsCount: number
  readonly isReady: boolean
  /** True from the moment the server begins to close. */
  readonly draining: boolean
  readonly brokerState: BrokerState
  /** May be set while running. `null` while the application's own @fastify/jwt has the key. */
  signatureKey: AuthKey | null
  /** May be set while running. `null` while the application's own @fastify/jwt has the key. */
  verificationKey: AuthKey | null
  readonly auth: AuthEngine
  readonly codec: CodecEngine

  /** @throws InvalidArgumentsError for an unknown line */
  addMiddleware<L extends MiddlewareLine> (line: L, fn: Middleware<L, ScServerSocket, IncomingMessage>): void
  removeMiddleware<L extends MiddlewareLine> (line: L, fn: Middleware<L, ScServerSocket, IncomingMessage>): void
  setAuthEngine (engine: AuthEngine): void
  setCodecEngine (codec: CodecEngine): void
  /** Closes every connection, pending ones too. The HTTP server goes on; `fastify.close()` calls this itself. */
  close (callback?: () => void): Promise<void>
  getPath (): string
  generateId (): string
  isAuthTokenExpired (token: ScAuthToken | null): boolean
  /**
   * Takes the token away from the sockets that a filter means, on every node, and refuses it when it is presented again.
   * Their subscriptions are checked again; what is still allowed stays.
   * @returns how many sockets of the whole cluster lost their token
   * @throws InvalidArgumentsError for an empty filter
   */
  revoke (filter: RevokeFilter): Promise<number>
  /** Closes the sockets that a filter means, on every node. @returns how many */
  disconnectSockets (filter: RevokeFilter, code?: number, reason?: string): Promise<number>
  /** Kicks the sockets that a filter means out of a channel, on every node. An empty filter means all. @returns how many */
  kickOut (filter: RevokeFilter, channel: string, message?: string): Promise<number>
  /** The processes that share the broker. */
  readonly cluster: ScCluster
  /** Counters and gauges; cheap enough to ask every second. */
  stats (): ScStats
  /** Events as streams of objects, as in SocketCluster 15 and later: `for await (const { socket } of scServer.listener('connection'))`. */
  listener<E extends keyof ServerEvents> (event: E): ScStream<ServerEventObjects[E]>
  /** How many values wait for the slowest loop over an event. */
  getListenerBackpressure (event: keyof ServerEvents): number
  getAllListenersBackpressure (): number

  on<E extends keyof ServerEvents> (event: E, listener: (...args: ServerEvents[E]) => unknown): this
  once<E extends keyof ServerEvents> (event: E, listener: (...args: ServerEvents[E]) => unknown): this
  off<E extends keyof ServerEvents> (event: E, listener: (...args: ServerEvents[E]) => unknown): this
}
