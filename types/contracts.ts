import type { FastifyInstance, FastifyTypeProvider } from 'fastify'
import type { Static, TSchema } from 'typebox'
import type { ScChannel, ScPublishOptions } from './exchange.js'
import type { ScDeclaredRecovery, ScHistory, ScHistoryLimits, ScHistoryQuery, ScPosition, ScRecoveryLimits } from './history.js'
import type { ChannelRequest, Hook } from './hooks.js'
import type { SlowConsumerPolicy } from './options.js'
import type { ScPresenceLimits } from './presence.js'
import type { ScCaller, ScServerSocket } from './server.js'
import type { ScLifecycle, ScSchemaErrorFormatter, ScValidatorCompiler } from './validation.js'
import type { UserData } from './user-data.js'

/** The documentation of an event or a channel. It has no effect at run time. */
export interface ScDocumentation {
  /** A summary of one line. */
  summary?: string
  /** A full description, in Markdown. */
  description?: string
  tags?: readonly string[]
  /** Leave the declaration out of the generated document. @default false */
  hide?: boolean
  /** Mark the declaration as deprecated. @default false */
  deprecated?: boolean
}

/** The contract of an event, as passed to `scEvent`. */
export interface ScEventContract extends ScDocumentation {
  /** The schema of the data that clients send. Without it, any data passes. */
  data?: unknown
  /** The schema of the answer. It serializes the answer, so fields that it does not name are left out. */
  response?: unknown
  /**
   * The errors that the handler may throw: a schema of the fields, by error name. Clients receive these errors with the fields of
   * the schema.
   */
  errors?: Readonly<Record<string, unknown>>
  /** Hooks that run after the context's `preHandler` hooks, with validated data. A hook that throws refuses the call. */
  preHandler?: Hook<'preHandler', ScServerSocket, FastifyInstance> | ReadonlyArray<Hook<'preHandler', ScServerSocket, FastifyInstance>>
  /** Milliseconds until the caller gets a `TimeoutError`; 0 for never. Default: the option `handlerTimeout`. */
  timeout?: number
  /** A value for the application's own use. Hooks and the handler read it from their context. */
  config?: unknown
  /**
   * Whether the event can be called over HTTP as well: `true` for `POST <prefix of the context>/events/<name>`, or the url within
   * the context and the method. Requires `lifecycle: 'own'`. @default false
   */
  http?: boolean | ScEventHttp
  /** How the event runs. Default: the option `lifecycle`, which is `'own'` by default. */
  lifecycle?: ScLifecycle
  /** With `lifecycle: 'request'` only: Fastify's `logLevel` of the route. Fastify logs each request at `'info'`. */
  logLevel?: string
  /** Compiles the schema of `data`. Default: the option `validatorCompiler`. */
  validatorCompiler?: ScValidatorCompiler
  /** Creates the error of invalid data. Default: the option `schemaErrorFormatter`. */
  schemaErrorFormatter?: ScSchemaErrorFormatter
  /** Examples of `data`. */
  examples?: readonly unknown[]
}

/** Where an event can be called over HTTP. */
export interface ScEventHttp {
  /**
   * The url within the event's context, without parameters: the body has the data. Default: `/events/<name>`, for names of letters,
   * digits and `-`, `.`, `_`, `~`, `:`, `/`.
   */
  readonly url?: string
  /** A method whose requests have a body. @default 'POST' */
  readonly method?: 'POST' | 'PUT' | 'PATCH' | 'DELETE'
}

/** The type of `socket` in the handler of an event: a `ScCaller` where the contract has `http`. */
export type ScEventCaller<Contract> =
  Contract extends { readonly http: infer Http } ? ([Http] extends [false | undefined] ? ScServerSocket : ScCaller) : ScServerSocket

/** The second argument of `scEvent`: a schema of the data, or a contract. */
export type ScEventSchema = ScEventContract | object

/** Forbids keys that `Known` does not have, so that misspelt ones do not compile. */
type Only<Given, Known> = { readonly [Key in Exclude<keyof Given, keyof Known>]: never }

/** Checks the argument of `scEvent`: a schema may have any keys, a contract only those of `ScEventContract`. */
export type CheckedEvent<Contract> = [keyof Contract & SchemaKeyword] extends [never] ? ScEventContract & Only<Contract, ScEventContract> : unknown
/** Checks the shape of a channel: it may only have the keys of `ScChannelShape`. */
export type CheckedChannel<Shape> = ScChannelShape & Only<Shape, ScChannelShape>

