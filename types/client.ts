import type { ChannelContracts, EventContracts, InferChannels, InferEvents, ParamsArgument, ScDefaultTypeProvider, ScEventTypes } from './contracts.js'
import type { FastifySchemaValidationError } from 'fastify'
import type { ScHistoryGap, ScHistoryMessage, ScPosition } from './history.js'
import type { UserData } from './user-data.js'

/**
 * The type of the contract objects that a server and its clients share: `{ events: typeof events, channels: typeof channels }`.
 */
export interface ScContracts {
  events?: EventContracts
  channels?: ChannelContracts
  /** A Fastify type provider, for schemas that are neither TypeBox nor Zod. */
  provider?: unknown
}

type ProviderOf<C> = C extends { provider: infer Provider } ? Provider : ScDefaultTypeProvider
/** The types of a contract's events. */
export type EventsOf<C extends ScContracts> = C extends { events: infer Events } ? InferEvents<Events, ProviderOf<C>> : {}
/** The message types of a contract's channels, by pattern. */
export type ChannelsOf<C extends ScContracts> = C extends { channels: infer Channels } ? InferChannels<Channels, ProviderOf<C>> : {}

/** The error of data that does not match the schema of the event or channel. */
export interface ScValidationError extends Error {
  name: 'ValidationError'
  code: 'FST_ERR_VALIDATION'
  statusCode: 400
  /** The errors of the validator. */
  validation: FastifySchemaValidationError[]
  /** The part that is invalid: `'data'` of an event, `'message'` or `'params'` of a channel. */
  validationContext: string
}

/** The names of the library's own errors, as clients receive them. */
export type ScLibraryErrorName =
  'AuthTokenExpiredError' | 'AuthTokenInvalidError' | 'AuthTokenNotBeforeError' | 'AuthTokenError' | 'AuthError' | 'SilentMiddlewareBlockedError' |
  'InvalidActionError' | 'InvalidArgumentsError' | 'InvalidMessageError' | 'BadConnectionError' | 'TimeoutError' | 'SocketProtocolError' | 'ServerProtocolError' |
  'RateLimitError' | 'ResourceLimitError' | 'BrokerError'

/** An error of the library. */
export type ScLibraryError = { [Name in ScLibraryErrorName]: Error & { name: Name, code?: string | number } }[ScLibraryErrorName]

/** An error whose details the server hides, or that has no name of its own. */
export interface ScOtherError extends Error {
  name: 'Error'
}

type DeclaredErrors<Errors> = { [Name in keyof Errors]: Error & { name: Name } & Errors[Name] }[keyof Errors]

/**
 * The errors of a call, discriminated by `name`: those that the event's contract declares, validation errors, and the library's
 * own.
 */
export type ScCallError<Event> =
  (Event extends ScEventTypes<unknown, unknown, infer Errors> ? DeclaredErrors<Errors> : never) | ScValidationError | ScLibraryError | ScOtherError

/** The result of `tryInvoke`: the answer, or the error. */
export type ScResult<Event> =
  { ok: true, data: ResponseOf<Event>, error?: undefined } | { ok: false, error: ScCallError<Event>, data?: undefined }

type DataOf<Event> = Event extends { data: infer Data } ? Data : never
type ResponseOf<Event> = Event extends { response: infer Response } ? Response : never

/** Options of `invoke` and `tryInvoke`. */
export interface ScCallOptions {
  /** Milliseconds to wait for the answer. socketcluster-client 14 has one timeout for all calls and ignores this option. */
  ackTimeout?: number
}

/** Options of `subscribe`. */
export interface ScSubscribeOptions {
  /** Subscribe only while the socket is authenticated. */
  waitForAuth?: boolean
  /** Data for the hooks and policies of the server. */
  data?: unknown
  /**
   * On a channel with `recover`: how many of its last messages to receive before the first new one. Replaces `rewind` of the
   * declaration. The socket needs the codec of `recovering()`.
   */
  rewind?: number
}

/** The query of a channel's `history()`. */
export interface ScClientHistoryQuery {
  /** Read only messages after this position. Default: the newest messages. */
  since?: ScPosition
  /** The maximum number of messages, 1 to 300. @default 100 */
  limit?: number
  /** Return the newest message first. @default false */
  reverse?: boolean
}

