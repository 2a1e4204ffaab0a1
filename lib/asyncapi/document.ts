import type { AsyncApiDeclaration, AsyncApiDocument, ScAsyncApiOptions } from '../../types/asyncapi.js'
import type { DeclaredChannel, DeclaredEvent, ScDeclarations, ScDocumentation } from '../../types/contracts.js'
import { companionOf } from '../contracts/presence.js'
import { callError, historyAnswer, historyQuery, presenceMessages, presenceUpdate } from './calls.js'
import { Keys, reference } from './keys.js'
import { addressOf, deprecation, documentation, errorSchema, examples, presenceOf, recoveryOf, tagsOf } from './parts.js'
import { Schemas } from './schemas.js'
import { type ServerFacts, Servers } from './servers.js'

const jwtScheme = {
  type: 'http',
  scheme: 'bearer',
  bearerFormat: 'JWT',
  description: 'A signed token that the client sends in its handshake, or later with `authenticate`.'
}

/** Builds the document of an application from the server's perspective: the server receives the events of clients. */
export function buildDocument (declarations: ScDeclarations, options: ScAsyncApiOptions, facts: ServerFacts): AsyncApiDocument {
  return new DocumentBuilder(options, facts).build(declarations)
}

/** The keywords of a parameter's schema that the document uses. */
interface ParameterSchema {
  description?: unknown
  enum?: unknown
  const?: unknown
  anyOf?: unknown
  default?: unknown
  examples?: unknown
}

class DocumentBuilder {
  readonly #options: ScAsyncApiOptions
  readonly #facts: ServerFacts
  readonly #schemas: Schemas
  readonly #channelKeys = new Keys()
  readonly #operationKeys = new Keys()
  readonly #messageKeys = new Keys()
  readonly #channels: Record<string, object> = {}
  readonly #operations: Record<string, object> = {}
  readonly #messages: Record<string, object> = {}
  #validationError: string | null = null
  #servers!: Servers
  /** The messages of channels that tell who is in another one. */
  #presenceMessages: Record<string, object> | null = null

  constructor (options: ScAsyncApiOptions, facts: ServerFacts) {
    this.#options = options
    this.#facts = facts
    this.#schemas = new Schemas(new Keys(), options.transform)
  }