/** The argument of a channel's policies. */
export interface ScChannelContext<Data = UserData, Params = Readonly<Record<string, string>>> extends ChannelRequest<ScServerSocket, Data, Params> {
  /** The message. For the `subscribe` policy the data that the client sent with its subscription. */
  data: Data
  /** `true` when an existing subscription is checked again because the socket's token was changed or removed. */
  readonly revalidation?: boolean
  /**
   * For the `subscribe` policy of a channel with `recover`: the position that the client sent; it requests the messages after it.
   */
  readonly since?: string | undefined
  /**
   * For the `watch` or `subscribe` policy of a channel with `presence`: `true` when the client wants to see who is in the channel,
   * by `<name>#presence`. `channel` is the name without `#presence`.
   */
  readonly presence?: boolean
  /** For the `subscribe` policy of a channel with `recover`: assign `false` to not send any message of the history to the client. */
  recover?: boolean
  /**
   * For the `subscribe` policy of a channel with `recover`: assign a time or a position. The client receives no message that was
   * published before the time, or up to the position. When a subscription is checked again, the last value stays unless another
   * one is assigned.
   */
  historyFrom?: Date | ScPosition
}

/** The argument of `presence.key` and `presence.data`. */
export interface ScPresenceContext<Params = Readonly<Record<string, string>>> {
  readonly socket: ScServerSocket
  /** The name of the channel that the socket is subscribed to. */
  readonly channel: string
  /** The parameters of the channel pattern, as strings. */
  readonly params: Params
}

/** How a channel tells who is in it. */
export interface ScPresenceOptions<Pattern extends string = string> extends ScPresenceLimits {
  /**
   * Returns the user of a socket: text of 1 to 256 characters, or a number. Sockets with the same key are one user. A socket
   * without one (`null`) is not present. Must be synchronous. Default: the claim `sub` of the token.
   */
  key?: (this: NoInfer<FastifyInstance>, context: ScPresenceContext<PatternParams<Pattern>>) => string | number | null | undefined
  /**
   * Returns data that others receive with the key: JSON of at most 4,096 characters. Must be synchronous. Default: no data.
   */
  data?: (this: NoInfer<FastifyInstance>, context: ScPresenceContext<PatternParams<Pattern>>) => unknown
  /**
   * Whether clients may change the data of their own user with the call `#presence`: `true`, or a policy. Throwing in the policy
   * refuses the change; a value that it returns replaces the data. @default false
   */
  update?: boolean | ((this: NoInfer<FastifyInstance>, context: ScChannelContext<UserData, PatternParams<Pattern>>) => unknown)
  /**
   * A policy that decides which clients may see who is in the channel. Throwing refuses the subscription to `<name>#presence`.
   * Default: the `subscribe` policy of the channel.
   */
  watch?: (this: NoInfer<FastifyInstance>, context: ScChannelContext<UserData, PatternParams<Pattern>>) => unknown
}

/** The part of a channel's contract that servers and clients can share. */
export interface ScChannelShape extends ScDocumentation {
  /** The schema of the messages. Messages are validated when a client or the server publishes. */
  message?: unknown
  /** The schema of the pattern's parameters. Their values are always strings. */
  params?: unknown
  /** Whether clients may subscribe. @default true */
  clientSubscribe?: boolean
  /** Whether clients may publish. @default true */
  clientPublish?: boolean
  /** The maximum size of a message as JSON, in bytes; 0 for no limit of the channel's own. @default 0 */
  maxMessageBytes?: number
  /**
   * What happens when a subscriber's backlog is full. `'resume'`, only with `recover`: the subscriber gets the publications later,
   * from the history, already when 32 KiB wait. Default: `'resume'` with `recover`, `'latest'` with `recover: 'latest'`, else the option
   * `slowConsumerPolicy`.
   */
  slowConsumerPolicy?: SlowConsumerPolicy
  /**
   * Keeps messages for `exchange.history` and `recover`, within these limits. The broker must support it. Default: no history.
   */
  history?: ScHistoryLimits
  /**
   * Whether clients that reconnect receive the messages that they missed. Clients need `recovering()` of
   * `fastify-socketcluster/client`. With `rewind`, every client receives the last messages when it subscribes. `'latest'` is for
   * channels of which only the newest message counts: every client receives it when it subscribes. Requires `history`.
   * @default false
   */
  recover?: boolean | 'latest' | ScRecoveryLimits
  /** A value for the application's own use. */
  config?: unknown
  /** Examples of messages. */
  examples?: readonly unknown[]
}

