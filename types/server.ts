import type { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { AuthEngine, AuthKey, ScAuthToken, ScClaims, ScSignOptions } from './auth.js'
import type { BrokerState } from './broker.js'
import type { ClusterStats, ScChannelQuery, ScCommandResult, ScListedChannel, ScListedNode, ScListedSocket, ScOnceOptions, ScPage, ScPageQuery, ScSocketQuery } from './cluster.js'
import type { ScExchange, ScStream } from './exchange.js'
import type { Middleware, MiddlewareLine } from './hooks.js'
import type { ResolvedOptions } from './options.js'
import type { ScPresenceMember, ScSocketPresence } from './presence.js'
import type { CodecEngine, ProtocolVersion } from './protocol.js'
import type { ScStats } from './stats.js'
import type { AnyListener, UserData } from './user-data.js'

/** The state of a socket: before the handshake, after it, and after the connection has ended. */
export type SocketState = 'connecting' | 'open' | 'closed'
/** Whether a socket is authenticated. */
export type AuthState = 'authenticated' | 'unauthenticated'

/** The result of a handshake. On the server `authError` is an Error, on the client plain data. */
export interface ConnectStatus {
  id: string
  /** The server's `pingTimeout` in milliseconds. */
  pingTimeout: number
  isAuthenticated: boolean
  authError?: Error
}

/** A change of a socket's `authState`. */
export interface AuthStateChange {
  oldState: AuthState
  newState: AuthState
  /** The claims; present when the new state is `'authenticated'`. */
  authToken?: ScAuthToken
}

/** A token that was refused, with the reason. */
export interface BadAuthToken {
  authError: Error
  signedAuthToken: string | null
}

/** The options that a client sent with its subscription. */
export interface SubscriptionOptions {
  channel: string
  /** Subscribe only while the socket is authenticated. */
  waitForAuth?: boolean
  /** Data for the hooks and policies of the channel. */
  data?: UserData
  batch?: boolean
}

/**
 * Answers a call: `res(null, data)` with data, `res('text')` or `res(new Error())` with an error, `res(1234, 'text')` with an
 * error code and text. A second answer throws an `InvalidActionError`.
 */
export type Respond = (err?: unknown, data?: unknown) => void

/** Binary data for `socket.send()`. An array must contain numbers from 0 to 255. */
export type RawBytes = ArrayBufferView | ArrayBuffer | SharedArrayBuffer | readonly number[]

/** Options of `socket.deauthenticate()`. */
export interface DeauthenticateOptions {
  /** Reject the promise when the client does not confirm that it removed its token. */
  rejectOnFailedDelivery?: boolean
}

/**
 * A handler of a client's event. If it returns a promise and did not call `res`, the promise's result is the answer. A handler
 * that takes `res` may resolve with `undefined` and call `res` later.
 */
export type EventListener = (data: UserData, res: Respond) => unknown

/** The local events of a socket with the arguments of their listeners. */
export interface SocketEvents {
  /** An error of this socket. It is also a `warning` of the server. */
  error: [err: Error]
  /** A message that is not a packet. */
  raw: [message: string | Buffer]
  /** Every message, before it is decoded. A Buffer if the frame was binary. */
  message: [message: string | Buffer]
  /** The handshake is complete. Only listeners added in the server's `handshake` event receive it. */
  connect: [status: ConnectStatus]
  /** The connection ended after the handshake. */
  disconnect: [code: number, data: unknown]
  /** The connection ended before the handshake was complete. */
  connectAbort: [code: number, data: unknown]
  /** The connection ended, before or after the handshake. */
  close: [code: number, data: unknown]
  /** The socket subscribed to a channel. */
  subscribe: [channel: string, options: SubscriptionOptions]
  /** A subscription ended: by the client, by `kickOut`, or because the socket closed. */
  unsubscribe: [channel: string]
  /** The server refused a token and told the client to remove it. */
  badAuthToken: [status: BadAuthToken]
  /** The socket received a token, or another one. */
  authenticate: [authToken: ScAuthToken]
  /** The socket lost its token. */
  deauthenticate: [oldToken: ScAuthToken | null]
  /** The `authState` of the socket changed. */
  authStateChange: [change: AuthStateChange]
  /** `setAuthToken` signed a token. */
  authTokenSigned: [signedAuthToken: string]
}

/** The objects that the streams of `socket.listener(event)` yield, by event, as in SocketCluster 15 and later. */
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

/** A call of a client, as yielded by the streams of `socket.procedure(name)`. */
export interface ScProcedureRequest {
  readonly socket: ScServerSocket
  /** The call id. */
  readonly id: string | number
  /** The event of the call. */
  readonly procedure: string
  readonly data: UserData
  /** Whether the call was answered. */
  readonly sent: boolean
  /** Answers the call with data. A second answer throws an `InvalidActionError`. */
  end (data?: unknown): void
  /** Answers the call with an error. */
  error (error: unknown): void
}

/** The statistics of a `for await` loop over a stream. */
export interface ScConsumerStats {
  /** The loop's id, unique among the loops over streams of the same kind. */
  readonly id: number
  /** The number of values that wait for the loop. */
  readonly backpressure: number
  /** The event of the stream. */
  readonly stream: string
}

/**
 * The stream methods of a socket, with the names of SocketCluster 20. `close…` and `kill…` do not affect loops that start later.
 */
export interface ScSocketStreams {
  /** Ends the loops over a local event after they have read all waiting values. */
  closeListener (event: string): void
  /** Ends the loops over all local events after they have read all waiting values. */
  closeAllListeners (): void
  /** Ends the loops over a local event immediately. */
  killListener (event: string): void
  /** Ends the loops over all local events immediately. */
  killAllListeners (): void
  /** Ends one loop over a local event immediately. */
  killListenerConsumer (consumerId: number): void
  /** Returns the statistics of one loop over a local event. */
  getListenerConsumerStats (consumerId: number): ScConsumerStats | undefined
  /** Returns the statistics of all loops over a local event. */
  getListenerConsumerStatsList (event: string): ScConsumerStats[]
  /** Returns the statistics of the loops over all local events. */
  getAllListenersConsumerStatsList (): ScConsumerStats[]
  /** Returns the number of loops over a local event. */
  getListenerConsumerCount (event: string): number
  /** Returns the number of loops over all local events. */
  getAllListenersConsumerCount (): number
  /** Returns the number of values that wait for the slowest loop over a local event. */
  getListenerBackpressure (event: string): number
  /** Returns the number of values that wait for the slowest loop over any local event. */
  getAllListenersBackpressure (): number
  /** Returns the number of values that wait for one loop over a local event. */
  getListenerConsumerBackpressure (consumerId: number): number
  /** Whether a local event has a loop with this id. */
  hasListenerConsumer (event: string, consumerId: number): boolean
  /** Whether any local event has a loop with this id. */
  hasAnyListenerConsumer (consumerId: number): boolean

  /** Ends the loops over events that the client transmits, after they have read all waiting values. */
  closeReceiver (event: string): void
  /** Ends the loops over all transmitted events after they have read all waiting values. */
  closeAllReceivers (): void
  /** Ends the loops over events that the client transmits immediately. */
  killReceiver (event: string): void
  /** Ends the loops over all transmitted events immediately. */
  killAllReceivers (): void
  /** Ends one loop over transmitted events immediately. */
  killReceiverConsumer (consumerId: number): void
  /** Returns the statistics of one loop over a transmitted event. */
  getReceiverConsumerStats (consumerId: number): ScConsumerStats | undefined
  /** Returns the statistics of all loops over a transmitted event. */
  getReceiverConsumerStatsList (event: string): ScConsumerStats[]
  /** Returns the statistics of the loops over all transmitted events. */
  getAllReceiversConsumerStatsList (): ScConsumerStats[]
  /** Returns the number of values that wait for the slowest loop over events that the client transmits. */
  getReceiverBackpressure (event: string): number
  /** Returns the number of values that wait for the slowest loop over any transmitted event. */
  getAllReceiversBackpressure (): number
  /** Returns the number of values that wait for one loop over a transmitted event. */
  getReceiverConsumerBackpressure (consumerId: number): number
  /** Whether a transmitted event has a loop with this id. */
  hasReceiverConsumer (event: string, consumerId: number): boolean
  /** Whether any transmitted event has a loop with this id. */
  hasAnyReceiverConsumer (consumerId: number): boolean

  /** Ends the loops over calls of the client after they have read all waiting values. */
  closeProcedure (event: string): void
  /** Ends the loops over calls of all events after they have read all waiting values. */
  closeAllProcedures (): void
  /** Ends the loops over calls of the client immediately. */
  killProcedure (event: string): void
  /** Ends the loops over calls of all events immediately. */
  killAllProcedures (): void
  /** Ends one loop over calls immediately. */
  killProcedureConsumer (consumerId: number): void
  /** Returns the statistics of one loop over calls. */
  getProcedureConsumerStats (consumerId: number): ScConsumerStats | undefined
  /** Returns the statistics of all loops over calls of an event. */
  getProcedureConsumerStatsList (event: string): ScConsumerStats[]
  /** Returns the statistics of the loops over calls of all events. */
  getAllProceduresConsumerStatsList (): ScConsumerStats[]
  /** Returns the number of values that wait for the slowest loop over calls of the client. */
  getProcedureBackpressure (event: string): number
  /** Returns the number of values that wait for the slowest loop over calls of any event. */
  getAllProceduresBackpressure (): number
  /** Returns the number of values that wait for one loop over calls. */
  getProcedureConsumerBackpressure (consumerId: number): number
  /** Whether calls of an event have a loop with this id. */
  hasProcedureConsumer (event: string, consumerId: number): boolean
  /** Whether calls of any event have a loop with this id. */
  hasAnyProcedureConsumer (consumerId: number): boolean
}

/**
 * Who calls a declared event: a socket, or a request over HTTP. Handlers of events with `http` get this type, because a caller over
 * HTTP has no connection.
 */
export interface ScCaller extends Pick<ScServerSocket, 'id' | 'transport' | 'request' | 'fastifyRequest' | 'log' | 'remoteAddress' | 'remoteFamily' | 'remotePort' |
  'forwardedForAddress' | 'exchange' | 'server' | 'authState' | 'authToken' | 'signedAuthToken' | 'data'> {}

/** The server's side of a client's connection. */
export interface ScServerSocket extends ScSocketStreams {
  /** The socket's unique id of 20 URL-safe characters. */
  readonly id: string
  /**
   * What carries the socket's messages. The client of an event stream (`'sse'`) receives only: it answers no calls. In hooks it is
   * `'http'` for a call over HTTP of an event that is declared with `http`: members that need a connection throw an
   * InvalidActionError then.
   */
  readonly transport: 'websocket' | 'sse' | 'http'
  readonly CONNECTING: 'connecting'
  readonly OPEN: 'open'
  readonly CLOSED: 'closed'
  readonly AUTHENTICATED: 'authenticated'
  readonly UNAUTHENTICATED: 'unauthenticated'
  /** The Node.js request of the upgrade. */
  readonly request: IncomingMessage
  /** The Fastify request of the upgrade. */
  readonly fastifyRequest: FastifyRequest
  /** A child logger of the request's logger, with the field `socketId`. */
  readonly log: FastifyBaseLogger
  /** The client's address. Behind proxies it depends on Fastify's `trustProxy`. */
  readonly remoteAddress: string | undefined
  readonly remoteFamily: string | undefined
  readonly remotePort: number | undefined
  /**
   * The first address of the `x-forwarded-for` header, if present. Clients can send any value: do not trust it unless a proxy
   * sets it.
   */
  readonly forwardedForAddress: string | undefined
  /** The exchange of the server. */
  readonly exchange: ScExchange
  /** The server of the socket. */
  readonly server: ScServer
  /** `'connecting'` before the handshake, then `'open'`, then `'closed'`. */
  readonly state: SocketState
  /** `'authenticated'` while the socket has a token. */
  readonly authState: AuthState
  /** The claims of the socket's token, or `null` while the socket is not authenticated. */
  readonly authToken: ScAuthToken | null
  /** The signed token, or `null`. It is also `null` when a Fastify hook of the upgrade authenticated the socket. */
  readonly signedAuthToken: string | null
  /** The socket's subscriptions by channel name. The object has no prototype. */
  readonly channelSubscriptions: Readonly<Record<string, true>>
  /** The number of the socket's subscriptions. */
  readonly channelSubscriptionsCount: number
  /** `false` after `destroy()`. */
  readonly active: boolean
  /** The version of the wire protocol; `null` until the first pong reveals it, unless the option `protocolVersion` sets it. */
  readonly protocolVersion: ProtocolVersion | null
  /** Bytes that wait to be sent to this client. */
  readonly bufferedAmount: number
  /** Data of the application. */
  data: UserData

  /** Returns `state`. */
  getState (): SocketState
  /**
   * Closes the connection.
   * @param code 1000 (the default), 1001, or 3000 to 4999. 4100 to 4499 are recommended: stock clients do not reconnect after
   * 1000, or after 4500 and higher. Any other code emits an `InvalidArgumentsError` and closes with 1000.
   * @param data The reason, as text or as an object. Version 2 clients receive at most 123 bytes of it.
   */
  disconnect (code?: number, data?: unknown): void
  /** Closes the connection like `disconnect`, and sets `active` to `false`. */
  destroy (code?: number, data?: unknown): void
  /** Drops the TCP connection without a close frame. */
  terminate (): void
  /**
   * Sends an event to the client. With `callback` it waits for the client's answer. The callback gets a `TimeoutError` after
   * `ackTimeout`, and a `BadConnectionError` as soon as the socket closes. `emit('error', err)` emits a local event; any other
   * reserved name emits an `InvalidActionError` on `'error'`. On a closed socket only the callback is called, with an error.
   */
  emit (event: string, data?: unknown, callback?: (err: Error | null, data?: UserData) => void): void
  /** Sends an event like `emit` and resolves with the client's answer. */
  invoke (event: string, data?: unknown, options?: { /** Milliseconds; default `ackTimeout`. */ timeout?: number }): Promise<UserData>
  /** Sends an event like `emit` without waiting for an answer. */
  transmit (event: string, data?: unknown): void
  /** Adds a listener of a local event, or a handler of an event that the client sends. */
  on<E extends keyof SocketEvents> (event: E, listener: (...args: SocketEvents[E]) => unknown): this
  on (event: string, listener: EventListener): this
  /** Adds a listener or a handler that is called once. */
  once<E extends keyof SocketEvents> (event: E, listener: (...args: SocketEvents[E]) => unknown): this
  once (event: string, listener: EventListener): this
  /** Removes one listener of an event, all listeners of an event, or all listeners of the application. */
  off (event?: string, listener?: AnyListener): this
  /** Removes one listener, like `off`. `once(socket, 'disconnect')` of `node:events` needs this method. */
  removeListener (event: string, listener: AnyListener): this
  /** Returns the listeners or handlers of an event. */
  listeners (event: string): AnyListener[]
  /** Whether an event has listeners or handlers. */
  hasListeners (event: string): boolean
  /**
   * Returns a local event as a stream of objects, as in SocketCluster 15 and later: `for await (const { code } of
   * socket.listener('disconnect'))`.
   */
  listener<E extends keyof SocketEvents> (event: E): ScStream<SocketEventObjects[E]>
  /** Returns a stream of the data of an event that the client transmits without waiting for an answer. */
  receiver (event: string): ScStream<UserData>
  /** Returns a stream of the client's calls of an event. Answer each one with `request.end(data)` or `request.error(err)`. */
  procedure (event: string): ScStream<ScProcedureRequest>
  /**
   * Sends raw data, which the client receives as a `'raw'` event. Text and numbers are sent as a text frame, other data as a
   * binary frame, unless `binary` overrides it.
   * @throws InvalidArgumentsError for data of any other type, such as an object
   */
  send (data: string | number | RawBytes, options?: { binary?: boolean }): void
  /** Returns `authToken`. */
  getAuthToken (): ScAuthToken | null
  /**
   * Authenticates the socket: signs a token with `claims` and sends it to the client. `authState` changes and the events are
   * emitted synchronously. The promise settles when the client confirmed the token. If the client disconnected or did not answer,
   * `callback` gets the error and the promise still resolves, unless `rejectOnFailedDelivery` is set. The promise rejects with an
   * InvalidArgumentsError if `claims` is not a plain object, and with an AuthTokenError if signing fails, which also closes the
   * socket with 4002.
   */
  setAuthToken (claims: ScClaims, options?: ScSignOptions | null, callback?: (err: Error | null) => void): Promise<void>
  /**
   * Removes the token on the server and on the client. With a callback or with `rejectOnFailedDelivery` it waits for the client's
   * answer. The callback gets a delivery error; the promise rejects with it only with `rejectOnFailedDelivery`.
   */
  deauthenticate (options?: DeauthenticateOptions | ((err: Error | null) => void) | null): Promise<void>
  /** Removes the token on the server only. */
  deauthenticateSelf (): void
  /**
   * Unsubscribes the socket from a channel, or from all channels, and notifies the client. Does nothing for a channel without a
   * subscription.
   */
  kickOut (channel?: string | null, message?: string, callback?: (err: Error | null) => void): Promise<void>
  /** Returns the names of the channels that the socket is subscribed to. */
  subscriptions (): string[]
  /** Whether the socket is subscribed to a channel. */
  isSubscribed (channel: string): boolean
  /** Returns the presence of the socket in a channel that is declared with `presence`. */
  presence (channel: string): ScSocketPresence
  /** Encodes a packet with the server's codec. */
  encode (object: unknown): string | Buffer | ArrayBuffer | Uint8Array
  /** Decodes a message with the server's codec. */
  decode (message: string | Buffer): unknown
  /** Sends a packet unchanged. `batch` collects packets for `pubSubBatchDuration` and sends them as one array. */
  sendObject (object: unknown, options?: { batch?: boolean }): void
  /** Returns the number of bytes of all messages received on this connection. */
  getBytesReceived (): number
  /**
   * Returns the largest of the inbound backpressure, the outbound backpressure, and the number of values that wait for the
   * slowest loop over any stream of this socket.
   */
  getBackpressure (): number
  /** Returns the number of the client's messages that wait for hooks or handlers. */
  getInboundBackpressure (): number
  /** Returns the number of messages that wait to be sent, without those already handed to the stream; see `bufferedAmount`. */
  getOutboundBackpressure (): number
}

/** Selects sockets. A socket matches when it matches all given fields. */
export interface RevokeFilter {
  /** The `sub` claim. A number and its text are equal. */
  user?: string | number
  /** The `jti` claim. A number and its text are equal. */
  jti?: string | number
  /** The id of one socket. */
  socketId?: string
}

/** The events of the server with the arguments of their listeners. */
export interface ServerEvents {
  /** The application is ready. */
  ready: []
  /** Reserved for errors of the server itself. Clients cannot cause it. */
  error: [err: Error]
  /** An error of one socket, a blocked action, an error of a handler, or another event worth attention. */
  warning: [err: unknown]
  /** A connection was upgraded and its socket object exists. */
  handshake: [socket: ScServerSocket]
  /** A handshake is complete. */
  connection: [socket: ScServerSocket, status: ConnectStatus]
  /** A connection ended before its handshake was complete. */
  connectionAbort: [socket: ScServerSocket, code: number, data: unknown]
  /** A connection ended after its handshake. */
  disconnection: [socket: ScServerSocket, code: number, data: unknown]
  /** A connection ended, before or after its handshake. */
  closure: [socket: ScServerSocket, code: number, data: unknown]
  /** A socket subscribed to a channel. */
  subscription: [socket: ScServerSocket, channel: string, options: SubscriptionOptions]
  /** A subscription of a socket ended. */
  unsubscription: [socket: ScServerSocket, channel: string]
  /** A socket received a token, or another one. */
  authentication: [socket: ScServerSocket, authToken: ScAuthToken]
  /** A socket lost its token. */
  deauthentication: [socket: ScServerSocket, oldToken: ScAuthToken | null]
  /** The `authState` of a socket changed. */
  authenticationStateChange: [socket: ScServerSocket, change: AuthStateChange]
  /** A token of a socket was refused. */
  badSocketAuthToken: [socket: ScServerSocket, status: BadAuthToken]
  /** The backlog of a socket exceeded its limit. */
  slowConsumer: [socket: ScServerSocket, info: { bufferedBytes: number, policy: string }]
  /** The broker's engine became reachable or unreachable. */
  brokerState: [state: BrokerState, cause: Error | undefined]
  /** Messages may have been lost on a channel, or on all channels (`null`). */
  gap: [channel: string | null]
  /** A user came into a channel, while the exchange is subscribed to `<name>#presence`. */
  join: [channel: string, member: ScPresenceMember]
  /** The data of a user in a channel changed, while the exchange is subscribed to `<name>#presence`. */
  update: [channel: string, member: ScPresenceMember]
  /** A user left a channel, while the exchange is subscribed to `<name>#presence`. The member has no data. */
  leave: [channel: string, member: ScPresenceMember]
}

/** The objects that the streams of `scServer.listener(event)` yield, by event, as in SocketCluster 15 and later. */
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
  join: { channel: string, member: ScPresenceMember }
  update: { channel: string, member: ScPresenceMember }
  leave: { channel: string, member: ScPresenceMember }
}

