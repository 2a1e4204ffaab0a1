import { randomUUID } from 'node:crypto'
import { format } from 'node:util'

/**
 * All errors of the library: code, name and message. `%s` is replaced by an argument. Names are those of SocketCluster where it
 * has the same error.
 *
 * Clients receive `wire` instead of `message` when the message may contain text of a store, an engine, a codec or a key. Such an
 * error has an `id`, which is also in the log line.
 */
export const errorTable = {
  // Authentication
  SC_ERR_TOKEN_EXPIRED: { name: 'AuthTokenExpiredError', message: '%s' },
  SC_ERR_TOKEN_INVALID: { name: 'AuthTokenInvalidError', message: '%s' },
  SC_ERR_TOKEN_NOT_BEFORE: { name: 'AuthTokenNotBeforeError', message: '%s' },
  SC_ERR_TOKEN: { name: 'AuthTokenError', message: '%s', wire: 'The auth token could not be checked' },
  SC_ERR_TOKEN_FORMAT: { name: 'InvalidArgumentsError', message: 'Invalid token format: expected a string, got %s' },
  SC_ERR_TOKEN_PAYLOAD: { name: 'InvalidArgumentsError', message: 'setAuthToken expects the claims to be a plain object, got %s', wire: 'setAuthToken expects the claims to be a plain object' },
  SC_ERR_TOKEN_ALGORITHM: { name: 'InvalidArgumentsError', message: 'Cannot change the algorithm of auth tokens at run time; set the option authAlgorithm' },
  SC_ERR_TOKEN_SIGNING: { name: 'AuthTokenError', message: 'Failed to sign the auth token: %s', wire: 'Failed to sign the auth token', closeCode: 4002 },
  SC_ERR_TOKEN_DELIVERY: { name: 'AuthError', message: 'Failed to deliver the auth token to the client: %s', wire: 'Failed to deliver the auth token to the client' },
  // Hooks and middleware
  SC_ERR_BLOCKED_SILENTLY: { name: 'SilentMiddlewareBlockedError', message: 'Action was silently blocked by %s middleware' },
  SC_ERR_NEXT_TWICE: { name: 'InvalidActionError', message: 'Callback for %s middleware was already invoked' },
  SC_ERR_MIDDLEWARE_TYPE: { name: 'InvalidArgumentsError', message: 'Middleware type "%s" is not supported; expected one of %s' },
  SC_ERR_MIDDLEWARE_FUNCTION: { name: 'InvalidArgumentsError', message: 'Middleware for %s must be a function, got %s' },
  SC_ERR_HOOK_NAME: { name: 'InvalidArgumentsError', message: 'Hook "%s" is not supported; expected one of %s' },
  SC_ERR_HOOK_FUNCTION: { name: 'InvalidArgumentsError', message: 'Hook %s must be a function, got %s' },
  SC_ERR_HOOK_SCOPE: { name: 'InvalidArgumentsError', message: 'Hook %s runs before there is an event or a channel; add it in the context that registers the plugin' },
  SC_ERR_HOOK_TIMEOUT: { name: 'TimeoutError', message: 'A %s hook took longer than %s ms; see the option hookTimeout' },
  SC_ERR_BEFORE_READY: { name: 'InvalidActionError', message: '%s must be called once the server is ready' },
  SC_ERR_AFTER_READY: { name: 'InvalidActionError', message: '%s must be called before the server is ready' },
  // Handshake and connection
  SC_ERR_SECOND_HANDSHAKE: { name: 'InvalidActionError', message: 'The handshake was already made on this connection' },
  SC_ERR_HANDSHAKE_CID: { name: 'InvalidMessageError', message: '#handshake must have a call id', closeCode: 4008 },
  SC_ERR_ORIGIN: { name: 'ServerProtocolError', message: 'Failed to authorize socket handshake - Invalid origin: %s; see the option origins', statusCode: 403 },
  SC_ERR_HOST: { name: 'ServerProtocolError', message: 'This server is not %s; see the option hosts', statusCode: 421 },
  SC_ERR_HANDSHAKE_BLOCKED: { name: 'ServerProtocolError', message: '%s', statusCode: 401 },
  SC_ERR_CLOSING: { name: 'ServerProtocolError', message: 'The server is closing', statusCode: 503 },
  SC_ERR_UPGRADE_TIMEOUT: { name: 'TimeoutError', message: 'Expected the hooks of the upgrade to decide within %s ms (option handshakeTimeout)', statusCode: 503 },
  SC_ERR_UPGRADE_REQUIRED: { name: 'ServerProtocolError', message: 'This path expects a websocket upgrade', statusCode: 426 },
  SC_ERR_SOCKET_CLOSED: { name: 'SocketProtocolError', message: '%s' },
  SC_ERR_BAD_CONNECTION: { name: 'BadConnectionError', message: "Event '%s' was aborted due to a bad connection" },
  SC_ERR_ACK_TIMEOUT: { name: 'TimeoutError', message: "Event response for '%s' timed out" },
  SC_ERR_CLOSE_CODE: { name: 'InvalidArgumentsError', message: 'A close code must be 1000, 1001 or from 3000 to 4999, got %s' },
  // Messages and actions
  SC_ERR_MESSAGE: { name: 'InvalidMessageError', message: '%s' },
  SC_ERR_MESSAGE_CODEC: { name: 'InvalidMessageError', message: 'The codec cannot read the message: %s', wire: 'The codec cannot read the message' },
  SC_ERR_MESSAGE_DEPTH: { name: 'InvalidMessageError', message: 'The message is nested deeper than %s levels; see the option maxDepth' },
  SC_ERR_MESSAGE_KEYS: { name: 'InvalidMessageError', message: 'The message has more than %s different keys; see the option maxKeys' },
  SC_ERR_MESSAGE_NODES: { name: 'InvalidMessageError', message: 'The message has more than %s values; see the option maxNodes' },
  SC_ERR_MESSAGE_PROTO: { name: 'InvalidMessageError', message: 'The message has a forbidden key: %s' },
  SC_ERR_BATCH: { name: 'InvalidMessageError', message: 'An array may hold at most %s packets, got %s; see the option maxBatchItems', closeCode: 4413 },
  SC_ERR_ENCODE: { name: 'InvalidArgumentsError', message: 'The data cannot be encoded: %s', wire: 'The data cannot be encoded' },
  SC_ERR_EVENT_RESERVED: { name: 'InvalidActionError', message: 'The "%s" event is reserved and cannot be emitted on a server socket' },
  SC_ERR_EVENT_UNKNOWN: { name: 'InvalidActionError', message: 'No handler for the "%s" event' },
  SC_ERR_NO_CONNECTION: { name: 'InvalidActionError', message: '%s needs a connection, which a call over HTTP does not have; see socket.transport' },
  SC_ERR_CONTENT_TYPE: { name: 'InvalidMessageError', message: 'An event over HTTP expects its data as application/json, got %s', statusCode: 415 },
  SC_ERR_EVENT_NOT_ALLOWED: { name: 'InvalidActionError', message: 'Clients may not send the "%s" event' },
  SC_ERR_EVENT_DUPLICATE: { name: 'InvalidArgumentsError', message: 'Event "%s" is already declared' },
  SC_ERR_EVENT_NAME: { name: 'InvalidArgumentsError', message: 'An event name must be non-empty text that is not reserved, got %s' },
  SC_ERR_CONTRACT: { name: 'InvalidArgumentsError', message: 'Contract of "%s": %s' },
  SC_ERR_RESPONSE_SENT: { name: 'InvalidActionError', message: 'Response %s has already been sent' },
  SC_ERR_HANDLER_TIMEOUT: { name: 'TimeoutError', message: 'The "%s" event was not answered within %s ms; see the option handlerTimeout' },
  SC_ERR_RESPONSE_INVALID: { name: 'InvalidActionError', message: 'The response of "%s" does not fit its schema' },
  SC_ERR_INTERNAL: { name: 'Error', message: 'Internal error' },
  // Channels
  SC_ERR_CHANNEL_TYPE: { name: 'InvalidActionError', message: '%s expects the channel to be a string, got %s' },
  SC_ERR_CHANNEL_NAME: { name: 'InvalidActionError', message: '%s expects a channel name of 1 to %s bytes without control characters or lone surrogates; see the option maxChannelNameLength' },
  SC_ERR_CHANNEL_LIMIT: { name: 'InvalidActionError', message: 'A socket may subscribe to at most %s channels; see the option socketChannelLimit' },
  SC_ERR_SUBSCRIBE_DATA: { name: 'InvalidActionError', message: 'The data of all subscriptions of a socket may take at most %s bytes of memory where hooks look at it' },
  SC_ERR_SUBSCRIBE_OPTION: { name: 'InvalidActionError', message: '#subscribe expects %s to be %s, got %s' },
  SC_ERR_CHANNEL_UNDECLARED: { name: 'InvalidActionError', message: 'Channel "%s" is not declared' },
  SC_ERR_CHANNEL_PARAM: { name: 'InvalidActionError', message: 'Expected the parameter "%s" of "%s" not to be empty in the channel name "%s"' },
  SC_ERR_CHANNEL_DUPLICATE: { name: 'InvalidArgumentsError', message: 'Channel "%s" is already declared' },
  SC_ERR_HISTORY: { name: 'InvalidArgumentsError', message: 'The broker %s does not offer %s, which the channel "%s" declares; memoryBroker and redisBroker do, and natsBroker with its option history' },
  SC_ERR_NO_HISTORY: { name: 'InvalidActionError', message: 'The channel "%s" remembers nothing; declare it by scChannel with history' },
  SC_ERR_NO_RECOVER: { name: 'InvalidActionError', message: 'Clients may not read the history of "%s"; declare the channel by scChannel with recover' },
  SC_ERR_NO_KEYS: { name: 'InvalidActionError', message: 'The broker %s does not remember the keys of messages: it cannot publish to "%s" with an idempotencyKey' },
  SC_ERR_NOT_ALLOWED: { name: 'InvalidActionError', message: 'The operation "%s" is not allowed', statusCode: 403 },
  SC_ERR_NO_STORE: { name: 'IdempotencyError', message: 'The broker %s does not remember which idempotency keys were used; memoryBroker, redisBroker, and natsBroker with its option history do', statusCode: 501 },
  SC_ERR_KEY_RUNNING: { name: 'IdempotencyError', message: 'The first call with this idempotency key is still running; try again later', statusCode: 409 },
  SC_ERR_KEY_REUSED: { name: 'IdempotencyError', message: 'The idempotency key was used for something else; use a new key', statusCode: 422 },
  SC_ERR_NO_POSITIONS: { name: 'InvalidActionError', message: 'The broker %s does not tell the positions of messages: it cannot append to "%s"' },
  SC_ERR_HISTORY_SUBSCRIPTION: { name: 'InvalidActionError', message: 'The history of "%s" can only be read while the socket is subscribed to it' },
  SC_ERR_HISTORY_WITHHELD: { name: 'InvalidActionError', message: 'The history of "%s" cannot be read while the subscription is suspended or being checked' },
  SC_ERR_HISTORY_RATE: { name: 'RateLimitError', message: 'Too many reads of histories; try again in %s ms' },
  SC_ERR_HISTORY_ROOM: { name: 'ResourceLimitError', message: 'The backlog of the socket has no room for the history of "%s"; read less at once, or see the option maxBufferedBytes' },
  SC_ERR_HISTORY_TIMEOUT: { name: 'TimeoutError', message: 'The hooks of "%s" took longer than %s ms for what was read; read less at once, or see the option hookTimeout' },
  SC_ERR_NO_FOLLOW: { name: 'InvalidActionError', message: 'The broker %s does not deliver channels completely: the exchange cannot subscribe to "%s" with since' },
  SC_ERR_NO_PRESENCE: { name: 'InvalidActionError', message: 'The channel "%s" does not tell who is in it; declare it by scChannel with presence' },
  SC_ERR_COMPANION: { name: 'InvalidActionError', message: 'Nobody may publish to "%s": it tells who is in a channel' },
  SC_ERR_NOT_PRESENT: { name: 'InvalidActionError', message: 'The socket is not present in the channel "%s"' },
  SC_ERR_MESSAGE_SIZE: { name: 'InvalidMessageError', message: 'A message on "%s" may have at most %s bytes, got %s; see its maxMessageBytes' },
  SC_ERR_CHANNEL_REFUSED: { name: 'InvalidActionError', message: 'Clients may not %s "%s"' },
  SC_ERR_CHANNEL_AUTH: { name: 'AuthError', message: 'Channel "%s" needs an authenticated socket' },
  SC_ERR_NOT_SUBSCRIBED: { name: 'InvalidActionError', message: 'Failed to unsubscribe socket from the %s channel - the socket is not subscribed to it' },
  SC_ERR_PUBLISH_DISABLED: { name: 'InvalidActionError', message: 'Client publish feature is disabled; see the option allowClientPublish' },
  SC_ERR_BROKER: { name: 'BrokerError', message: '%s', wire: 'The broker failed' },
  SC_ERR_SUBSCRIBE: { name: 'BrokerError', message: 'Failed to subscribe socket to the %s channel - %s', wire: 'Failed to subscribe socket to the %s channel' },
  SC_ERR_UNSUBSCRIBED: { name: 'BrokerError', message: 'Failed to subscribe socket to the %s channel - it was unsubscribed meanwhile' },
  SC_ERR_KICKED_OUT: { name: 'InvalidActionError', message: 'Failed to subscribe socket to the %s channel - it was kicked out: %s' },
  SC_ERR_CLUSTER: { name: 'BrokerError', message: 'The command "%s" was not carried out, or not confirmed, by the processes %s', wire: 'The command "%s" was not carried out, or not confirmed, by all processes' },
  SC_ERR_BROKER_DOWN: { name: 'BrokerError', message: 'The %s broker is down: %s', wire: 'The %s broker is down' },
  SC_ERR_BROKER_BUSY: { name: 'BrokerError', message: 'The %s broker is busy: %s publishes are in flight' },
  SC_ERR_BROKER_DROPPED: { name: 'BrokerError', message: 'Dropped what came from the %s broker: %s', wire: 'The broker failed' },
  SC_ERR_BROKER_CONNECT: { name: 'BrokerError', message: "The %s broker cannot connect to %s: %s; with the broker's option connect: 'retry' the server starts without it", wire: 'The %s broker cannot connect' },
  SC_ERR_PACKAGE: { name: 'InvalidOptionsError', message: '%s needs the package %s, which is not installed: npm install %s' },
  // Limits
  SC_ERR_CONNECTIONS: { name: 'ResourceLimitError', message: 'No more than %s connections; see the option %s', statusCode: 503 },
  SC_ERR_CONNECTION_SHARE: { name: 'ResourceLimitError', message: 'An address that has %s of %s connections gets no more while so few are left; see the options maxConnections and trustProxy', statusCode: 503 },
  SC_ERR_CONNECTION_RATE: { name: 'RateLimitError', message: 'More than %s new connections a second; see the option connectionRate', statusCode: 429 },
  SC_ERR_TOKEN_REVOKED: { name: 'AuthTokenInvalidError', message: 'The token was revoked' },
  SC_ERR_AUTH_RATE: { name: 'RateLimitError', message: 'Too many attempts to authenticate; try again in %s ms', closeCode: 4429 },
  SC_ERR_FILTER: { name: 'InvalidArgumentsError', message: 'A filter expects user, jti or socketId, got %s' },
  SC_ERR_RATE: { name: 'RateLimitError', message: 'Too many messages; try again in %s ms', closeCode: 4429 },
  SC_ERR_REVOCATIONS: { name: 'ResourceLimitError', message: 'More than %s revocations are in force: the oldest are forgotten, and the tokens that they meant count again. Check long-lived revocations in an authenticate hook' },
  SC_ERR_SSE_CALL: { name: 'InvalidActionError', message: 'The client of an event stream cannot answer "%s"; socket.transport tells what a client uses' },
  SC_ERR_SSE_EVENT: { name: 'InvalidActionError', message: 'An event stream cannot carry an event with the name %s: message, open, error, subscribed, gap, kick and disconnect are its own, and a name has no control characters' },
  SC_ERR_SSE_RAW: { name: 'InvalidActionError', message: 'An event stream carries events only, no raw messages; socket.transport tells what a client uses' },
  SC_ERR_HTTP_QUERY: { name: 'InvalidArgumentsError', message: 'The query expects %s to be %s, got %s', statusCode: 400 },
  SC_ERR_SSE_STREAMS: { name: 'ResourceLimitError', message: 'No more than %s event streams; see the option streams.maxStreams', statusCode: 503 },
  SC_ERR_SSE_STREAMS_OF_KEY: { name: 'RateLimitError', message: 'No more than %s event streams of one user or address; see the option streams.maxStreamsPerKey', statusCode: 429 },
  SC_ERR_SSE_TICKET: { name: 'AuthTokenInvalidError', message: 'The ticket was used before, or is none' },
  SC_ERR_SSE_TICKET_USER: { name: 'AuthError', message: 'Only an authenticated client gets a ticket' },
  SC_ERR_SSE_ENDED: { name: 'ServerProtocolError', message: 'The stream ended before it began: %s' },
  SC_ERR_SSE_GONE: { name: 'BadConnectionError', message: 'The client ended the request before the stream began' },
  SC_ERR_STREAM_BEHIND: { name: 'ResourceLimitError', message: 'A loop over "%s" is %s values behind: the oldest are dropped' },
  SC_ERR_STREAM_TIMEOUT: { name: 'TimeoutError', message: 'Nothing came within %s ms' },
  // The test kit
  SC_ERR_UPGRADE_REFUSED: { name: 'ServerProtocolError', message: 'The server answered the upgrade with HTTP status %s: %s' },
  SC_ERR_NOTHING_CAME: { name: 'TimeoutError', message: 'No %s came within %s ms; see the option timeout of injectSC' },
  SC_ERR_NOTHING_COMES: { name: 'BadConnectionError', message: 'No %s can come any more: the connection or the subscription has ended' },
  // Calls of the API
  SC_ERR_ARGUMENT: { name: 'InvalidArgumentsError', message: '%s expects %s, got %s' },
  // Set-up
  SC_ERR_OPTIONS: { name: 'InvalidOptionsError', message: '%s' },
  SC_ERR_AUTH_KEY_RANDOM: { name: 'InvalidOptionsError', message: 'A broker that is shared between processes needs an authKey (or a key pair, or @fastify/jwt): a random one differs on each' },
  SC_ERR_BROKER_KEY: { name: 'InvalidOptionsError', message: 'The %s broker does not sign what it sends, so the option brokerKey would protect nothing' },
  SC_ERR_KEY_PAIR: { name: 'InvalidOptionsError', message: 'The %s option must be specified if %s is specified' },
  SC_ERR_ALREADY_REGISTERED: { name: 'InvalidOptionsError', message: 'The plugin is already registered in this context or in one around it; several registrations go into contexts beside each other, each with its own option path' },
  SC_ERR_PATH_TAKEN: { name: 'InvalidOptionsError', message: 'Websockets cannot be served because the path %s has a route already; give this registration another with the option path' },
  SC_ERR_HTTP2: { name: 'InvalidOptionsError', message: 'Websockets need HTTP/1.1, which this HTTP/2 server does not speak: give Fastify the option https.allowHTTP1: true beside http2: true' }
} as const satisfies Record<string, { name: string, message: string, wire?: string, closeCode?: number, statusCode?: number }>

