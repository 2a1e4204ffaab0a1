import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { BrokerHistoryLimits } from './broker.js'
import type { ScChannelContext, ScPresenceContext } from './contracts.js'
import type { ScDeclaredRecovery } from './history.js'
import type { Hook, HookName } from './hooks.js'
import type { SlowConsumerPolicy } from './options.js'
import type { ScPresenceLimits } from './presence.js'
import type { ScCaller, ScServerSocket } from './server.js'
import type { UserData } from './user-data.js'

/** The hooks of an encapsulation context, those of outer contexts first. The arrays are live: read them when the hooks run. */
export type HookLists = { readonly [Name in HookName]: ReadonlyArray<Hook<Name, ScServerSocket, FastifyInstance>> }

/** The result of a validation: the validated data, or the error. */
export type Checked = { value: unknown, error?: undefined } | { error: Error, value?: undefined }

/** A compiled event of `scEvent`. */
export interface EventRoute {
  readonly name: string
  readonly instance: FastifyInstance
  readonly hooks: HookLists
  /** The event's own `preHandler` hooks, which run after those of its context. */
  readonly preHandler: ReadonlyArray<Hook<'preHandler', ScServerSocket, FastifyInstance>>
  /** Milliseconds until the caller gets a `TimeoutError`; 0 for no timeout. */
  readonly timeout: number
  readonly config: unknown
  /** The errors that the contract declares: a schema of the fields that clients receive, by error name. */
  readonly errors: Readonly<Record<string, unknown>> | undefined
  /** Validates the data; `null` without a data schema. */
  readonly validate: ((data: unknown) => Checked | Promise<Checked>) | null
  /**
   * Serializes the response to JSON text, or to an empty string for no data; `null` without a response schema. Throws on data
   * that does not match the schema.
   */
  readonly serialize: ((response: unknown) => string) | null
  readonly handler: (this: FastifyInstance, data: UserData, context: EventContext) => unknown
}

/** The second argument of an event's handler. `socket` is a `ScCaller` where the contract has `http`. */
export interface EventContext<Caller extends ScCaller = ScServerSocket> {
  readonly socket: Caller
  readonly log: ScServerSocket['log']
  readonly event: string
  readonly config: unknown
  /** Aborted when the call times out, or when the socket or the HTTP connection closes before the answer. */
  readonly signal: AbortSignal
  /** With `lifecycle: 'request'` only: the request that represents the call. */
  readonly request?: FastifyRequest
  /** With `lifecycle: 'request'` only: the reply to that request. */
  readonly reply?: FastifyReply
}

/** A policy of a channel, of any pattern and schema. */
export type ChannelPolicy = (this: FastifyInstance, context: ScChannelContext) => unknown

/** `presence.key` or `presence.data` of a channel, of any pattern. */
export type PresenceFunction = (this: FastifyInstance, context: ScPresenceContext) => unknown

/** The presence of a declared channel, with the defaults filled in. */
export interface PresenceRoute extends Readonly<Required<ScPresenceLimits>> {
  /** Returns the user of a socket; `null` for the default. */
  readonly key: PresenceFunction | null
  /** Returns the data of a user; `null` for no data. */
  readonly data: PresenceFunction | null
  /** Whether clients may change their data, or the policy that decides. */
  readonly update: boolean | ChannelPolicy
  /** The route of `<name>#presence`. */
  readonly companion: ChannelRoute
}

/** A compiled channel pattern of `scChannel`, or the route of undeclared channel names. */
export interface ChannelRoute {
  /** The pattern; `null` for undeclared names. */
  readonly pattern: string | null
  readonly instance: FastifyInstance
  readonly hooks: HookLists
  /** Whether clients may subscribe to channels of this pattern. */
  readonly clientSubscribe: boolean
  /** Whether clients may publish on channels of this pattern. */
  readonly clientPublish: boolean
  /** Validates a message; `null` without a message schema. */
  readonly validateMessage: ((data: unknown) => Checked | Promise<Checked>) | null
  /** Runs after the `subscribe` hooks. Throwing refuses the subscription. */
  readonly subscribe: ChannelPolicy | null
  /** Runs after the `publishIn` hooks. Throwing refuses the message. */
  readonly publish: ChannelPolicy | null
  /**
   * Runs for each recipient after the `publishOut` hooks, on its own copy. Throwing skips the recipient; a returned value
   * replaces the message.
   */
  readonly deliver: ChannelPolicy | null
  /** What happens when a subscriber's backlog is full. Default: the server's option. */
  readonly slowConsumerPolicy?: SlowConsumerPolicy | undefined
  /** The limits of the channel's history; `null` without a history. */
  readonly history: BrokerHistoryLimits | null
  /** What clients receive of the history; `null` without recovery. */
  readonly recover: Readonly<ScDeclaredRecovery> | null
  /** How the channel tells who is in it; `null` without presence. */
  readonly presence: PresenceRoute | null
  /** Whether this is a companion: a channel that tells who is in another one. */
  readonly isCompanion: boolean
  /** The `config` of the channel's contract. */
  readonly config?: unknown
}

/** The route and the parameters of a channel name. */
export interface ResolvedChannel {
  readonly route: ChannelRoute
  readonly params: Readonly<Record<string, string>>
  /** Set when a parameter is invalid, or when the name is undeclared and only declared channels are allowed. */
  readonly error?: Error
}

/** Looks up the declarations of the application for the packet handlers. */
export interface Contracts {
  /** Whether a channel is declared with presence. */
  readonly hasPresence: boolean
  event (name: string): EventRoute | undefined
  channel (name: string): ResolvedChannel
}
