import type { FastifyInstance, FastifyTypeProvider } from 'fastify'
import type { Static, TSchema } from 'typebox'
import type { ScChannel } from './exchange.js'
import type { ChannelRequest, Hook } from './hooks.js'
import type { SlowConsumerPolicy } from './options.js'
import type { ScServerSocket } from './server.js'
import type { ScLifecycle, ScSchemaErrorFormatter, ScValidatorCompiler } from './validation.js'
import type { UserData } from './user-data.js'

/** What documents an event or a channel. Nothing of it has an effect at run time. */
export interface ScDocumentation {
  /** One line. */
  summary?: string
  /** As much as it takes, in Markdown. */
  description?: string
  tags?: readonly string[]
  /** Leave it out of the generated document. @default false */
  hide?: boolean
  /** Shown as deprecated. @default false */
  deprecated?: boolean
}

/** What `scEvent` takes besides a bare schema. */
export interface ScEventContract extends ScDocumentation {
  /** The schema of what clients send. Without one, anything passes. */
  data?: unknown
  /** The schema of the answer; it is serialized by it, and fields it does not name are left out. */
  response?: unknown
  /** The errors that the handler throws on purpose: a schema of its fields by the error's name. For types and documents. */
  errors?: Readonly<Record<string, unknown>>
  /** Run after the context's `preHandler` hooks; the data is valid by then. Throwing refuses the call. */
  preHandler?: Hook<'preHandler', ScServerSocket, FastifyInstance> | ReadonlyArray<Hook<'preHandler', ScServerSocket, FastifyInstance>>
  /** Milliseconds until the caller gets a `TimeoutError`; 0 for never. Default: the option `handlerTimeout`. */
  timeout?: number
  /** Yours: hooks and the handler find it in their context. */
  config?: unknown
  /** Default: the option `lifecycle`, which is `'own'` by default. */
  lifecycle?: ScLifecycle
  /** `lifecycle: 'request'` only: Fastify's `logLevel` of the route. Fastify logs each request at `'info'`. */
  logLevel?: string
  /** Replaces the validator for `data`. Default: the option `validatorCompiler`. */
  validatorCompiler?: ScValidatorCompiler
  /** Default: the option `schemaErrorFormatter`. */
  schemaErrorFormatter?: ScSchemaErrorFormatter
  /** Examples of `data`. */
  examples?: readonly unknown[]
}

/** A schema for the data, or a contract. */
export type ScEventSchema = ScEventContract | object

/** A type without the keys that it may not have: what is misspelt does not compile. */
type Only<Given, Known> = { readonly [Key in Exclude<keyof Given, keyof Known>]: never }

/** What a contract has to be besides what it is: a schema may have any keys, a contract those of `ScEventContract`. */
export type CheckedEvent<Contract> = [keyof Contract & SchemaKeyword] extends [never] ? ScEventContract & Only<Contract, ScEventContract> : unknown
/** As `CheckedEvent`, for the shape of a channel. */
export type CheckedChannel<Shape> = ScChannelShape & Only<Shape, ScChannelShape>

/** What a channel's policies get. */
export interface ScChannelContext<Data = UserData, Params = Readonly<Record<string, string>>> extends ChannelRequest<ScServerSocket, Data, Params> {
  /** The message; for `subscribe` what the client sent with its subscription. */
  data: Data
  /** True when an existing subscription is checked again because the socket's authorization changed. */
  readonly revalidation?: boolean
}

/** The part of a channel's declaration that a client may know too. */
export interface ScChannelShape extends ScDocumentation {
  /** The schema of the messages. They are checked when a client or the server publishes. */
  message?: unknown
  /** The schema of the pattern's parameters, which are always text. */
  params?: unknown
  /** Whether clients may subscribe. @default true */
  clientSubscribe?: boolean
  /** Whether clients may publish. @default true */
  clientPublish?: boolean
  /** Bytes of a message as JSON; 0 for no limit of its own. @default 0 */
  maxMessageBytes?: number
  /** What happens when a subscriber's backlog is full. Default: the server's option. */
  slowConsumerPolicy?: SlowConsumerPolicy
  /** Yours. */
  config?: unknown
  /** Examples of messages. */
  examples?: readonly unknown[]
}

/** What `scChannel` takes. `this` of the policies is the Fastify instance. */
export interface ScChannelContract<TypeProvider, Pattern extends string, Message> extends ScChannelShape {
  message?: Message
  /** After the `subscribe` hooks. Throwing refuses the subscription. */
  subscribe?: (this: NoInfer<FastifyInstance>, context: ScChannelContext<UserData, PatternParams<Pattern>>) => unknown
  /** After the `publishIn` hooks and the check of the message. Throwing refuses the message. */
  publish?: (this: NoInfer<FastifyInstance>, context: ScChannelContext<NoInfer<InferData<TypeProvider, Message>>, PatternParams<Pattern>>) => unknown
  /** For each recipient, on its own copy, after the `publishOut` hooks. Throwing leaves the recipient out; a returned value replaces its message. */
  deliver?: (this: NoInfer<FastifyInstance>, context: ScChannelContext<NoInfer<InferData<TypeProvider, Message>>, PatternParams<Pattern>>) => unknown
  /** Replaces the validator for `message` and `params`. Default: the option `validatorCompiler`. */
  validatorCompiler?: ScValidatorCompiler
  /** Default: the option `schemaErrorFormatter`. */
  schemaErrorFormatter?: ScSchemaErrorFormatter
}

