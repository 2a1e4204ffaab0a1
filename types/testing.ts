import type { ScAuthToken } from './auth.js'
import type { ChannelContracts, EventContracts, ParamsArgument, ScDefaultTypeProvider } from './contracts.js'
import type { ChannelsOf, EventsOf } from './client.js'
import type { ProtocolVersion } from './protocol.js'
import type { UserData } from './user-data.js'

/** Contract objects of `defineEvents` and `defineChannels`, for the types of a test client. */
export interface ScTestContract {
  events?: EventContracts
  channels?: ChannelContracts
  /** A Fastify type provider, for schemas that are neither TypeBox nor Zod: `{} as JsonSchemaToTsProvider`. */
  provider?: unknown
}

/** Options of `injectSC`. `C` is the type of `contract`; without one, names and data have no types. */
export interface InjectOptions<C extends ScTestContract | undefined = undefined> {
  /** The wire protocol: 1 as socketcluster-client up to 14 speaks it, 2 as those from 15 on. @default 2 */
  protocol?: ProtocolVersion
  /** Headers of the upgrade request, e.g. `origin`, `cookie` or `authorization`. */
  headers?: Record<string, string>
  /** A signed token for the handshake, or claims to sign with the server's own key. Default: none. */
  token?: string | ScAuthToken
  /** The path of the upgrade request, with a query if you like. @default the server's option `path` */
  path?: string
  /** The address the server sees. @default '127.0.0.1' */
  remoteAddress?: string
  /** Contract objects that server and client share; they give names and data their types, and patterns their parameters. */
  contract?: C
  /** Milliseconds to wait for the handshake, an answer, or the next message. @default 5_000 */
  timeout?: number
  /** Answer the server's pings. `false` makes a client that the server takes for dead. @default true */
  pong?: boolean
}

/** What came in, in order. Nothing is lost: `next` and `for await` also give what came before they were asked. */
export interface ScMailbox<T> extends AsyncIterable<T> {
  /** All that came so far, read or not. */
  readonly received: readonly T[]
  /**
   * The next one that was not read yet.
   * @param timeout Milliseconds. Default: the client's `timeout`.
   * @throws TimeoutError when none comes, BadConnectionError when none can come any more
   */
  next (timeout?: number): Promise<T>
}

/** A subscribed channel. Its loop ends when the subscription or the connection does. */
export interface ScTestChannel<Message> extends ScMailbox<Message> {
  readonly name: string
  readonly state: 'subscribed' | 'unsubscribed'
  /** What the server said when it kicked the client out; `undefined` if it did not. */
  readonly kicked: string | undefined
  /** Settles when the server accepted the message, and rejects when it refused it. */
  publish (message: Message): Promise<void>
  unsubscribe (): Promise<void>
}

/** How the connection ended. */
export interface ScTestClosed {
  code: number
  reason: string
  /** What a version 1 server announces before the close. */
  data?: unknown
}

export interface ScTestSubscribeOptions {
  /** Sent along. Real clients hold such a subscription back until they are authenticated; this one sends it at once. */
  waitForAuth?: boolean
  /** Handed to the server's hooks and policies. */
  data?: unknown
}

export interface ScTestCallOptions {
  /** Milliseconds. Default: the client's `timeout`. */
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

/** A client without a network, as `injectSC` makes it. */
export interface ScTestClient<C extends ScTestContract | undefined = undefined> extends AsyncDisposable {
  readonly protocol: ProtocolVersion
  /** The socket's id, as on the server: `app.scServer.clients[client.id]`. */
  readonly id: string
  /** Milliseconds, as the server announced it. */
  readonly pingTimeout: number
  readonly state: 'open' | 'closed'
  readonly isAuthenticated: boolean
  /** Why the token of the handshake was not accepted. */
  readonly authError: Error | undefined
  /** The token that the client presented, or that the server gave it; `null` without one, and after the server took it away. */
  readonly signedAuthToken: string | null
  /** Its claims. */
  readonly authToken: ScAuthToken | null

  /** Sends an event; with a callback it asks for an answer, as clients up to version 14 do. */
  emit<Name extends EventNames<C>> (event: Name, data?: DataOf<EventOf<C, Name>>, callback?: (err: Error | null, data?: ResponseOf<EventOf<C, Name>>) => void): void
  /** Sends an event and waits for the answer. @throws the server's error, with its name and fields; TimeoutError; BadConnectionError */
  invoke<Name extends EventNames<C>> (event: Name, ...args: DataArgument<DataOf<EventOf<C, Name>>, [options?: ScTestCallOptions]>): Promise<ResponseOf<EventOf<C, Name>>>
  /** Sends an event without asking for an answer. */
  transmit<Name extends EventNames<C>> (event: Name, ...args: DataArgument<DataOf<EventOf<C, Name>>, []>): void
  /** The data of the events of one name that the server sends, without an answer expected or with. */
  event<T = UserData> (name: string): ScMailbox<T>
  /** Answers the server's calls of a name: with what `handler` returns, or the error it throws. Without one they stay unanswered. */
  on (event: string, handler: (data: UserData) => unknown): this

  /**
   * Subscribes: `subscribe('room/7')`; with a contract by pattern and parameters, `subscribe('room/:id', { id: '7' })`.
   * @throws the server's error when it refuses
   */
  subscribe<Pattern extends ChannelNames<C>> (pattern: Pattern, ...args: [...ParamsOf<C, NoInfer<Pattern>>, options?: ScTestSubscribeOptions]): Promise<ScTestChannel<MessageOf<C, Pattern>>>
  /** Publishes and waits until the server accepted it. @throws the server's error when it refuses */
  publish<Pattern extends ChannelNames<C>> (pattern: Pattern, ...args: [...ParamsOf<C, NoInfer<Pattern>>, message: MessageOf<C, NoInfer<Pattern>>]): Promise<void>
  /** All messages that came on a channel so far; `channel` is its name, such as `'room/7'`. */
  received (channel: string): readonly UserData[]

  /** Presents a token, or claims to sign with the server's own key. @throws the server's error for a bad token */
  authenticate (token: string | ScAuthToken): Promise<{ isAuthenticated: boolean, authError?: Error }>
  /** Drops the token, and tells the server. */
  deauthenticate (): void

  /** Sends text or bytes as they are. */
  send (data: string | Buffer): void
  /** Messages of the server that are no packets. */
  readonly raw: ScMailbox<string>
  /** Closes the connection and settles when both sides know. @param code 1000, or 3000 to 4999. Default 1000. */
  close (code?: number, reason?: string): Promise<ScTestClosed>
  /** Drops the connection without a close frame, as a lost network does. */
  terminate (): void
  /** Settles when the connection has ended, whoever ended it. */
  readonly closed: Promise<ScTestClosed>
}
