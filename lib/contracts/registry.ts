import type { FastifyInstance } from 'fastify'
import type { DeclaredChannel, DeclaredEvent, ScEventContract } from '../../types/contracts.js'
import type { ScLifecycle, ScSchemaErrorFormatter, ScValidatorCompiler } from '../../types/validation.js'
import type { ChannelRoute, Checked, Contracts, EventRoute, ResolvedChannel } from '../../types/routes.js'
import { scError, typeName } from '../errors.js'
import type { Scope } from '../lifecycle/scope.js'
import { jsonBytes } from '../protocol/codec.js'
import { isLocalEvent, isReservedEvent } from '../protocol/names.js'
import { type ChannelMatch, ChannelRouter, noParams } from './channel-router.js'
import { compiling } from './compiling.js'
import { channelContract, eventContract } from './contract.js'
import { ChannelDeclaration, EventDeclaration, ownPreHandlers } from './declarations.js'
import { declareHiddenRoute, hiddenPath } from './hidden-route.js'
import { patternParams } from './pattern-syntax.js'
import { companionBase } from './presence.js'
import { declareRequestRoute, type RequestRoute } from './request-lifecycle.js'
import { compileSerializer } from './serializers.js'
import { compileValidator, type Validate } from './validators.js'

/** The plugin options that declarations use. */
export interface RegistryOptions {
  /** Access of clients to undeclared channels: `open` allows everything, `declared` nothing. */
  readonly channels: 'open' | 'declared'
  readonly lifecycle: ScLifecycle
  /** Timeout of handlers in milliseconds; 0 for none. */
  readonly handlerTimeout: number
  /** Maximum length of an event name in characters. */
  readonly maxEventNameLength: number
  readonly validatorCompiler?: ScValidatorCompiler | undefined
  readonly schemaErrorFormatter?: ScSchemaErrorFormatter | undefined
  /** Headers of the handshake, in lower case, that `lifecycle: 'request'` passes to calls. */
  readonly requestHeaders?: readonly string[] | undefined
}

/** An undeclared channel when only declared ones are allowed. Creates the error when it is read. */
class UndeclaredChannel implements ResolvedChannel {
  readonly params = noParams
  constructor (readonly route: ChannelRoute, readonly name: string) {}

  get error (): Error {
    return scError('SC_ERR_CHANNEL_UNDECLARED', [this.name])
  }
}

/** The events and channels that an application declares, with their compiled schemas. */
export class Registry implements Contracts {
  readonly #root: Scope
  readonly #options: RegistryOptions
  readonly #declaredEvents = new Map<string, EventDeclaration | RequestRoute>()
  readonly #declaredChannels: ChannelDeclaration[] = []
  readonly #router = new ChannelRouter()
  readonly #undeclared: ChannelRoute
  readonly #open: ResolvedChannel
  /** The instances that have a hidden route, and whether it includes one for the serializer. */
  readonly #probed = new WeakMap<FastifyInstance, { response: boolean }>()
  #frozen = false
  #hasPresence = false