/** The contract of a channel, as passed to `scChannel`. `this` of the policies is the Fastify instance. */
export interface ScChannelContract<TypeProvider, Pattern extends string, Message> extends ScChannelShape {
  message?: Message
  /** A policy that runs after the `subscribe` hooks. Throwing refuses the subscription. */
  subscribe?: (this: NoInfer<FastifyInstance>, context: ScChannelContext<UserData, PatternParams<Pattern>>) => unknown
  /** A policy that runs after the `publishIn` hooks and the validation of the message. Throwing refuses the message. */
  publish?: (this: NoInfer<FastifyInstance>, context: ScChannelContext<NoInfer<InferData<TypeProvider, Message>>, PatternParams<Pattern>>) => unknown
  /**
   * A policy that runs for each recipient after the `publishOut` hooks, on the recipient's own copy of the message. Throwing
   * skips the recipient; a returned value replaces its message.
   */
  deliver?: (this: NoInfer<FastifyInstance>, context: ScChannelContext<NoInfer<InferData<TypeProvider, Message>>, PatternParams<Pattern>>) => unknown
  /**
   * Whether clients and the server can see which users are in the channel: `true`, or options. Clients subscribe to
   * `<name>#presence`. @default false
   */
  presence?: boolean | ScPresenceOptions<Pattern>
  /** Compiles the schemas of `message` and `params`. Default: the option `validatorCompiler`. */
  validatorCompiler?: ScValidatorCompiler
  /** Creates the error of an invalid message or parameter. Default: the option `schemaErrorFormatter`. */
  schemaErrorFormatter?: ScSchemaErrorFormatter
}

/** Infers TypeBox and Zod schemas when the instance has no type provider, or one that cannot infer the schema. */
export interface ScDefaultTypeProvider extends FastifyTypeProvider {
  validator: InferSchema<this['schema']>
  serializer: InferSchema<this['schema']>
}

// TypeBox's TSchema is `{}`, which every type extends; only the key `~kind` identifies its schemas.
type InferSchema<Schema> =
  '~kind' extends keyof Schema
    ? (Schema extends TSchema ? Static<Schema> : unknown)
    : Schema extends { _zod: { output: infer Output } } ? Output : unknown

type Validated<Provider, Schema> = Provider extends FastifyTypeProvider ? (Provider & { schema: Schema })['validator'] : unknown
type Serialized<Provider, Schema> = Provider extends FastifyTypeProvider ? (Provider & { schema: Schema })['serializer'] : unknown

/** The type of data that a schema validated. */
export type InferData<Provider, Schema> = unknown extends Validated<Provider, Schema> ? Validated<ScDefaultTypeProvider, Schema> : Validated<Provider, Schema>
/** The type of data that a schema serializes. */
export type InferResponse<Provider, Schema> = unknown extends Serialized<Provider, Schema> ? Serialized<ScDefaultTypeProvider, Schema> : Serialized<Provider, Schema>

type SchemaKeyword = 'type' | '$ref' | 'anyOf' | 'oneOf' | 'allOf' | 'not' | 'if' | 'enum' | 'const' | 'properties' | 'items' | '~kind' | '_zod'

/** The data schema of the second argument of `scEvent`; `undefined` without one. */
export type DataSchema<Contract> = [keyof Contract & SchemaKeyword] extends [never] ? (Contract extends { data: infer Data } ? Data : undefined) : Contract
/** The response schema of the second argument of `scEvent`; `undefined` without one. */
export type ResponseSchema<Contract> = [keyof Contract & SchemaKeyword] extends [never] ? (Contract extends { response: infer Response } ? Response : undefined) : undefined

/** The type of the data that an event's handler receives. */
export type ScEventData<Provider, Contract> = InferData<Provider, DataSchema<Contract>>
/** The type that an event's handler may return. It is read-only, so that literals need no `as const`. */
export type ScReply<Provider, Contract> = DeepReadonly<InferResponse<Provider, ResponseSchema<Contract>>>

export type DeepReadonly<T> = T extends (...args: never) => unknown ? T : T extends object ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> } : T

// As in Fastify's routes, a parameter's name ends at a slash, a dash or a dot.
type ParamName<Text extends string> =
  Text extends `${infer Name}-${string}` ? ParamName<Name> : Text extends `${infer Name}.${string}` ? ParamName<Name> : Text
type SegmentParams<Segment extends string> =
  Segment extends `${infer Before}::${infer After}` ? SegmentParams<Before> | SegmentParams<After>
    : Segment extends `${string}:${infer Name}:${infer Rest}` ? ParamName<Name> | SegmentParams<`:${Rest}`>
      : Segment extends `${string}:${infer Name}` ? ParamName<Name>
        : Segment extends `${string}*` ? '*' : never
