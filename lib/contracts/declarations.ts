import type { FastifyInstance } from 'fastify'
import type { DeclaredChannel, DeclaredEvent, ScEventContract } from '../../types/contracts.js'
import type { ChannelPolicy, ChannelRoute, EventRoute, HookLists } from '../../types/routes.js'
import type { Scope } from '../lifecycle/scope.js'
import { type HttpRoute, httpRouteOf } from './event-url.js'
import { presenceRoute } from './presence.js'
import type { Serialize } from './serializers.js'
import type { Validate } from './validators.js'

/** The defaults of `recover`. */
export const defaultRecovery = { limit: 300, bytes: 262_144 }

type PreHandlers = EventRoute['preHandler']

/** A declared event. `compile()` adds its validator and serializer. */
export class EventDeclaration implements EventRoute, DeclaredEvent {
  readonly hooks: HookLists
  readonly preHandler: PreHandlers
  readonly config: unknown
  readonly errors: EventRoute['errors']
  readonly http: HttpRoute | null
  validate: Validate | null = null
  serialize: Serialize | null = null

  constructor (
    readonly name: string, readonly contract: ScEventContract, readonly instance: FastifyInstance, scope: Scope,
    readonly timeout: number, readonly handler: EventRoute['handler']
  ) {
    this.hooks = scope.hooks
    this.preHandler = ownPreHandlers(contract)
    this.config = contract.config
    this.errors = contract.errors
    this.http = httpRouteOf(name, contract, instance.prefix)
  }
}

/** A declared channel. `compile()` adds its validators. */
export class ChannelDeclaration implements ChannelRoute, DeclaredChannel {
  readonly hooks: HookLists
  readonly clientSubscribe: boolean
  readonly clientPublish: boolean
  readonly subscribe: ChannelPolicy | null
  readonly publish: ChannelPolicy | null
  readonly deliver: ChannelPolicy | null
  readonly slowConsumerPolicy: ChannelRoute['slowConsumerPolicy']
  readonly history: ChannelRoute['history']
  readonly recover: ChannelRoute['recover']
  readonly presence: ChannelRoute['presence']
  readonly isCompanion = false
  readonly config: unknown
  validateMessage: Validate | null = null
  validateParams: Validate | null = null

  constructor (readonly pattern: string, readonly paramNames: readonly string[], readonly contract: DeclaredChannel['contract'], readonly instance: FastifyInstance, scope: Scope) {
    this.hooks = scope.hooks
    this.clientSubscribe = contract.clientSubscribe ?? true
    this.clientPublish = contract.clientPublish ?? true
    // The pattern types the policies where they are written; here their parameters are a record.
    this.subscribe = (contract.subscribe as ChannelPolicy | undefined) ?? null
    this.publish = (contract.publish as ChannelPolicy | undefined) ?? null
    this.deliver = (contract.deliver as ChannelPolicy | undefined) ?? null
    this.slowConsumerPolicy = contract.slowConsumerPolicy ?? (contract.recover === 'latest' ? 'latest' : undefined)
    this.history = contract.history === undefined ? null : { size: contract.history.size ?? 100, ttl: contract.history.ttl ?? 300_000 }
    this.recover = recoveryOf(contract)
    this.config = contract.config
    this.presence = presenceRoute(this, contract)
  }
}

/** Returns the `preHandler` hooks of an event's contract. */
export function ownPreHandlers ({ preHandler }: ScEventContract): PreHandlers {
  if (preHandler === undefined) return []
  return typeof preHandler === 'function' ? [preHandler] : [...preHandler]
}

function recoveryOf ({ recover }: DeclaredChannel['contract']): ChannelRoute['recover'] {
  if (recover === undefined || recover === false) return null
  // The newest message may have any size, as when it was published.
  if (recover === 'latest') return { limit: 1, bytes: Number.MAX_SAFE_INTEGER, rewind: 1, latest: true }
  const { limit = defaultRecovery.limit, bytes = defaultRecovery.bytes, rewind = 0 } = recover === true ? {} : recover
  return { limit, bytes, rewind, latest: false }
}