export type ScErrorCode = keyof typeof errorTable

/**
 * An error of the library. Clients receive its `name`. `code` is its key in `errorTable`, or a close code where SocketCluster
 * uses one.
 */
export class ScError extends Error {
  /** The HTTP status, for errors that answer an HTTP request. */
  declare statusCode?: number
  declare code: ScErrorCode | number;
  [field: string]: unknown
  readonly #wire: string | undefined

  constructor (code: ScErrorCode, args: unknown[], fields?: Record<string, unknown>) {
    const row: { name: string, message: string, wire?: string, statusCode?: number } = errorTable[code]
    const texts = args.map(printable)
    super(format(row.message, ...texts))
    if (row.wire !== undefined) {
      this.#wire = format(row.wire, ...texts.slice(0, row.wire.split('%s').length - 1))
      this.id = randomUUID()
    }
    // The name must be an own enumerable property to be sent: on the wire an error is its message and its own fields.
    this.name = row.name
    this.code = code
    if (row.statusCode !== undefined) this.statusCode = row.statusCode
    if (fields === undefined) return
    const { cause, ...own } = fields
    Object.assign(this, own)
    if (cause !== undefined) Object.defineProperty(this, 'cause', { value: cause, writable: true, configurable: true })
  }

  /** The message that clients receive. */
  get wireMessage (): string {
    return this.#wire ?? this.message
  }
}