type ParamNames<Pattern extends string> =
  Pattern extends `${infer Segment}/${infer Rest}` ? SegmentParams<Segment> | ParamNames<Rest> : SegmentParams<Pattern>

/** The parameters of a channel pattern: `{ readonly id: string }` for `'room/:id'`. */
export type PatternParams<Pattern extends string> =
  string extends Pattern ? Readonly<Record<string, string>> : { readonly [Name in ParamNames<Pattern>]: string }

/** The contracts of events by name, as passed to `defineEvents`. */
export type EventContracts = Readonly<Record<string, ScEventSchema>>
/** The shapes of channels by pattern, as passed to `defineChannels`. */
export type ChannelContracts = Readonly<Record<string, ScChannelShape>>

/** The types of one event. */
export interface ScEventTypes<Data = UserData, Response = UserData, Errors = UserData> {
  data: Data
  response: Response
  /** The fields of the declared errors, by error name. */
  errors: Errors
}

// A client sends the input type of a schema; Zod's input and output types can differ.
type InferInput<Provider, Schema> = Schema extends { _zod: { input: infer Input } } ? Input : InferData<Provider, Schema>
type ErrorSchemas<Contract> = Contract extends { errors: infer Errors } ? Errors : {}

/** The types of the events of a contract object: `InferEvents<typeof events>`. */
export type InferEvents<Contracts, Provider = ScDefaultTypeProvider> = {
  [Name in keyof Contracts]: ScEventTypes<
    InferInput<Provider, DataSchema<Contracts[Name]>>,
    InferResponse<Provider, ResponseSchema<Contracts[Name]>>,
    { [Key in keyof ErrorSchemas<Contracts[Name]>]: InferResponse<Provider, ErrorSchemas<Contracts[Name]>[Key]> }
  >
}

/** The message types of a contract object, by pattern: `InferChannels<typeof channels>`. */
export type InferChannels<Contracts, Provider = ScDefaultTypeProvider> = {
  [Pattern in keyof Contracts]: Contracts[Pattern] extends { message: infer Message } ? InferData<Provider, Message> : unknown
}

/** The argument for a pattern's parameters; no argument for a pattern without parameters. */
export type ParamsArgument<Pattern extends string> =
  string extends Pattern ? [params?: Readonly<Record<string, string>>] : [keyof PatternParams<Pattern>] extends [never] ? [] : [params: PatternParams<Pattern>]

/** A channel of the exchange with typed messages. */
export interface ScTypedChannel<Message> extends Omit<ScChannel, 'publish' | 'invokePublish' | 'transmitPublish' | 'history' | 'watch' | 'unwatch' | 'once'> {
  history (query?: ScHistoryQuery): Promise<ScHistory<Message>>
  [Symbol.asyncIterator] (): AsyncIterator<Message>
  publish (data: Message, callback?: (err: Error | null) => void): Promise<void>
  publish (data: Message, options?: ScPublishOptions, callback?: (err: Error | null) => void): Promise<void>
  invokePublish (data: Message, options?: ScPublishOptions): Promise<void>
  transmitPublish (data: Message, options?: ScPublishOptions): void
  watch (handler: (data: Message) => void | Promise<void>): void
  unwatch (handler?: (data: Message) => void | Promise<void>): void
  once (timeout?: number): Promise<Message>
}

/** A declaration of `scEvent`, for documents and tools. */
export interface DeclaredEvent {
  readonly name: string
  readonly instance: FastifyInstance
  /** The contract; a bare schema is its `data`. */
  readonly contract: ScEventContract
  /** The route over HTTP, with the url from the root; null without one. */
  readonly http: Readonly<Required<ScEventHttp>> | null
}

/** A declaration of `scChannel`, for documents and tools. */
export interface DeclaredChannel {
  readonly pattern: string
  /** The names of the pattern's parameters in order; `'*'` for the wildcard. */
  readonly paramNames: readonly string[]
  readonly instance: FastifyInstance
  readonly contract: ScChannelContract<unknown, string, unknown>
  /** What is kept of the messages, with the defaults filled in; null for nothing. */
  readonly history: Readonly<Required<ScHistoryLimits>> | null
  /** What clients get of the history, with the defaults filled in; null when they get nothing. */
  readonly recover: Readonly<ScDeclaredRecovery> | null
  /** The limits of `presence`, with the defaults filled in; null without presence. */
  readonly presence: Readonly<Required<ScPresenceLimits>> | null
}

/** All declarations of an application in the order of their calls, including hidden ones. */
export interface ScDeclarations {
  readonly events: readonly DeclaredEvent[]
  readonly channels: readonly DeclaredChannel[]
}