/** Infers TypeBox and Zod schemas when the instance has no type provider of its own, or one that knows nothing of the schema. */
export interface ScDefaultTypeProvider extends FastifyTypeProvider {
  validator: InferSchema<this['schema']>
  serializer: InferSchema<this['schema']>
}

// TypeBox's TSchema is `{}`, which everything extends; the key is what tells its schemas.
type InferSchema<Schema> =
  '~kind' extends keyof Schema
    ? (Schema extends TSchema ? Static<Schema> : unknown)
    : Schema extends { _zod: { output: infer Output } } ? Output : unknown

type Validated<Provider, Schema> = Provider extends FastifyTypeProvider ? (Provider & { schema: Schema })['validator'] : unknown
type Serialized<Provider, Schema> = Provider extends FastifyTypeProvider ? (Provider & { schema: Schema })['serializer'] : unknown

/** The type of data that passed a schema. */
export type InferData<Provider, Schema> = unknown extends Validated<Provider, Schema> ? Validated<ScDefaultTypeProvider, Schema> : Validated<Provider, Schema>
/** The type of data that a schema serializes. */
export type InferResponse<Provider, Schema> = unknown extends Serialized<Provider, Schema> ? Serialized<ScDefaultTypeProvider, Schema> : Serialized<Provider, Schema>

type SchemaKeyword = 'type' | '$ref' | 'anyOf' | 'oneOf' | 'allOf' | 'not' | 'if' | 'enum' | 'const' | 'properties' | 'items' | '~kind' | '_zod'

/** The schema of the data in what `scEvent` takes; `undefined` without one. */
export type DataSchema<Contract> = [keyof Contract & SchemaKeyword] extends [never] ? (Contract extends { data: infer Data } ? Data : undefined) : Contract
/** The schema of the response in what `scEvent` takes; `undefined` without one. */
export type ResponseSchema<Contract> = [keyof Contract & SchemaKeyword] extends [never] ? (Contract extends { response: infer Response } ? Response : undefined) : undefined

/** What an event's handler gets as data. */
export type ScEventData<Provider, Contract> = InferData<Provider, DataSchema<Contract>>
/** What an event's handler may return. Read-only, so that literals need no `as const`. */
export type ScReply<Provider, Contract> = DeepReadonly<InferResponse<Provider, ResponseSchema<Contract>>>

export type DeepReadonly<T> = T extends (...args: never) => unknown ? T : T extends object ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> } : T

// A parameter's name ends where Fastify's routes end it too: at a slash, a dash or a dot.
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

/** Contracts of events by name, as `defineEvents` takes them. */
export type EventContracts = Readonly<Record<string, ScEventSchema>>
/** Shapes of channels by pattern, as `defineChannels` takes them. */
export type ChannelContracts = Readonly<Record<string, ScChannelShape>>

/** What one side needs to know of an event. */
export interface ScEventTypes<Data = UserData, Response = UserData, Errors = UserData> {
  data: Data
  response: Response
  /** The declared errors' fields by name. */
  errors: Errors
}

// What a client sends is what goes into a schema; for Zod that differs from what comes out.
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

/** A pattern's parameters as an argument: none for a plain name. */
export type ParamsArgument<Pattern extends string> =
  string extends Pattern ? [params?: Readonly<Record<string, string>>] : [keyof PatternParams<Pattern>] extends [never] ? [] : [params: PatternParams<Pattern>]

/** A channel of the exchange whose messages have a type. */
export interface ScTypedChannel<Message> extends Omit<ScChannel, 'publish' | 'invokePublish' | 'transmitPublish' | 'watch' | 'unwatch' | 'once'> {
  [Symbol.asyncIterator] (): AsyncIterator<Message>
  publish (data: Message, callback?: (err: Error | null) => void): Promise<void>
  invokePublish (data: Message): Promise<void>
  transmitPublish (data: Message): void
  watch (handler: (data: Message) => void | Promise<void>): void
  unwatch (handler?: (data: Message) => void | Promise<void>): void
  once (timeout?: number): Promise<Message>
}

/** An event as it was declared, for documents and tools. */
export interface DeclaredEvent {
  readonly name: string
  readonly instance: FastifyInstance
  /** A bare schema was put under `data`. */
  readonly contract: ScEventContract
}

/** A channel as it was declared, for documents and tools. */
export interface DeclaredChannel {
  readonly pattern: string
  /** The names of the pattern's parameters in order; `'*'` for the wildcard. */
  readonly paramNames: readonly string[]
  readonly instance: FastifyInstance
  readonly contract: ScChannelContract<unknown, string, unknown>
}

/** Everything that an application declared, in that order, hidden ones included. */
export interface ScDeclarations {
  readonly events: readonly DeclaredEvent[]
  readonly channels: readonly DeclaredChannel[]
}