/** The fields of a `ScRefusal` besides its message. The client receives all fields that are plain data. */
export interface ScRefusalFields {
  /** The name of the error that the client receives. @default 'RefusalError' */
  name?: string
  code?: string | number
  [field: string]: unknown
}

/**
 * An error that is meant for the client. When a handler, a hook, a policy or a middleware throws it, the client receives its
 * message, name, code and other fields. The client receives any other thrown error as `Internal error`.
 *
 * @example
 * throw new ScRefusal('log in first', { name: 'NotLoggedInError', code: 401 })
 */
export class ScRefusal extends Error {
  declare code?: string | number;
  [field: string]: unknown

  constructor (message: string, fields: ScRefusalFields = {}) {
    super(message)
    const { cause, name = 'RefusalError', ...own } = fields
    Object.assign(this, own, { name })
    if (cause !== undefined) Object.defineProperty(this, 'cause', { value: cause, writable: true, configurable: true })
  }

  get expose (): true {
    return true
  }
}

/** Creates an error of the table: `scError('SC_ERR_CHANNEL_LIMIT', [1000])`. */
export function scError (code: ScErrorCode, args: unknown[] = [], fields?: Record<string, unknown>): ScError {
  return new ScError(code, args, fields)
}

/**
 * Creates an error without a stack. Refusals can happen tens of thousands of times a second, and their stack has no information.
 */
export function withoutStack<E extends Error> (make: () => E): E {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return make()
  } finally {
    Error.stackTraceLimit = limit
  }
}

/** Prepares an argument for a message: a value that cannot be converted to text is replaced by the name of its type. */
function printable (arg: unknown): unknown {
  if (typeof arg === 'string' || typeof arg === 'number') return arg
  try {
    return format('%s', arg)
  } catch {
    return typeName(arg)
  }
}

/** Returns the name of a value's type, for messages such as "expected X, got Y". Never throws. */
export function typeName (value: unknown): string {
  if (value === null) return 'null'
  try {
    if (Array.isArray(value)) return 'array'
  } catch {
    // A revoked Proxy.
  }
  return typeof value
}

/** The longest text that an error shows of a value. */
const longestShown = 40

/** Returns a wrong value of an option or a contract for an error: a number, a boolean or a short text itself, else the name of its type. */
export function shown (value: unknown): string {
  if (typeof value === 'string' && value.length <= longestShown) return JSON.stringify(value)
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : typeName(value)
}