  constructor (root: Scope, options: RegistryOptions) {
    this.#root = root
    this.#options = options
    const open = options.channels === 'open'
    this.#undeclared = Object.freeze({
      pattern: null,
      instance: root.instance,
      hooks: root.hooks,
      clientSubscribe: open,
      clientPublish: open,
      validateMessage: null,
      subscribe: null,
      publish: null,
      deliver: null,
      history: null,
      recover: null,
      presence: null,
      isCompanion: false,
      config: undefined
    })
    this.#open = Object.freeze({ route: this.#undeclared, params: noParams })
  }

  /**
   * Declares an event for `scope`; `instance` is the `this` of its handler.
   * @returns the declaration; the caller adds its route over HTTP, if it has one
   * @throws InvalidArgumentsError for an invalid name or contract, InvalidActionError after `compile()`
   */
  declareEvent (scope: Scope, instance: FastifyInstance, name: string, input: unknown, handler: EventRoute['handler']): EventDeclaration | RequestRoute {
    this.#refuseWhenFrozen('scEvent')
    if (typeof name !== 'string' || name === '' || isReservedEvent(name) || isLocalEvent(name)) {
      throw scError('SC_ERR_EVENT_NAME', [typeof name === 'string' ? `"${name}"` : typeName(name)])
    }
    if (name.length > this.#options.maxEventNameLength) throw scError('SC_ERR_CONTRACT', [name, `expected a name of at most ${this.#options.maxEventNameLength} characters; see the option maxEventNameLength`])
    if (this.#declaredEvents.has(name)) throw scError('SC_ERR_EVENT_DUPLICATE', [name])
    const contract = eventContract(name, input)
    if (typeof handler !== 'function') throw scError('SC_ERR_CONTRACT', [name, `expected the handler to be a function, got ${typeName(handler)}`])
    const timeout = contract.timeout ?? this.#options.handlerTimeout

    if (contract.data !== undefined || contract.response !== undefined) this.#probe(instance, contract.response !== undefined)

    let event: EventDeclaration | RequestRoute
    if ((contract.lifecycle ?? this.#options.lifecycle) === 'request') {
      if (contract.http !== undefined && contract.http !== false) throw scError('SC_ERR_CONTRACT', [name, "http expects lifecycle 'own', got 'request'"])
      event = declareRequestRoute({
        name,
        contract,
        instance,
        hooks: scope.hooks,
        preHandler: ownPreHandlers(contract),
        timeout,
        handler,
        validatorCompiler: contract.validatorCompiler ?? this.#options.validatorCompiler,
        schemaErrorFormatter: contract.schemaErrorFormatter ?? this.#options.schemaErrorFormatter,
        requestHeaders: this.#options.requestHeaders
      })
    } else {
      event = new EventDeclaration(name, contract, instance, scope, timeout, handler)
    }
    this.#declaredEvents.set(name, event)
    return event
  }

  /**
   * Declares the channels of a pattern for `scope`; `instance` is the `this` of its policies.
   * @throws InvalidArgumentsError for an invalid pattern or contract, InvalidActionError after `compile()`
   */
  declareChannel (scope: Scope, instance: FastifyInstance, pattern: string, input: unknown): void {
    this.#refuseWhenFrozen('scChannel')
    const paramNames = patternParams(pattern)
    if (this.#router.has(pattern)) throw scError('SC_ERR_CHANNEL_DUPLICATE', [pattern])
    const contract = channelContract(pattern, input)
    const declaration = new ChannelDeclaration(pattern, paramNames, contract, instance, scope)
    if (contract.message !== undefined || contract.params !== undefined) this.#probe(instance, false)
    this.#router.add(pattern, declaration)
    this.#declaredChannels.push(declaration)
    if (declaration.presence !== null) this.#hasPresence = true
  }

  /**
   * Compiles the validators and serializers. Nothing can be declared afterwards. Call in `onReady`.
   * @throws InvalidArgumentsError that names the event or pattern whose schema does not compile
   */
  compile (): void {
    this.#frozen = true
    for (const event of this.#declaredEvents.values()) {
      // Fastify compiles the schemas of request routes itself.
      if (!(event instanceof EventDeclaration)) continue
      const { name, contract, instance } = event
      if (contract.data !== undefined) event.validate = this.#validator(name, contract, contract.data, instance, 'data')
      if (contract.response !== undefined) {
        event.serialize = compiling(name, 'response', () => compileSerializer(contract.response, instance, name, `sc:${name}`))
      }
    }
    for (const channel of this.#declaredChannels) {
      const { pattern, contract, instance } = channel
      if (this.#hasPresence && companionBase(pattern) !== undefined) throw scError('SC_ERR_CONTRACT', [pattern, 'names that end in "#presence" are reserved where a channel is declared with presence'])
      if (contract.params !== undefined) channel.validateParams = this.#validator(pattern, contract, contract.params, instance, 'params')
      const check = contract.message === undefined ? null : this.#validator(pattern, contract, contract.message, instance, 'message')
      channel.validateMessage = limited(pattern, contract.maxMessageBytes ?? 0, check)
    }
  }

  event (name: string): EventRoute | undefined {
    return this.#declaredEvents.get(name)
  }

  get hasPresence (): boolean { return this.#hasPresence }

  channel (name: string): ResolvedChannel {
    if (this.#hasPresence) {
      const companion = this.#companion(name)
      if (companion !== null) return companion
    }
    const match = this.#router.find(name)
    if (match === null) return this.#options.channels === 'open' ? this.#open : new UndeclaredChannel(this.#undeclared, name)
    if (match.emptyParam !== undefined) return { ...match, error: scError('SC_ERR_CHANNEL_PARAM', [match.emptyParam, match.route.pattern, name]) }
    const { validateParams } = match.route as ChannelDeclaration
    return validateParams === null ? match : checkParams(match, validateParams)
  }

  /** Resolves the name of a companion. `null` for any other name, also where the channel that it would be about has no presence. */
  #companion (name: string): ResolvedChannel | null {
    const base = companionBase(name)
    if (base === undefined) return null
    const resolved = this.channel(base)
    if (resolved.route.isCompanion) return { ...resolved, error: scError('SC_ERR_CHANNEL_REFUSED', ['use', name]) }
    return resolved.route.presence === null ? null : { ...resolved, route: resolved.route.presence.companion }
  }

  /** Returns the declared events, in the order of declaration. */
  declaredEvents (): DeclaredEvent[] {
    return [...this.#declaredEvents.values()]
  }

  /** Returns the declared channels, in the order of declaration. */
  declaredChannels (): DeclaredChannel[] {
    return [...this.#declaredChannels]
  }

  get root (): Scope {
    return this.#root
  }

  #refuseWhenFrozen (method: string): void {
    if (this.#frozen) throw scError('SC_ERR_AFTER_READY', [method])
  }

  #validator (name: string, contract: ScEventContract | DeclaredChannel['contract'], schema: unknown, instance: FastifyInstance, part: 'data' | 'message' | 'params'): Validate {
    return compiling(name, part, () => compileValidator({
      schema,
      instance,
      part,
      url: `sc:${name}`,
      compiler: contract.validatorCompiler ?? this.#options.validatorCompiler,
      formatter: contract.schemaErrorFormatter ?? this.#options.schemaErrorFormatter
    }))
  }

  /**
   * Fastify creates the compilers of a context with the first route that has a schema, so each context gets such a route. The
   * schemas of the route accept everything, because an error in one would name the route and not the event.
   */
  #probe (instance: FastifyInstance, response: boolean): void {
    const known = this.#probed.get(instance)
    if (known !== undefined && (known.response || !response)) return
    this.#probed.set(instance, { response })
    const probe = (schema: object): void => {
      declareHiddenRoute(instance, hiddenPath('compilers'), { schema: { body: true, ...schema }, handler (_request, reply) { reply.callNotFound() } })
    }
    if (known === undefined) probe({})
    // A compiler of the application may not support this schema, and then no default one has to be created.
    if (response) instance.after(() => { if (instance.serializerCompiler === undefined) probe({ response: { 200: { type: 'string' } } }) })
  }
}

/** Adds a limit of the message size to a validator. */
function limited (pattern: string, maxBytes: number, check: Validate | null): Validate | null {
  if (maxBytes === 0) return check
  return (data) => {
    const bytes = data === undefined ? 0 : jsonBytes(data)
    if (bytes > maxBytes) return { error: scError('SC_ERR_MESSAGE_SIZE', [pattern, maxBytes, bytes]) }
    return check === null ? { value: data } : check(data)
  }
}

function checkParams (match: ChannelMatch, validate: Validate): ResolvedChannel {
  const checked: Checked | Promise<Checked> = validate({ ...match.params })
  if (checked instanceof Promise) {
    checked.catch(() => {})
    return { ...match, error: scError('SC_ERR_CONTRACT', [match.route.pattern, 'the validator of params must not be async']) }
  }
  if (checked.error !== undefined) return { ...match, error: checked.error }
  return checked.value === match.params ? match : { ...match, params: checked.value as Record<string, string> }
}