/** The cluster: the processes that share a broker. */
export interface ScCluster {
  /** The id of this process. */
  readonly nodeId: string
  /** The ids of the live processes; this one is the first. */
  readonly nodes: string[]
  /** Resolves with the statistics of all live processes and their sums. A process that died is `missing` until its lease ends. */
  stats (): Promise<ClusterStats<ScStats>>
  /**
   * Lists the open sockets of all live processes, in pages. Processes that do not answer within two seconds are `missing`; while the
   * engine of the broker is down, these are all others. Rejects with an InvalidArgumentsError for an invalid query.
   */
  listSockets (query?: ScSocketQuery): Promise<ScPage<ScListedSocket>>
  /** Lists the channels that sockets of any live process are subscribed to, like `listSockets()`. */
  listChannels (query?: ScChannelQuery): Promise<ScPage<ScListedChannel>>
  /** Lists the live processes with their numbers of sockets and channels, like `listSockets()`. */
  listNodes (query?: ScPageQuery): Promise<ScPage<ScListedNode>>
  /**
   * Runs `work` once for a key, on one process of all: a call with the key of an earlier one, here or on another process, resolves
   * with the result of that one as JSON, of at most 65,536 characters. If `work` throws, or with any other result, it rejects, nothing
   * is remembered, and the next call runs again. If the process dies or loses the engine while `work` runs, the next call runs it
   * again after 30 seconds.
   *
   * Rejects with an IdempotencyError while the work of an earlier call runs (`SC_ERR_KEY_RUNNING`), if the earlier call had another
   * fingerprint (`SC_ERR_KEY_REUSED`), and if the broker has no store (`SC_ERR_NO_STORE`): memory and Redis have one, and NATS with
   * its option `history`. Rejects with a BrokerError while the engine is down.
   * @param key 1 to 1,024 characters. All calls share one set of keys: begin it with what the work is
   */
  runOnce<Result> (key: string, work: () => Result | Promise<Result>, options?: ScOnceOptions): Promise<Result>
  /** Does the same as `scServer.revoke()`, and resolves also with the processes that did not confirm it. */
  revoke (filter: RevokeFilter): Promise<ScCommandResult>
  /** Does the same as `scServer.disconnectSockets()`, and resolves also with the processes that did not confirm it. */
  disconnectSockets (filter: RevokeFilter, code?: number, reason?: string): Promise<ScCommandResult>
  /** Does the same as `scServer.kickOut()`, and resolves also with the processes that did not confirm it. */
  kickOut (filter: RevokeFilter, channel: string, message?: string): Promise<ScCommandResult>
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
  /** All options with their values, frozen. Keys, engines and the broker are not enumerable, so they are not printed. */
  readonly options: Readonly<ResolvedOptions>
  /** Publishes and subscribes on behalf of the server. */
  readonly exchange: ScExchange
  /** The open sockets by id. The object has no prototype. */
  readonly clients: Readonly<Record<string, ScServerSocket>>
  /** The number of open sockets. */
  readonly clientsCount: number
  /** The sockets whose handshake is not complete, by id. The object has no prototype. */
  readonly pendingClients: Readonly<Record<string, ScServerSocket>>
  /** The number of sockets whose handshake is not complete. */
  readonly pendingClientsCount: number
  /** Whether the server accepts connections. */
  readonly isReady: boolean
  /** `true` from the moment when the server begins to close. */
  readonly draining: boolean
  /** Whether the broker can reach its engine. */
  readonly brokerState: BrokerState
  /** The key that signs tokens. Can be set at run time. `null` while the server uses the application's own @fastify/jwt. */
  signatureKey: AuthKey | null
  /** The key that verifies tokens. Can be set at run time. `null` while the server uses the application's own @fastify/jwt. */
  verificationKey: AuthKey | null
  /** The auth engine. */
  readonly auth: AuthEngine
  /** The codec engine. */
  readonly codec: CodecEngine

