import type { ScAuthToken } from './auth.js'
import type { ChannelContracts, EventContracts, ParamsArgument, ScDefaultTypeProvider } from './contracts.js'
import type { ChannelsOf, EventsOf } from './client.js'
import type { ProtocolVersion } from './protocol.js'
import type { UserData } from './user-data.js'

/** The contract objects of `defineEvents` and `defineChannels` that give a test client its types. */
export interface ScTestContract {
  events?: EventContracts
  channels?: ChannelContracts
  /** A Fastify type provider, for schemas that are neither TypeBox nor Zod: `{} as JsonSchemaToTsProvider`. */
  provider?: unknown
}

/** Options of `injectSC`. `C` is the type of `contract`; without a contract, names and data are untyped. */
export interface InjectOptions<C extends ScTestContract | undefined = undefined> {
  /** The wire protocol: 1 as in socketcluster-client up to 14, 2 as in socketcluster-client 15 and later. @default 2 */
  protocol?: ProtocolVersion
  /** Headers of the upgrade request, e.g. `origin`, `cookie` or `authorization`. */
  headers?: Record<string, string>
  /** A signed token for the handshake, or claims to sign with the server's own key. Default: none. */
  token?: string | ScAuthToken
  /** The path of the upgrade request, optionally with a query string. @default the server's option `path` */
  path?: string
  /** The client address that the server sees. @default '127.0.0.1' */
  remoteAddress?: string
  /**
   * The contract objects that server and client share. They type event names, data and messages, and add parameters to patterns.
   */
  contract?: C
  /** Milliseconds to wait for the handshake, an answer, or the next message. @default 5_000 */
  timeout?: number
  /** Whether to answer the server's pings. With `false` the server closes the connection after `pingTimeout`. @default true */
  pong?: boolean
}

/** A queue of received items. Nothing is lost: `next` and `for await` also return items that arrived before they were called. */
export interface ScMailbox<T> extends AsyncIterable<T> {
  /** All items received so far, read or not. */
  readonly received: readonly T[]
  /**
   * Resolves with the next unread item.
   * @param timeout Milliseconds. Default: the client's `timeout`.
   * @throws TimeoutError when no item arrives in time, BadConnectionError when no item can arrive any more
   */
  next (timeout?: number): Promise<T>
}

/** A subscribed channel. A `for await` loop over it ends when the subscription or the connection ends. */
export interface ScTestChannel<Message> extends ScMailbox<Message> {
  readonly name: string
  readonly state: 'subscribed' | 'unsubscribed'
  /** The server's message when it kicked the client out of the channel; `undefined` if it did not. */
  readonly kicked: string | undefined
  /** Publishes a message. Settles when the server accepted it, and rejects when the server refused it. */
  publish (message: Message): Promise<void>
  /** Ends the subscription. Settles when the server confirmed it. */
  unsubscribe (): Promise<void>
}

/** How the connection ended. */
export interface ScTestClosed {
  code: number
  reason: string
  /** The data of the `#disconnect` event that precedes the close with protocol version 1. */
  data?: unknown
}

/** Options of a test client's `subscribe`. */
export interface ScTestSubscribeOptions {
  /**
   * Sent with the subscription. Real clients delay such a subscription until they are authenticated; the test client sends it at
   * once.
   */
  waitForAuth?: boolean
  /** Data for the hooks and policies of the server. */
  data?: unknown
}

/** Options of a test client's `invoke`. */
export interface ScTestCallOptions {
  /** Milliseconds to wait for the answer. Default: the client's `timeout`. */
  timeout?: number
}

type EventNames<C> = C extends ScTestContract ? keyof EventsOf<C & { provider: ProviderOf<C> }> & string : string
type EventOf<C, Name> = C extends ScTestContract
  ? EventsOf<C & { provider: ProviderOf<C> }> extends infer Events ? Name extends keyof Events ? Events[Name] : never : never
  : { data: UserData, response: UserData }
