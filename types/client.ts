import type { ChannelContracts, EventContracts, InferChannels, InferEvents, ParamsArgument, ScDefaultTypeProvider, ScEventTypes } from './contracts.js'
import type { FastifySchemaValidationError } from 'fastify'

/** The contract objects that a server and its clients share: `{ events: typeof events, channels: typeof channels }`. */
export interface ScContracts {
  events?: EventContracts
  channels?: ChannelContracts
  /** A Fastify type provider, for schemas that are neither TypeBox nor Zod. */
  provider?: unknown
}

type ProviderOf<C> = C extends { provider: infer Provider } ? Provider : ScDefaultTypeProvider
/** The types of the events of a contract. */
export type EventsOf<C extends ScContracts> = C extends { events: infer Events } ? InferEvents<Events, ProviderOf<C>> : {}
/** The message types of the channels of a contract. */
export type ChannelsOf<C extends ScContracts> = C extends { channels: infer Channels } ? InferChannels<Channels, ProviderOf<C>> : {}

/** The data did not fit the event's schema. */
export interface ScValidationError extends Error {
  name: 'ValidationError'
  code: 'FST_ERR_VALIDATION'
  statusCode: 400
  /** What is wrong, piece by piece. */
  validation: FastifySchemaValidationError[]
  /** `'data'` for events, `'message'` or `'params'` for channels. */
  validationContext: string
}

/** The errors that the library itself answers with, by the name on the wire. */
export type ScLibraryErrorName =
  'AuthTokenExpiredError' | 'AuthTokenInvalidError' | 'AuthTokenNotBeforeError' | 'AuthTokenError' | 'AuthError' | 'SilentMiddlewareBlockedError' |
  'InvalidActionError' | 'InvalidArgumentsError' | 'InvalidMessageError' | 'BadConnectionError' | 'TimeoutError' | 'SocketProtocolError' | 'ServerProtocolError' |
  'RateLimitError' | 'ResourceLimitError' | 'BrokerError'

export type ScLibraryError = { [Name in ScLibraryErrorName]: Error & { name: Name, code?: string | number } }[ScLibraryErrorName]

/** An error that the server does not tell more about, or that has no name of its own. */
export interface ScOtherError extends Error {
  name: 'Error'
}

type DeclaredErrors<Errors> = { [Name in keyof Errors]: Error & { name: Name } & Errors[Name] }[keyof Errors]

/** What a call can fail with, told apart by `name`: the errors its contract declares, those of its schema, and the library's. */
export type ScCallError<Event> =
  (Event extends ScEventTypes<unknown, unknown, infer Errors> ? DeclaredErrors<Errors> : never) | ScValidationError | ScLibraryError | ScOtherError

/** An answer, or why there is none. */
export type ScResult<Event> =
  { ok: true, data: ResponseOf<Event>, error?: undefined } | { ok: false, error: ScCallError<Event>, data?: undefined }

type DataOf<Event> = Event extends { data: infer Data } ? Data : never
type ResponseOf<Event> = Event extends { response: infer Response } ? Response : never

export interface ScCallOptions {
  /** Milliseconds to wait for the answer. socketcluster-client 14 has one time for all calls and ignores it. */
  ackTimeout?: number
}

export interface ScSubscribeOptions {
  /** Subscribe only while authenticated. */
  waitForAuth?: boolean
  /** Handed to the server's hooks and policies. */
  data?: unknown
}

type DataArgument<Data, Rest extends unknown[]> = undefined extends Data ? [data?: Data, ...Rest] : [data: Data, ...Rest]

/** A socket of socketcluster-client with the types of a contract. */
export interface ScTypedClient<C extends ScContracts, Socket> {
  /** The socket of socketcluster-client, for everything else. */
  readonly socket: Socket
  /** Sends an event and waits for the answer. Rejects with one of `ScCallError`. */
  invoke<Name extends keyof EventsOf<C> & string> (event: Name, ...args: DataArgument<DataOf<EventsOf<C>[Name]>, [options?: ScCallOptions]>): Promise<ResponseOf<EventsOf<C>[Name]>>
  /** `invoke` that never rejects: its errors have types. */
  tryInvoke<Name extends keyof EventsOf<C> & string> (event: Name, ...args: DataArgument<DataOf<EventsOf<C>[Name]>, [options?: ScCallOptions]>): Promise<ScResult<EventsOf<C>[Name]>>
  /** Sends an event without waiting for an answer. */
  transmit<Name extends keyof EventsOf<C> & string> (event: Name, ...args: DataArgument<DataOf<EventsOf<C>[Name]>, []>): void
  /** Subscribes to a channel: `subscribe('room/:id', { id: '7' })`, `subscribe('news')`. */
  subscribe<Pattern extends keyof ChannelsOf<C> & string> (pattern: Pattern, ...args: [...ParamsArgument<NoInfer<Pattern>>, options?: ScSubscribeOptions]): ScClientChannel<ChannelsOf<C>[Pattern]>
  /** A channel without subscribing to it. */
  channel<Pattern extends keyof ChannelsOf<C> & string> (pattern: Pattern, ...args: ParamsArgument<NoInfer<Pattern>>): ScClientChannel<ChannelsOf<C>[Pattern]>
  /** Publishes: `publish('room/:id', { id: '7' }, message)`, `publish('news', message)`. Settles when the server accepted it. */
  publish<Pattern extends keyof ChannelsOf<C> & string> (pattern: Pattern, ...args: [...ParamsArgument<NoInfer<Pattern>>, message: ChannelsOf<C>[NoInfer<Pattern>]]): Promise<void>
}

/** A channel with the type of its messages. `for await` gives them one by one, from the moment the loop starts. */
export interface ScClientChannel<Message> extends AsyncIterable<Message> {
  readonly name: string
  readonly state: 'subscribed' | 'pending' | 'unsubscribed'
  /** Settles when the server accepted the subscription, and rejects when it refused it. */
  subscribed (): Promise<void>
  /** Calls `handler` for each message, until the returned function is called. What it throws or rejects with goes to `onError`, by default to the console. */
  watch (handler: (message: Message) => unknown, onError?: (err: unknown) => void): () => void
  publish (message: Message): Promise<void>
  unsubscribe (): void
}