/** The result of a channel's `history()`. */
export interface ScClientHistory<Message> {
  /** The messages, the oldest first unless the query has `reverse`. */
  readonly messages: ReadonlyArray<ScHistoryMessage<Message>>
  /** The position up to which was read: the `since` of the next read. */
  readonly position: ScPosition
  /**
   * With `since`: `null` if no message after it is missing; `'limit'` if there are more, which can be read from `position` on; else
   * the reason why some are missing, and `messages` are the newest ones. Without `since`: `null`.
   */
  readonly gap: ScHistoryGap | null
}

type DataArgument<Data, Rest extends unknown[]> = undefined extends Data ? [data?: Data, ...Rest] : [data: Data, ...Rest]

/** A socketcluster-client socket with the types of a contract. */
export interface ScTypedClient<C extends ScContracts, Socket> {
  /** The wrapped socketcluster-client socket. */
  readonly socket: Socket
  /** Sends an event and waits for the answer. Rejects with a `ScCallError`. */
  invoke<Name extends keyof EventsOf<C> & string> (event: Name, ...args: DataArgument<DataOf<EventsOf<C>[Name]>, [options?: ScCallOptions]>): Promise<ResponseOf<EventsOf<C>[Name]>>
  /** Like `invoke`, but resolves with a `ScResult` instead of rejecting, so that errors are typed. */
  tryInvoke<Name extends keyof EventsOf<C> & string> (event: Name, ...args: DataArgument<DataOf<EventsOf<C>[Name]>, [options?: ScCallOptions]>): Promise<ScResult<EventsOf<C>[Name]>>
  /** Sends an event without waiting for an answer. */
  transmit<Name extends keyof EventsOf<C> & string> (event: Name, ...args: DataArgument<DataOf<EventsOf<C>[Name]>, []>): void
  /** Subscribes to a channel: `subscribe('room/:id', { id: '7' })`, `subscribe('news')`. */
  subscribe<Pattern extends keyof ChannelsOf<C> & string> (pattern: Pattern, ...args: [...ParamsArgument<NoInfer<Pattern>>, options?: ScSubscribeOptions]): ScClientChannel<ChannelsOf<C>[Pattern]>
  /** Returns a channel without subscribing to it. */
  channel<Pattern extends keyof ChannelsOf<C> & string> (pattern: Pattern, ...args: ParamsArgument<NoInfer<Pattern>>): ScClientChannel<ChannelsOf<C>[Pattern]>
  /**
   * Publishes a message: `publish('room/:id', { id: '7' }, message)`, `publish('news', message)`. Settles when the server
   * accepted it.
   */
  publish<Pattern extends keyof ChannelsOf<C> & string> (pattern: Pattern, ...args: [...ParamsArgument<NoInfer<Pattern>>, message: ChannelsOf<C>[NoInfer<Pattern>]]): Promise<void>
}

/** A channel with typed messages. A `for await` loop receives the messages that arrive after it started. */
export interface ScClientChannel<Message> extends AsyncIterable<Message> {
  readonly name: string
  readonly state: 'subscribed' | 'pending' | 'unsubscribed'
  /** Settles when the server accepted the subscription. Rejects when the server refused it. */
  subscribed (): Promise<void>
  /**
   * Calls `handler` for each message. Errors and rejections of `handler` go to `onError`, by default to the console.
   * @returns a function that stops it
   */
  watch (handler: (message: Message) => unknown, onError?: (err: unknown) => void): () => void
  /** Publishes a message. Settles when the server accepted it. */
  publish (message: Message): Promise<void>
  /**
   * Reads messages that the server remembers, on a channel with `recover` that the client is subscribed to. Messages that the client
   * received before the answer are in it, later ones are not.
   */
  history (query?: ScClientHistoryQuery): Promise<ScClientHistory<Message>>
  /**
   * Whether the client received everything that it missed when it last subscribed again; `null` until it did, and always without
   * the codec of `recovering()`. Also `false` when the server told later that messages may be missing.
   */
  readonly recovered: boolean | null
  /** Ends the subscription. */
  unsubscribe (): void
}

/** A codec of socketcluster-client, for its option `codecEngine`. */
export interface ScClientCodec {
  encode (object: unknown): UserData
  decode (message: UserData): unknown
}