type ProviderOf<C> = C extends { provider: infer Provider } ? Provider : ScDefaultTypeProvider
type DataOf<Event> = Event extends { data: infer Data } ? Data : never
type ResponseOf<Event> = Event extends { response: infer Response } ? Response : never
type DataArgument<Data, Rest extends unknown[]> = undefined extends Data ? [data?: Data, ...Rest] : [data: Data, ...Rest]
type ChannelNames<C> = C extends ScTestContract ? keyof ChannelsOf<C & { provider: ProviderOf<C> }> & string : string
type MessageOf<C, Pattern> = C extends ScTestContract
  ? ChannelsOf<C & { provider: ProviderOf<C> }> extends infer Channels ? Pattern extends keyof Channels ? Channels[Pattern] : never : never
  : UserData
type ParamsOf<C, Pattern extends string> = C extends ScTestContract ? ParamsArgument<Pattern> : []

/** A test client that `injectSC` connects without a network. */
export interface ScTestClient<C extends ScTestContract | undefined = undefined> extends AsyncDisposable {
  readonly protocol: ProtocolVersion
  /** The id of the socket on the server: `app.scServer.clients[client.id]`. */
  readonly id: string
  /** The server's `pingTimeout` in milliseconds, from the handshake. */
  readonly pingTimeout: number
  readonly state: 'open' | 'closed'
  readonly isAuthenticated: boolean
  /** The error of a handshake token that the server did not accept. */
  readonly authError: Error | undefined
  /** The token that the client presented or the server set; `null` without a token, or after the server removed it. */
  readonly signedAuthToken: string | null
  /** The claims of that token. */
  readonly authToken: ScAuthToken | null

  /** Sends an event. With a callback it expects an answer, as in clients up to version 14. */
  emit<Name extends EventNames<C>> (event: Name, data?: DataOf<EventOf<C, Name>>, callback?: (err: Error | null, data?: ResponseOf<EventOf<C, Name>>) => void): void
  /** Sends an event and waits for the answer. @throws the server's error, with its name and fields; TimeoutError; BadConnectionError */
  invoke<Name extends EventNames<C>> (event: Name, ...args: DataArgument<DataOf<EventOf<C, Name>>, [options?: ScTestCallOptions]>): Promise<ResponseOf<EventOf<C, Name>>>
  /** Sends an event without expecting an answer. */
  transmit<Name extends EventNames<C>> (event: Name, ...args: DataArgument<DataOf<EventOf<C, Name>>, []>): void
  /** Returns the data of all events with one name that the server sends, whether or not it expects an answer. */
  event<T = UserData> (name: string): ScMailbox<T>
  /**
   * Answers the server's calls of an event with the value that `handler` returns, or with the error that it throws. Without a
   * handler calls stay unanswered.
   */
  on (event: string, handler: (data: UserData) => unknown): this

  /**
   * Subscribes to a channel by name, `subscribe('room/7')`, or with a contract by pattern: `subscribe('room/:id', { id: '7' })`.
   * @throws the server's error when the server refuses the subscription
   */
  subscribe<Pattern extends ChannelNames<C>> (pattern: Pattern, ...args: [...ParamsOf<C, NoInfer<Pattern>>, options?: ScTestSubscribeOptions]): Promise<ScTestChannel<MessageOf<C, Pattern>>>
  /**
   * Publishes a message and waits until the server accepted it.
   * @throws the server's error when the server refuses the message
   */
  publish<Pattern extends ChannelNames<C>> (pattern: Pattern, ...args: [...ParamsOf<C, NoInfer<Pattern>>, message: MessageOf<C, NoInfer<Pattern>>]): Promise<void>
  /** Returns all messages received on a channel so far. `channel` is its name, such as `'room/7'`. */
  received (channel: string): readonly UserData[]

  /**
   * Authenticates with a signed token, or with claims to sign with the server's own key.
   * @throws the server's error for a bad token
   */
  authenticate (token: string | ScAuthToken): Promise<{ isAuthenticated: boolean, authError?: Error }>
  /** Removes the token and notifies the server. */
  deauthenticate (): void

  /** Sends text or bytes unchanged. */
  send (data: string | Buffer): void
  /** The server's messages that are not packets. */
  readonly raw: ScMailbox<string>
  /** Closes the connection. Settles when both sides closed it. @param code 1000, or 3000 to 4999. Default 1000. */
  close (code?: number, reason?: string): Promise<ScTestClosed>
  /** Drops the connection without a close frame, like a network failure. */
  terminate (): void
  /** Settles when the connection has ended, from either side. */
  readonly closed: Promise<ScTestClosed>
}
