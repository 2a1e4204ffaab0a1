import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ScChannelContext } from './contracts.js'
import type { Hook, HookName } from './hooks.js'
import type { SlowConsumerPolicy } from './options.js'
import type { ScServerSocket } from './server.js'
import type { UserData } from './user-data.js'

/** The hooks that apply in one encapsulation context, outer contexts first. The arrays are live: read them when running. */
export type HookLists = { readonly [Name in HookName]: ReadonlyArray<Hook<Name, ScServerSocket, FastifyInstance>> }

/** Either the data to go on with, or why it is refused. */
export type Checked = { value: unknown, error?: undefined } | { error: Error, value?: undefined }

/** An event declared with `scEvent`, compiled. */
export interface EventRoute {
  readonly name: string
  readonly instance: FastifyInstance
  readonly hooks: HookLists
  /** The event's own hooks, run after those of its context. */
  readonly preHandler: ReadonlyArray<Hook<'preHandler', ScServerSocket, FastifyInstance>>
  /** Milliseconds until the caller gets a `TimeoutError`; 0 for never. */
  readonly timeout: number
  readonly config: unknown
  /** The errors that its contract declares: a schema of the fields that clients see, by an error's name. */
  readonly errors: Readonly<Record<string, unknown>> | undefined
  /** Absent without a data schema. */
  readonly validate: ((data: unknown) => Checked | Promise<Checked>) | null
  /** The response as JSON text, the empty string for no data; absent without a response schema. Throws on data that does not fit. */
  readonly serialize: ((response: unknown) => string) | null
  readonly handler: (this: FastifyInstance, data: UserData, context: EventContext) => unknown
}

/** The second argument of an event's handler. */
export interface EventContext {
  readonly socket: ScServerSocket
  readonly log: ScServerSocket['log']
  readonly event: string
  readonly config: unknown
  /** Aborted when the call timed out or its socket closed. */
  readonly signal: AbortSignal
  /** `lifecycle: 'request'` only: the request that stands for the call. */
  readonly request?: FastifyRequest
  /** `lifecycle: 'request'` only. */
  readonly reply?: FastifyReply
}

/** A channel's policy, whatever its pattern and its schema. */
export type ChannelPolicy = (this: FastifyInstance, context: ScChannelContext) => unknown

/** A channel pattern declared with `scChannel`, compiled; or what undeclared names get. */
export interface ChannelRoute {
  /** `null` for undeclared names. */
  readonly pattern: string | null
  readonly instance: FastifyInstance
  readonly hooks: HookLists
  /** Whether clients may subscribe and publish by this pattern at all. */
  readonly clientSubscribe: boolean
  readonly clientPublish: boolean
  /** Checks a message; absent without a message schema. */
  readonly validateMessage: ((data: unknown) => Checked | Promise<Checked>) | null
  /** After the `subscribe` hooks; throwing refuses. */
  readonly subscribe: ChannelPolicy | null
  /** After the `publishIn` hooks; throwing refuses. */
  readonly publish: ChannelPolicy | null
  /** For each recipient, on its own copy, after the `publishOut` hooks; throwing leaves it out, a returned value replaces the message. */
  readonly deliver: ChannelPolicy | null
  /** What happens when a subscriber's backlog is full; the server's option unless declared. */
  readonly slowConsumerPolicy?: SlowConsumerPolicy | undefined
  /** The `config` of the channel's contract. */
  readonly config?: unknown
}

/** A channel name with the pattern it matched. */
export interface ResolvedChannel {
  readonly route: ChannelRoute
  readonly params: Readonly<Record<string, string>>
  /** Set when a parameter is invalid, or when the name is not declared and only declared ones are allowed. */
  readonly error?: Error
}

/** What the application declared, as the packet handlers ask for it. */
export interface Contracts {
  event (name: string): EventRoute | undefined
  channel (name: string): ResolvedChannel
}