/** The data of the event `recovery`, which a client with `recovering()` receives after it subscribed again. */
export interface ScRecoveryEvent {
  readonly channel: string
  /**
   * `true` if all missed messages follow, once each, in order, before new ones. On a channel with `recover: 'latest'`: if the client
   * has, or receives now, the newest message.
   */
  readonly recovered: boolean
  /** The number of messages of the history that follow. */
  readonly count: number
  /** The reason why messages may be missing. Reload the channel's state in this case. */
  readonly reason?: ScHistoryGap
}

/** Options of `overHttp`. */
export interface ScHttpClientOptions {
  /** A SocketCluster token, or a function that returns the current one. It is asked before each request. Default: the requests of a guest. */
  token?: string | null | (() => string | null | undefined | Promise<string | null | undefined>)
  /** The URL of the context that declares the events, relative to the base URL: `'/shop'`. Default: the base URL. */
  events?: string
  /**
   * The url and the method of events with `http: { url, method }`, by name. The contract's own `http` has this form. An event that is
   * not in it is `POST /events/<name>`.
   */
  routes?: Readonly<Record<string, { readonly url?: string, readonly method?: string }>>
  /** Headers of each request. */
  headers?: Readonly<Record<string, string>>
  /** Milliseconds to wait for the answer to a call or a publish; 0 for ever. @default 10000 */
  timeout?: number
  /**
   * Milliseconds without a sign of life after which a stream counts as lost, and is opened again. More than the `heartbeat` of the
   * server's streams. @default 60000
   */
  silence?: number
  /** Called when a channel is subscribed again, and when messages of it may be missing. */
  onRecovery?: (event: ScRecoveryEvent) => void
  /** Sends the requests. Default: the global `fetch`. */
  fetch?: typeof fetch
}

/** Options of `invoke` and `tryInvoke` over HTTP. */
export interface ScHttpCallOptions {
  /** Milliseconds to wait for the answer; 0 for ever. Default: the option of the client. */
  timeout?: number
  /** Ends the call. The server aborts the `signal` of the handler then. */
  signal?: AbortSignal
}

/** Options of `publish` over HTTP. */
export interface ScHttpPublishOptions extends ScHttpCallOptions {
  /** A key that makes it safe to publish again after a lost answer. */
  idempotencyKey?: string
}

/** The names of the events with `http`. */
type NamesWithHttp<Events> = { [Name in keyof Events]: Events[Name] extends { readonly http: infer Http } ? ([Http] extends [false | undefined] ? never : Name) : never }[keyof Events]
/** The events of a contract that can be called over HTTP. */
type HttpEventName<C extends ScContracts> = (C extends { events: infer Events } ? NamesWithHttp<Events> : never) & keyof EventsOf<C>

/** A channel of `overHttp`. It is a stream of events of its own. */
export type ScHttpChannel<Message> = Omit<ScClientChannel<Message>, 'history'>

/** A client over HTTP with the types of a contract. */
export interface ScHttpClient<C extends ScContracts> {
  /** Calls an event and waits for the answer. Rejects with a `ScCallError`. */
  invoke<Name extends HttpEventName<C> & string> (event: Name, ...args: DataArgument<DataOf<EventsOf<C>[Name]>, [options?: ScHttpCallOptions]>): Promise<ResponseOf<EventsOf<C>[Name]>>
  /** Like `invoke`, but resolves with a `ScResult` instead of rejecting, so that errors are typed. */
  tryInvoke<Name extends HttpEventName<C> & string> (event: Name, ...args: DataArgument<DataOf<EventsOf<C>[Name]>, [options?: ScHttpCallOptions]>): Promise<ScResult<EventsOf<C>[Name]>>
  /** Publishes a message: `publish('room/:id', { id: '7' }, message)`, `publish('news', message)`. Settles when the server accepted it. */
  publish<Pattern extends keyof ChannelsOf<C> & string> (pattern: Pattern, ...args: [...ParamsArgument<NoInfer<Pattern>>, message: ChannelsOf<C>[NoInfer<Pattern>], options?: ScHttpPublishOptions]): Promise<void>
  /** Subscribes to a channel: `subscribe('room/:id', { id: '7' })`, `subscribe('news')`. */
  subscribe<Pattern extends keyof ChannelsOf<C> & string> (pattern: Pattern, ...args: ParamsArgument<NoInfer<Pattern>>): ScHttpChannel<ChannelsOf<C>[Pattern]>
  /** Ends all subscriptions and requests. */
  close (): void
}
