import type { IncomingMessage } from 'node:http'
import type { AuthEngine, AuthKey, ScAuthToken } from './auth.js'
import type { Broker } from './broker.js'
import type { CodecEngine, ProtocolVersion } from './protocol.js'
import type { ScLifecycle, ScSchemaErrorFormatter, ScValidatorCompiler } from './validation.js'

/** What happens to a socket whose backlog is over `maxBufferedBytes`. */
export type SlowConsumerPolicy = 'disconnect' | 'drop' | 'latest'

/** What a function for `inboundRateKey` may look at. */
export interface RateKeySocket {
  readonly id: string
  readonly remoteAddress: string | undefined
  readonly authToken: ScAuthToken | null
  readonly request: IncomingMessage
}

/** Options of `fastify.register(scPlugin, options)`. Times are milliseconds unless said otherwise. */
export interface ScPluginOptions {
  /** The path of the websocket route within its context; served with and without the trailing slash. `scServer.options.path` is the whole path, prefixes included. @default '/socketcluster/' */
  path?: string
  /** Goes before `path`, as it does before the routes of any plugin; the prefix of the context goes before both. */
  prefix?: string
  /** The wire protocol; `'auto'` finds it per connection. @default 'auto' */
  protocolVersion?: 'auto' | ProtocolVersion
  /** How long an answer of a client may take. @default 10000 */
  ackTimeout?: number
  /** How long the HTTP hooks and, after them, `#handshake` may take each; then close code 4005. @default 10000 */
  handshakeTimeout?: number
  /** Close with 4009 when the first message is not `#handshake`. @default true */
  strictHandshake?: boolean
  /** Time between pings. @default 8000 */
  pingInterval?: number
  /** A client from which nothing came for so long is closed with 4001; told to the client in the handshake. @default 20000 */
  pingTimeout?: number
  /** Send no pings and never time out. @default false */
  pingTimeoutDisabled?: boolean
  /** Whether clients may publish. @default true */
  allowClientPublish?: boolean
  /** How many channels one socket may subscribe to; 0 for no limit. @default 1000 */
  socketChannelLimit?: number
  /** Bytes of one message, after inflation too; more closes with 1009. @default 65536 */
  maxPayload?: number
  /** Packets in one array; more closes with 4413. @default 64 */
  maxBatchItems?: number
  /** Nesting of one message; more is an `InvalidMessageError`. @default 32 */
  maxDepth?: number
  /** Values in one message; more is an `InvalidMessageError`. @default 10000 */
  maxNodes?: number
  /** Different keys of objects in one JSON message; more is an `InvalidMessageError`. A message with so many takes milliseconds to parse. 0 for no limit. @default 2000 */
  maxKeys?: number
  /** Bytes of a channel's name. @default 255 */
  maxChannelNameLength?: number
  /** Characters of an event's name. @default 128 */
  maxEventNameLength?: number
  /** How long a hook may take before its action fails with a `TimeoutError`; 0 for no limit. @default 5000 */
  hookTimeout?: number
  /** How long an event may stay unanswered before its caller gets a `TimeoutError`; 0 for no limit. @default 9000 */
  handlerTimeout?: number
  /** Messages a second from one socket, in the long run; 0 for no limit. Over it a call gets a `RateLimitError` and other messages are dropped; a socket that does not slow down within a second is closed with 4429. @default 100 */
  inboundRate?: number
  /** Messages of one socket that may come at once. @default 200 */
  inboundBurst?: number
  /**
   * Bytes a second that are read from one socket in the long run, after inflation and with 64, or 1,024 with compression, for each message, ping and pong; 0
   * for no limit. Over it the server stops reading until the socket is within its rate again, so that the sender's own buffers fill
   * up. What can be read no more slowly, since it came compressed in few bytes, closes with 4429. @default 524288
   */
  inboundByteRate?: number
  /** Bytes of one socket that may come at once. @default 524288 */
  inboundByteBurst?: number
  /** Makes sockets share a rate: those of one address, of one user (the `sub` claim), or of what a function returns. @default null */
  inboundRateKey?: 'ip' | 'user' | ((socket: RateKeySocket) => string | undefined) | null
  /** Messages a second from all sockets with the same `inboundRateKey`. @default 1000 */
  inboundKeyRate?: number
  /** Messages of all sockets with the same `inboundRateKey` that may come at once. @default 2000 */
  inboundKeyBurst?: number
  /** `#authenticate` calls of one socket a minute; more close with 4429. 0 for no limit. @default 5 */
  authenticateRate?: number
  /** Actions of one socket that may wait on hooks before the server stops reading from it. 0 for no limit. @default 64 */
  inboundQueue?: number
  /** Bytes of memory that one socket's messages may take while they wait for hooks, handlers and streams before the server stops reading from it. 0 for no limit. @default 262144 */
  inboundQueueBytes?: number
  /** Connections of this process; more get HTTP 503. 0 for no limit. @default 10000 */
  maxConnections?: number
  /** Connections of one address (for IPv6 of its /64); more get HTTP 503. Needs `trustProxy` behind a proxy. 0 for no limit. @default 0 */
  maxConnectionsPerIp?: number
  /** Connections of this process that have not made their handshake. Over it the address with the most of them loses its oldest to an address that has fewer, else a new one gets HTTP 503. 0 for no limit. @default 1000 */
  maxPendingHandshakes?: number
  /**
   * New connections a second of this process, in the long run, that are all accepted. While more come, each address gets a fiftieth of
   * it (a burst: a twentieth), and what it asks for beyond that gets HTTP 429; addresses of private networks, which may be
   * proxies, are not refused. 0 for no limit. @default 500
   */
  connectionRate?: number
  /** New connections that may come at once. @default 2000 */
  connectionBurst?: number
  /** Bytes that may wait for one socket; over it comes the `slowConsumerPolicy`. Answers may bring it to one and a half times as much, then the socket is dropped. 0 for no limit. @default 524288 */
  maxBufferedBytes?: number
  /** Bytes that all sockets together may hold: what waits to be sent, and messages that wait for hooks, handlers and streams. Over it those that hold most are dropped. 0 for no limit. @default 268435456 */
  maxTotalBufferedBytes?: number
  /** What happens when a socket's backlog is full: `'disconnect'` ends it, `'drop'` leaves out publications, `'latest'` keeps the last one of each channel for later. Answers are never left out. Channels can declare their own. @default 'disconnect' */
  slowConsumerPolicy?: SlowConsumerPolicy
  /** Compression; slow, off by default. @default false */
  perMessageDeflate?: boolean | object
  /** Who may connect by `Origin`: exact origins such as `'https://example.com'`, with `*` for a whole part (`'https://example.com:*'`, `'*:*'` for anyone), or `'same-host'`. `'same-host'` compares the whole origin with the request's scheme, host and port; a page of https: may also use a server that sees http:, behind a proxy that ends TLS. A missing Origin is always allowed. @default 'same-host' */
  origins?: string | string[]
  /** The names of this server, such as `'example.com'` or `'localhost:8000'`; without a port any port counts. An upgrade with another `Host` gets HTTP 421, so that a name of somebody else that leads here is no `'same-host'`. Default: any name. */
  hosts?: string[]
  /** The secret that signs and verifies tokens. Default: the application's @fastify/jwt, else a random one, with a warning in the log. */
  authKey?: AuthKey
  /** PEM; goes with `authPublicKey`. */
  authPrivateKey?: AuthKey
  /** PEM; goes with `authPrivateKey`. */
  authPublicKey?: AuthKey
  /** @default 'HS256', or what fits the key pair */
  authAlgorithm?: string
  /** The algorithms a token may have. Default: the one of `authAlgorithm`. */
  authVerifyAlgorithms?: string[]
  /** What a token must be for: `setAuthToken` writes it into `aud`, beside what is there, and a token without it is an `AuthTokenInvalidError`. So a token that the application made for something else, with the same key, opens no socket. `false`: any token. Default: any token, with a warning in the log when the key is that of the application's @fastify/jwt. */
  authAudience?: string | false
  /** **Seconds** until a token expires; a `setAuthToken` call can say otherwise. @default 86400 */
  authDefaultExpiry?: number
  /** Sign without holding up the event loop, where the engine can. @default false */
  authSignAsync?: boolean
  /** Verify without holding up the event loop, where the engine can. @default true */
  authVerifyAsync?: boolean
  /** The namespace of the application's @fastify/jwt to use. */
  jwtNamespace?: string
  /** Authenticate a socket by the `request.user` that a hook of the handshake verified. @default true */
  authFromRequest?: boolean
  /** Check subscriptions again when a socket loses or changes its token: `'kick'` (or `true`) takes away those that are no longer allowed, `'suspend'` withholds their messages until they are allowed again, `false` leaves them. @default 'kick' */
  revalidate?: boolean | 'kick' | 'suspend'
  /** **Seconds** by which the clock of whoever issues tokens may be ahead of the clock of whoever revokes: a revoked user's tokens are refused up to this time of issue after the revocation. @default 5 */
  revokeTolerance?: number
  /** Replaces the making and checking of tokens. */
  authEngine?: AuthEngine
  /** Replaces JSON on the wire. */
  codecEngine?: CodecEngine
  /** How long packets sent with `batch` are gathered; `null` for the end of the current turn. @default null */
  pubSubBatchDuration?: number | null
  /** Emit a `warning` for each action a middleware blocks. @default true */
  middlewareEmitWarnings?: boolean
  /** Tell clients the text of every error, not only of declared ones. For development. @default false */
  exposeErrors?: boolean
  /** The close code of `close()`. Stock clients come back after 10 to 20 s with 1001 (the default), never with 1000 or 4500 and up. @default 1001 */
  closeCode?: number
  /** The reason that goes with `closeCode`. @default 'Server closing' */
  closeReason?: string
  /** Over how long `close()` spreads the closing of clients, so that they do not all come back at once. @default 0 */
  drainTimeout?: number
  /** How long `close()` waits for answers that are under way, and for each client to answer the close before it drops them. @default 5000 */
  closeTimeout?: number
  /** Whether clients may use channels that no `scChannel` declares. @default 'open' */
  channels?: 'open' | 'declared'
  /** Whether declared events run by hooks of their own, or through Fastify's request lifecycle. @default 'own' */
  lifecycle?: ScLifecycle
  /** Compiles the schemas of declared events and channels instead of the context's compiler. */
  validatorCompiler?: ScValidatorCompiler
  /** Makes the error of data that does not fit. Default: Fastify's text. */
  schemaErrorFormatter?: ScSchemaErrorFormatter
  /** Headers of the handshake, in lower case, that `lifecycle: 'request'` hands on to an event's request. */
  requestHeaders?: string[]
  /** Carries publications. Default: one inside the process. */
  broker?: Broker
  /**
   * How long a client's `#subscribe` waits for a broker that is down, before it fails with a `BrokerError`. Stock clients give up a
   * channel for good then, and after 10 s without an answer. 0: it does not wait. @default 8000
   */
  subscribeTimeout?: number
  /** Keeps applications that share a broker apart. @default 'sc' */
  brokerPrefix?: string
  /**
   * Signs everything that travels through a broker between processes, so that who can only write to the engine can neither publish
   * nor command: text or a Buffer of at least 32 bytes, the same on all processes. To change it, an array: the first one signs, all
   * verify. What is not signed so is dropped, counted as `framesDropped`, and a warning. Default: nothing is signed.
   */
  brokerKey?: string | Buffer | Array<string | Buffer>
  /**
   * The name of an event that tells clients when publications may have been lost: data `{ channel }` for the subscribers of a
   * channel, and `{ channel: null }` for all who are subscribed to any. `false`: clients are not told. @default false
   */
  gapEvent?: string | false
}

/** Options that have no default value: absent unless the application sets them. */
type Optional = 'prefix' | 'hosts' | 'authAudience' | 'authKey' | 'authPrivateKey' | 'authPublicKey' | 'authAlgorithm' | 'authVerifyAlgorithms' | 'jwtNamespace' | 'authEngine' | 'codecEngine' | 'broker' | 'brokerKey' |
  'validatorCompiler' | 'schemaErrorFormatter' | 'requestHeaders'

/** All options with their values: what `scServer.options` holds. */
export type ResolvedOptions = Required<Omit<ScPluginOptions, Optional>> & Pick<ScPluginOptions, Optional>