  /** Adds a middleware function, at any time. @throws InvalidArgumentsError for an unknown line */
  addMiddleware<L extends MiddlewareLine> (line: L, fn: Middleware<L, ScServerSocket, IncomingMessage>): void
  /** Removes a middleware function. */
  removeMiddleware<L extends MiddlewareLine> (line: L, fn: Middleware<L, ScServerSocket, IncomingMessage>): void
  /** Replaces the auth engine. */
  setAuthEngine (engine: AuthEngine): void
  /** Replaces the codec engine. */
  setCodecEngine (codec: CodecEngine): void
  /**
   * Closes all connections, including pending ones. The HTTP server keeps running. `fastify.close()` calls this method itself.
   */
  close (callback?: () => void): Promise<void>
  /** Returns the full path of the websocket route including prefixes: the option `path` of clients. */
  getPath (): string
  /** Returns a new id in the format of socket ids. */
  generateId (): string
  /** Whether the `exp` claim of a token has passed. */
  isAuthTokenExpired (token: ScAuthToken | null): boolean
  /**
   * Removes the token of all matching sockets, on all nodes, and refuses the token when it is presented again. The subscriptions
   * of these sockets are checked again; those that are still allowed remain.
   * @returns the number of sockets in the cluster that lost their token
   * @throws InvalidArgumentsError for an empty filter
   */
  revoke (filter: RevokeFilter): Promise<number>
  /** Closes all matching sockets, on all nodes. An empty filter matches all sockets. @returns the number of closed sockets */
  disconnectSockets (filter: RevokeFilter, code?: number, reason?: string): Promise<number>
  /**
   * Unsubscribes all matching sockets from a channel, on all nodes. An empty filter matches all sockets.
   * @returns the number of unsubscribed sockets
   */
  kickOut (filter: RevokeFilter, channel: string, message?: string): Promise<number>
  /** The cluster: the processes that share the broker. */
  readonly cluster: ScCluster
  /** Returns counters and gauges. It is cheap enough to call every second. */
  stats (): ScStats
  /**
   * Returns an event as a stream of objects, as in SocketCluster 15 and later: `for await (const { socket } of
   * scServer.listener('connection'))`.
   */
  listener<E extends keyof ServerEvents> (event: E): ScStream<ServerEventObjects[E]>
  /** Returns the number of values that wait for the slowest loop over an event. */
  getListenerBackpressure (event: keyof ServerEvents): number
  /** Returns the number of values that wait for the slowest loop over any event. */
  getAllListenersBackpressure (): number

  on<E extends keyof ServerEvents> (event: E, listener: (...args: ServerEvents[E]) => unknown): this
  once<E extends keyof ServerEvents> (event: E, listener: (...args: ServerEvents[E]) => unknown): this
  off<E extends keyof ServerEvents> (event: E, listener: (...args: ServerEvents[E]) => unknown): this
}
