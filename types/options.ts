import type { IncomingMessage } from 'node:http'
import type { AuthEngine, AuthKey, ScAuthToken } from './auth.js'
import type { Broker } from './broker.js'
import type { CodecEngine, ProtocolVersion } from './protocol.js'
import type { ScLifecycle, ScSchemaErrorFormatter, ScValidatorCompiler } from './validation.js'

/** What happens when the backlog of a socket exceeds `maxBufferedBytes`. */
export type SlowConsumerPolicy = 'disconnect' | 'drop' | 'latest' | 'resume'

/** The argument of an `inboundRateKey` function. */
export interface RateKeySocket {
  readonly id: string
  readonly remoteAddress: string | undefined
  readonly authToken: ScAuthToken | null
  readonly request: IncomingMessage
}

/** Options of `fastify.register(scPlugin, options)`. Times are in milliseconds unless stated otherwise. */
export interface ScPluginOptions {
  /**
   * The path of the websocket route within its context, served with and without the trailing slash. `scServer.options.path` is
   * the full path including prefixes.
   * @default '/socketcluster/'
   */
  path?: string
  /** The prefix of `path`, as for the routes of any Fastify plugin. The prefix of the context comes before it. */
  prefix?: string
  /** The version of the wire protocol. `'auto'` detects it for each connection. @default 'auto' */
  protocolVersion?: 'auto' | ProtocolVersion
  /** The time that a client has to answer a call of the server. @default 10000 */
  ackTimeout?: number
  /**
   * The time limit for the HTTP hooks of the upgrade (then HTTP 503), and again for `#handshake` (then close code 4005).
   * @default 10000
   */
  handshakeTimeout?: number
  /** Close a connection with 4009 when its first message is not `#handshake`. @default true */
  strictHandshake?: boolean
  /** The time between pings. @default 8000 */
  pingInterval?: number
  /** A client that sends nothing for this time is closed with 4001. Clients get the value in the handshake. @default 20000 */
  pingTimeout?: number
  /** Send no pings and never close silent connections. @default false */
  pingTimeoutDisabled?: boolean
  /** Whether clients may publish. @default true */
  allowClientPublish?: boolean
  /** The maximum number of channels that one socket may subscribe to; 0 for no limit. @default 1000 */
  socketChannelLimit?: number
  /**
   * The maximum size of a message in bytes, also after decompression. A larger message closes the connection with 1009.
   * @default 65536
   */
  maxPayload?: number
  /** The maximum number of packets in one array; more close the connection with 4413. 0 for no limit. @default 64 */
  maxBatchItems?: number
  /** The maximum nesting depth of a message; a deeper one is an `InvalidMessageError`. 0 for no limit. @default 32 */
  maxDepth?: number
  /** The maximum number of values in a message; more are an `InvalidMessageError`. 0 for no limit. @default 10000 */
  maxNodes?: number
  /**
   * The maximum number of different object keys in a JSON message; more are an `InvalidMessageError`. A message with this many
   * keys takes milliseconds to parse. 0 for no limit.
   * @default 2000
   */
  maxKeys?: number
  /** The maximum length of a channel name in bytes. @default 255 */
  maxChannelNameLength?: number
  /** The maximum length of an event name in characters. @default 128 */
  maxEventNameLength?: number
  /** The time limit of a hook. After it the action fails with a `TimeoutError`. 0 for no limit. @default 5000 */
  hookTimeout?: number
  /** The time limit for answering an event. After it the caller gets a `TimeoutError`. 0 for no limit. @default 9000 */
  handlerTimeout?: number
  /**
   * The average rate of messages per second from one socket; 0 for no limit. Above it calls get a `RateLimitError` and other
   * messages are dropped. A socket that does not slow down within a second is closed with 4429.
   * @default 100
   */
  inboundRate?: number
  /** The number of messages that one socket may send at once. @default 200 */
  inboundBurst?: number
  /**
   * The average number of bytes per second that the server reads from one socket, after decompression. Each message, ping and
   * pong counts 64 bytes in addition, or 1,024 bytes on a connection with compression. Above the rate the server stops reading
   * until the socket is within its rate again; meanwhile the sender's buffers fill up. The connection is closed with 4429 when
   * pausing is not enough, because compressed messages expand to more than a burst over the rate. 0 for no limit. @default 524288
   */
  inboundByteRate?: number
  /** The number of bytes that one socket may send at once. @default 524288 */
  inboundByteBurst?: number
  /**
   * Makes sockets share an additional message rate: sockets with the same address (`'ip'`; for IPv6 the same /64), the same user
   * (`'user'`, the `sub` claim), or the same return value of a function.
   * @default null
   */
  inboundRateKey?: 'ip' | 'user' | ((socket: RateKeySocket) => string | undefined) | null
  /** The average rate of messages per second from all sockets with the same `inboundRateKey`. @default 1000 */
  inboundKeyRate?: number
  /** The number of messages that all sockets with the same `inboundRateKey` may send at once. @default 2000 */
  inboundKeyBurst?: number
  /**
   * The maximum number of `#authenticate` calls per minute from one socket; more close the connection with 4429. 0 for no limit.
   * @default 5
   */
  authenticateRate?: number
  /**
   * The number of actions of one socket that may wait for hooks before the server stops reading from it. 0 for no limit.
   * @default 64
   */
  inboundQueue?: number
  /**
   * The bytes of memory that messages of one socket may hold while they wait for hooks, handlers and streams, before the server
   * stops reading from it. 0 for no limit.
   * @default 262144
   */
  inboundQueueBytes?: number
  /** The maximum number of connections of this process. Further upgrades get HTTP 503. 0 for no limit. @default 10000 */
  maxConnections?: number
  /**
   * The maximum number of connections of one address (for IPv6 of its /64). Further upgrades get HTTP 503. Needs Fastify's
   * `trustProxy` behind a proxy. 0 for no limit.
   * @default 0
   */
  maxConnectionsPerIp?: number
  /**
   * The maximum number of connections of this process without a completed handshake. At the limit a new connection replaces the
   * oldest one of the address with the most of them, if its own address has fewer; otherwise it gets HTTP 503. 0 for no limit.
   * @default 1000
   */
  maxPendingHandshakes?: number
  /**
   * The average rate of new connections per second up to which this process accepts all of them. Above it each address may use
   * 1/50 of the rate and 1/20 of the burst; its further upgrades get HTTP 429. Addresses of private networks may be proxies and
   * are not refused. 0 for no limit. @default 500
   */
  connectionRate?: number
  /** The number of new connections that may arrive at once. @default 2000 */
  connectionBurst?: number
  /**
   * The maximum backlog of one socket in bytes. Above it the `slowConsumerPolicy` applies. Answers may raise the backlog to 1.5
   * times the limit; then the connection is dropped. 0 for no limit.
   * @default 524288
   */
  maxBufferedBytes?: number
  /**
   * The bytes that all sockets together may hold: data that waits to be sent, and messages that wait for hooks, handlers and
   * streams. Above it the sockets that hold the most are dropped. 0 for no limit.
   * @default 268435456
   */
  maxTotalBufferedBytes?: number
  /**
   * What happens when the backlog of a socket is full: `'disconnect'` disconnects the socket, `'drop'` drops publications,
   * `'latest'` keeps the last publication of each channel for later. Answers are never dropped. A channel can declare its own
   * policy; that of channels with `recover` is `'resume'` unless they do, or `'latest'` with `recover: 'latest'`.
   * @default 'disconnect'
   */
  slowConsumerPolicy?: Exclude<SlowConsumerPolicy, 'resume'>
  /** Compression: `true`, or options of ws. It is slow. @default false */
  perMessageDeflate?: boolean | object
  /**
   * The allowed `Origin` headers: exact origins such as `'https://example.com'`, with `*` for a whole part
   * (`'https://example.com:*'`, `'*:*'` for any origin), or `'same-host'`. `'same-host'` compares the origin with the scheme,
   * host and port of the request. An `https:` origin is also accepted when the server sees `http:`, because a proxy may terminate
   * TLS. Requests without an `Origin` are always allowed.
   * @default 'same-host'
   */
  origins?: string | string[]
  /**
   * The host names of this server, such as `'example.com'` or `'localhost:8000'`; a name without a port matches any port. An
   * upgrade with another `Host` gets HTTP 421. It protects `'same-host'` against foreign names that resolve to this server (DNS
   * rebinding). Default: any name.
   */
  hosts?: string[]
  /**
   * The secret that signs and verifies tokens. Default: the keys of the application's @fastify/jwt, else a random key with a
   * warning in the log.
   */
  authKey?: AuthKey
  /** The private key in PEM format that signs tokens. Requires `authPublicKey`. */
  authPrivateKey?: AuthKey
  /** The public key in PEM format that verifies tokens. Requires `authPrivateKey`. */
  authPublicKey?: AuthKey
  /** The algorithm that signs tokens. @default 'HS256', or the algorithm of the key pair */
  authAlgorithm?: string
  /** The algorithms that tokens may have. Default: the algorithm that signs. */
  authVerifyAlgorithms?: string[]
  /**
   * The required audience of tokens. `setAuthToken` adds it to `aud`, and a token without it is an `AuthTokenInvalidError`. It
   * prevents tokens that the application signs with the same key for another purpose from authenticating sockets. `false`: any
   * token. Default: any token, with a warning in the log when the application's @fastify/jwt has the key.
   */
  authAudience?: string | false
  /** **Seconds** until a token expires; `expiresIn` of `setAuthToken` overrides it. @default 86400 */
  authDefaultExpiry?: number
  /** Ask the auth engine to sign without blocking the event loop, if it can. @default false */
  authSignAsync?: boolean
  /** Ask the auth engine to verify without blocking the event loop, if it can. @default true */
  authVerifyAsync?: boolean
  /** The namespace under which the application registered its @fastify/jwt. */
  jwtNamespace?: string
  /** Authenticate a socket with the `request.user` that a Fastify hook of the upgrade verified. @default true */
  authFromRequest?: boolean
  /**
   * Whether to check the subscriptions of a socket again when its token changes or is removed. `'kick'` (or `true`) removes those
   * that are no longer allowed, `'suspend'` withholds their messages until they are allowed again, `false` keeps them.
   * @default 'kick'
   */
  revalidate?: boolean | 'kick' | 'suspend'
  /**
   * The accepted clock difference, in **seconds**, between issuing and revoking processes. A revocation of a user also refuses
   * tokens that were issued up to this time after it.
   * @default 5
   */
  revokeTolerance?: number
  /** Replaces the built-in signing and verification of tokens. */
  authEngine?: AuthEngine
  /** Replaces JSON on the wire. */
  codecEngine?: CodecEngine
  /**
   * The time for which packets sent with `batch` are collected; `null` for the rest of the current turn of the event loop.
   * @default null
   */
  pubSubBatchDuration?: number | null
  /** Emit a `warning` for each action that a hook or a middleware blocks. @default true */
  middlewareEmitWarnings?: boolean
  /** Send the text of every error to clients, not only of errors that are meant for them. For development. @default false */
  exposeErrors?: boolean
  /**
   * The close code of `close()`. Stock clients reconnect after 10 to 20 s with 1001, and never with 1000 or a code of 4500 or
   * more.
   * @default 1001
   */
  closeCode?: number
  /** The close reason sent with `closeCode`. @default 'Server closing' */
  closeReason?: string
  /**
   * The time over which `close()` distributes the closing of connections, so that clients do not all reconnect at once.
   * @default 0
   */
  drainTimeout?: number
  /**
   * The time for which `close()` waits for pending answers, and for each client to answer the close frame before its connection
   * is dropped.
   * @default 5000
   */
  closeTimeout?: number
  /** Whether clients may use channels that no `scChannel` declares. @default 'open' */
  channels?: 'open' | 'declared'
  /** Whether declared events run with the plugin's own hooks, or through Fastify's request lifecycle. @default 'own' */
  lifecycle?: ScLifecycle
  /** Compiles the schemas of declared events and channels, instead of the compiler of the Fastify context. */
  validatorCompiler?: ScValidatorCompiler
  /** Creates the error of data that does not match its schema. Default: an error with Fastify's text. */
  schemaErrorFormatter?: ScSchemaErrorFormatter
  /**
   * The headers of the upgrade request, in lower case, that `lifecycle: 'request'` copies to the request of an event. Default:
   * the headers that identify the client.
   */
  requestHeaders?: string[]
  /** The broker that carries publications. Default: the memory broker, which works inside the process. */
  broker?: Broker
  /**
   * The time for which a client's `#subscribe` waits for a broker that is down, before it fails with a `BrokerError`. Stock
   * clients give up the channel permanently after this error, and after 10 s without an answer. 0 for no waiting. @default 8000
   */
  subscribeTimeout?: number
  /** Separates applications that share a broker. @default 'sc' */
  brokerPrefix?: string
  /**
   * The key that signs all frames between processes, so that someone with access to the engine but without the key can neither
   * publish nor send commands: text or a Buffer of at least 32 bytes, the same on all processes. Use an array to rotate keys: the
   * first key signs, all keys verify. Frames without a valid signature are dropped with a warning and counted as `framesDropped`.
   * Default: frames are not signed.
   */
  brokerKey?: string | Buffer | Array<string | Buffer>
  /**
   * The name of an event that notifies clients when publications may have been lost. The data is `{ channel }` for the
   * subscribers of a channel, and `{ channel: null }` for all sockets with a subscription. `false`: clients are not notified.
   * @default false
   */
  gapEvent?: string | false
}

/** Options that have no default value: absent unless the application sets them. */
type Optional = 'prefix' | 'hosts' | 'authAudience' | 'authKey' | 'authPrivateKey' | 'authPublicKey' | 'authAlgorithm' | 'authVerifyAlgorithms' | 'jwtNamespace' | 'authEngine' | 'codecEngine' | 'broker' | 'brokerKey' |
  'validatorCompiler' | 'schemaErrorFormatter' | 'requestHeaders'

/** The type of `scServer.options`: all options with their values. */
export type ResolvedOptions = Required<Omit<ScPluginOptions, Optional>> & Pick<ScPluginOptions, Optional>

/** Options of `memoryBroker`. */
export interface MemoryBrokerOptions {
  /**
   * The bytes of memory that the histories of all channels together may use. Above it the broker drops whole histories, those of
   * the least recently published channels first.
   * @default 67108864
   */
  historyBytes?: number
}