  build ({ events, channels }: ScDeclarations): AsyncApiDocument {
    const shown = events.filter(({ name, contract }) => this.#isShown('event', name, contract))
    const securitySchemes = this.#options.securitySchemes ?? { jwt: jwtScheme }
    this.#servers = new Servers(this.#options, this.#facts, Object.keys(securitySchemes), shown.some(({ http }) => http !== null))
    for (const event of shown) this.#addEvent(event)
    for (const channel of channels) {
      if (this.#isShown('channel', channel.pattern, channel.contract)) this.#addChannel(channel)
    }
    const { title = 'fastify-socketcluster', version = '0.0.0', ...info } = this.#options.info ?? {}
    return {
      asyncapi: '3.1.0',
      info: { title, version, ...info },
      defaultContentType: 'application/json',
      servers: this.#servers.objects,
      channels: this.#channels,
      operations: this.#operations,
      components: { messages: this.#messages, schemas: this.#schemas.components, securitySchemes }
    }
  }

  #isShown (kind: AsyncApiDeclaration['kind'], name: string, { summary, description, tags, hide, deprecated }: ScDocumentation): boolean {
    if (hide === true) return false
    if (this.#options.hideUntagged === true && (tags === undefined || tags.length === 0)) return false
    return this.#options.filter?.({ kind, name, documentation: { summary, description, tags, hide, deprecated } }) !== false
  }

  /** Adds an event: an operation that receives it, with a reply if the event has an answer. */
  #addEvent ({ name, contract, instance, http }: DeclaredEvent): void {
    const channelKey = this.#channelKeys.make(name)
    const messages: Record<string, unknown> = {}
    const add = (part: string, message: Record<string, unknown>): { $ref: string } => {
      const key = this.#messageKeys.make(part === 'data' ? name : `${name}.${part}`)
      this.#messages[key] = message
      messages[part] = reference('components', 'messages', key)
      return reference('channels', channelKey, 'messages', part)
    }

    const data = add('data', {
      name,
      title: name,
      ...documentation(contract),
      ...(contract.data === undefined ? {} : { payload: this.#schemas.add(`${name}.data`, contract.data, instance, { kind: 'event', name, part: 'data' }) }),
      ...examples(contract.examples)
    })
    const answers: Array<{ $ref: string }> = []
    if (contract.response !== undefined) {
      answers.push(add('response', {
        name: `${name} response`,
        title: `Answer to ${name}`,
        payload: this.#schemas.add(`${name}.response`, contract.response, instance, { kind: 'event', name, part: 'response' })
      }))
    }
    for (const [error, schema] of Object.entries(contract.errors ?? {})) {
      const fields = this.#schemas.add(`${name}.${error}`, schema, instance, { kind: 'event', name, part: 'errors' })
      answers.push(add(error, { name: error, title: error, summary: `Error answer to ${name}`, payload: { allOf: [errorSchema(error), fields] } }))
    }
    if (contract.data !== undefined && answers.length !== 0) {
      messages.ValidationError = reference('components', 'messages', this.#validationErrorKey())
      answers.push(reference('channels', channelKey, 'messages', 'ValidationError'))
    }

    const tags = tagsOf(contract)
    this.#channels[channelKey] = {
      // Braces would be parameters, and an address must not have a query or a fragment.
      address: /[{}?#]/.test(name) ? null : name,
      title: name,
      ...documentation(contract),
      ...tags,
      ...this.#servers.of(false),
      messages,
      'x-sc-kind': 'event'
    }
    if (http !== null) this.#addRoute({ name, contract, http }, messages)
    this.#operations[this.#operationKeys.make(name)] = {
      action: 'receive',
      channel: reference('channels', channelKey),
      title: name,
      ...documentation(contract),
      ...tags,
      ...deprecation(contract),
      messages: [data],
      ...(answers.length === 0 ? {} : { reply: { channel: reference('channels', channelKey), messages: answers } })
    }
  }

  /** Adds the route of an event over HTTP: an operation with the same messages on a channel of its own. */
  #addRoute ({ name, contract, http }: Pick<DeclaredEvent, 'name' | 'contract' | 'http'>, messages: Record<string, unknown>): void {
    const key = this.#channelKeys.make(`${name} over HTTP`)
    const { data, ...answers } = Object.fromEntries(Object.keys(messages).map((part) => [part, reference('channels', key, 'messages', part)]))
    const about = { title: `${name} over HTTP`, ...documentation(contract), ...tagsOf(contract) }
    this.#channels[key] = { address: http!.url, ...about, ...this.#servers.of(true), messages: { ...messages }, 'x-sc-kind': 'event' }
    this.#operations[this.#operationKeys.make(`${name} over HTTP`)] = {
      action: 'receive',
      channel: reference('channels', key),
      ...about,
      ...deprecation(contract),
      bindings: { http: { method: http!.method, bindingVersion: '0.3.0' } },
      messages: [data],
      ...(Object.keys(answers).length === 0 ? {} : { reply: { channel: reference('channels', key), messages: Object.values(answers) } })
    }
  }

  /** Adds a channel: operations for the messages that clients publish and that subscribers receive. */
  #addChannel ({ pattern, contract, instance, history, recover, presence }: DeclaredChannel): void {
    const channelKey = this.#channelKeys.make(pattern.replaceAll('*', 'wildcard'))
    const messageKey = this.#messageKeys.make(`${pattern.replaceAll('*', 'wildcard')}.message`)
    this.#messages[messageKey] = {
      name: pattern,
      title: `Message on ${pattern}`,
      ...documentation(contract),
      ...(contract.message === undefined ? {} : { payload: this.#schemas.add(messageKey, contract.message, instance, { kind: 'channel', name: pattern, part: 'message' }) }),
      ...examples(contract.examples)
    }
    const { address, names } = addressOf(pattern)
    const messages: Record<string, object> = { message: reference('components', 'messages', messageKey) }
    const parameters = Object.entries(names).map(([name, as]) => [as, this.#parameter(pattern, name, contract.params)])
    const tags = tagsOf(contract)
    this.#channels[channelKey] = {
      address,
      title: pattern,
      ...documentation(contract),
      ...tags,
      ...(parameters.length === 0 ? {} : { parameters: Object.fromEntries(parameters) }),
      ...this.#servers.of(false),
      messages,
      'x-sc-kind': 'channel',
      ...(history === null ? {} : { 'x-sc-history': history }),
      ...(recover === null ? {} : { 'x-sc-recover': recoveryOf(recover) }),
      ...(presence === null ? {} : { 'x-sc-presence': presenceOf(pattern, presence) })
    }
    const operation = (action: 'receive' | 'send', verb: string, more: object = {}): void => {
      this.#operations[this.#operationKeys.make(`${verb} ${pattern.replaceAll('*', 'wildcard')}`)] = {
        action,
        channel: reference('channels', channelKey),
        title: `${verb} ${pattern}`,
        ...documentation(contract),
        ...tags,
        ...deprecation(contract),
        messages: [reference('channels', channelKey, 'messages', 'message')],
        ...more
      }
    }
    /** Adds a call that clients make about the channel. @param answer the schema of the answer; null if it has no data */
    const call = (name: 'history' | 'presence', request: object, answer: object | null): void => {
      const add = (part: string, title: string, payload: object): { $ref: string } => {
        const key = this.#messageKeys.make(`${messageKey}.${part}`)
        this.#messages[key] = { name: `#${name}`, title, payload }
        messages[part] = reference('components', 'messages', key)
        return reference('channels', channelKey, 'messages', part)
      }
      const replies = answer === null ? [] : [add(`${name}Answer`, `Answer to #${name}`, answer)]
      replies.push(add(`${name}Error`, `Error answer to #${name}`, callError))
      operation('receive', name, {
        'x-sc-event': `#${name}`,
        messages: [add(name, `#${name}`, request)],
        reply: { channel: reference('channels', channelKey), messages: replies }
      })
    }
    if ((contract.clientPublish ?? true) && this.#facts.allowClientPublish) operation('receive', 'publish')
    if (contract.clientSubscribe ?? true) operation('send', 'subscribe')
    if ((contract.clientSubscribe ?? true) && recover !== null) call('history', historyQuery, historyAnswer((this.#messages[messageKey] as { payload?: object }).payload ?? {}))
    if (presence === null) return
    const { update = false, watch = undefined } = typeof contract.presence === 'object' ? contract.presence : {}
    if ((contract.clientSubscribe ?? true) && update !== false) call('presence', presenceUpdate, null)
    if ((contract.clientSubscribe ?? true) || watch !== undefined) this.#addCompanion(pattern, contract)
  }

  /** Adds the channel that tells who is in another one. */
  #addCompanion (pattern: string, contract: ScDocumentation): void {
    const title = companionOf(pattern)
    const channelKey = this.#channelKeys.make(title.replaceAll('*', 'wildcard'))
    const tags = tagsOf(contract)
    const summary = `Who is in ${pattern}`
    if (this.#presenceMessages === null) {
      this.#presenceMessages = {}
      for (const [type, { summary, payload }] of Object.entries(presenceMessages)) {
        const key = this.#messageKeys.make(`presence.${type}`)
        this.#messages[key] = { name: type, title: `Presence: ${type}`, summary, payload }
        this.#presenceMessages[type] = reference('components', 'messages', key)
      }
    }
    this.#channels[channelKey] = {
      // An address must not have a fragment.
      address: null,
      title,
      summary,
      ...tags,
      ...this.#servers.of(false),
      messages: this.#presenceMessages,
      'x-sc-kind': 'presence'
    }
    this.#operations[this.#operationKeys.make(`subscribe ${title.replaceAll('*', 'wildcard')}`)] = {
      action: 'send',
      channel: reference('channels', channelKey),
      title: `subscribe ${title}`,
      summary,
      ...tags,
      ...deprecation(contract),
      messages: Object.keys(this.#presenceMessages).map((type) => reference('channels', channelKey, 'messages', type))
    }
  }

  /**
   * Converts a parameter's schema. AsyncAPI's parameters are strings with an optional list of values, so other keywords are
   * dropped.
   */
  #parameter (pattern: string, name: string, schema: unknown): object {
    if (schema === undefined) return {}
    const json = this.#schemas.toJson(schema, { kind: 'channel', name: pattern, part: 'params' }) as { properties?: Record<string, ParameterSchema> }
    const { description, enum: values, const: value, anyOf, default: byDefault, examples } = json.properties?.[name] ?? {}
    const texts = (list: unknown[]): string[] => list.map(String)
    const literals = Array.isArray(anyOf) && anyOf.every((item) => item?.const !== undefined) ? anyOf.map((item) => item.const) : undefined
    const allowed = values ?? (value === undefined ? literals : [value])
    return {
      ...(description === undefined ? {} : { description }),
      ...(Array.isArray(allowed) ? { enum: texts(allowed) } : {}),
      ...(byDefault === undefined ? {} : { default: String(byDefault) }),
      ...(Array.isArray(examples) ? { examples: texts(examples) } : {})
    }
  }

  #validationErrorKey (): string {
    if (this.#validationError !== null) return this.#validationError
    const key = this.#messageKeys.make('ValidationError')
    this.#messages[key] = {
      name: 'ValidationError',
      title: 'ValidationError',
      summary: 'The data does not fit the schema',
      payload: {
        allOf: [errorSchema('ValidationError')],
        properties: {
          code: { const: 'FST_ERR_VALIDATION' },
          statusCode: { const: 400 },
          validation: { type: 'array', items: { type: 'object' }, description: 'What is wrong, piece by piece' },
          validationContext: { type: 'string' }
        }
      }
    }
    this.#validationError = key
    return key
  }
}
