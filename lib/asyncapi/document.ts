import type { AsyncApiDeclaration, AsyncApiDocument, AsyncApiServer, ScAsyncApiOptions } from '../../types/asyncapi.js'
import type { DeclaredChannel, DeclaredEvent, ScDeclarations, ScDocumentation } from '../../types/contracts.js'
import { parameter } from '../contracts/fill-pattern.js'
import { companionOf } from '../contracts/presence.js'
import { Keys, reference } from './keys.js'
import { Schemas, holdsReference } from './schemas.js'

/** The properties of the server that the document uses. */
export interface ServerFacts {
  readonly path: string
  /** The host and port where the application listens. */
  readonly host: string
  readonly secure: boolean
  /** The server's option `allowClientPublish`. */
  readonly allowClientPublish: boolean
}

const jwtScheme = {
  type: 'http',
  scheme: 'bearer',
  bearerFormat: 'JWT',
  description: 'A signed token that the client sends in its handshake, or later with `authenticate`.'
}

const protocolDescription = 'SocketCluster over WebSocket: socketcluster-client 14 to 20.'

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

  constructor (options: ScAsyncApiOptions, facts: ServerFacts) {
    this.#options = options
    this.#facts = facts
    this.#schemas = new Schemas(new Keys(), options.transform)
  }

  build ({ events, channels }: ScDeclarations): AsyncApiDocument {
    for (const event of events) {
      if (this.#isShown('event', event.name, event.contract)) this.#addEvent(event)
    }
    for (const channel of channels) {
      if (this.#isShown('channel', channel.pattern, channel.contract)) this.#addChannel(channel)
    }
    const securitySchemes = this.#options.securitySchemes ?? { jwt: jwtScheme }
    const { title = 'fastify-socketcluster', version = '0.0.0', ...info } = this.#options.info ?? {}
    return {
      asyncapi: '3.1.0',
      info: { title, version, ...info },
      defaultContentType: 'application/json',
      servers: this.#servers(Object.keys(securitySchemes)),
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

  #servers (schemes: string[]): Record<string, unknown> {
    const { path, host, secure } = this.#facts
    const given: Record<string, AsyncApiServer> = this.#options.servers ?? { default: { host, protocol: secure ? 'wss' : 'ws' } }
    const security = schemes.map((scheme) => reference('components', 'securitySchemes', scheme))
    return Object.fromEntries(Object.entries(given).map(([name, { protocol = 'wss', pathname = path, description = protocolDescription, ...server }]) =>
      [name, { ...server, protocol, pathname, description, ...(security.length === 0 ? {} : { security }) }]))
  }

  /** Adds an event: an operation that receives it, with a reply if the event has an answer. */
  #addEvent ({ name, contract, instance }: DeclaredEvent): void {
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
      messages,
      'x-sc-kind': 'event'
    }
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
    const parameters = Object.entries(names).map(([name, as]) => [as, this.#parameter(pattern, name, contract.params)])
    const tags = tagsOf(contract)
    this.#channels[channelKey] = {
      address,
      title: pattern,
      ...documentation(contract),
      ...tags,
      ...(parameters.length === 0 ? {} : { parameters: Object.fromEntries(parameters) }),
      messages: { message: reference('components', 'messages', messageKey) },
      'x-sc-kind': 'channel',
      ...(history === null ? {} : { 'x-sc-history': history }),
      ...(recover === null ? {} : { 'x-sc-recover': recoveryOf(recover) }),
      ...(presence === null ? {} : { 'x-sc-presence': presenceOf(pattern, presence) })
    }
    const operation = (action: 'receive' | 'send', verb: string): void => {
      this.#operations[this.#operationKeys.make(`${verb} ${pattern.replaceAll('*', 'wildcard')}`)] = {
        action,
        channel: reference('channels', channelKey),
        title: `${verb} ${pattern}`,
        ...documentation(contract),
        ...tags,
        ...deprecation(contract),
        messages: [reference('channels', channelKey, 'messages', 'message')]
      }
    }
    if ((contract.clientPublish ?? true) && this.#facts.allowClientPublish) operation('receive', 'publish')
    if (contract.clientSubscribe ?? true) operation('send', 'subscribe')
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

function documentation ({ summary, description }: ScDocumentation): { summary?: string, description?: string } {
  return { ...(summary === undefined ? {} : { summary }), ...(description === undefined ? {} : { description }) }
}

function tagsOf ({ tags }: ScDocumentation): { tags?: Array<{ name: string }> } {
  return tags === undefined || tags.length === 0 ? {} : { tags: tags.map((name) => ({ name })) }
}

// AsyncAPI has no `deprecated` field on operations.
function deprecation ({ deprecated }: ScDocumentation): { 'x-deprecated'?: true } {
  return deprecated === true ? { 'x-deprecated': true } : {}
}

function examples (payloads: readonly unknown[] | undefined): { examples?: Array<{ payload: unknown }> } {
  const shown = (payloads ?? []).filter((payload) => !holdsReference(payload))
  return shown.length === 0 ? {} : { examples: shown.map((payload) => ({ payload })) }
}

function errorSchema (name: string): object {
  return { type: 'object', properties: { name: { const: name }, message: { type: 'string' } }, required: ['name', 'message'] }
}

/**
 * Converts a pattern to an address with `{parameters}`. `names` maps the pattern's names to those of the address: `*` needs
 * another one.
 */
function addressOf (pattern: string): { address: string | null, names: Record<string, string> } {
  const names: Record<string, string> = {}
  let text = pattern.replace(parameter, (match, name: string) => {
    if (match === '::') return ':'
    names[name] = name
    return `{${name}}`
  })
  if (text.endsWith('*')) {
    let wildcard = 'wildcard'
    while (Object.hasOwn(names, wildcard)) wildcard += '_'
    names['*'] = wildcard
    text = `${text.slice(0, -1)}{${wildcard}}`
  }
  const plain = pattern.replace(parameter, '')
  return /[{}?#]/.test(plain) ? { address: null, names: {} } : { address: text, names }
}

/** Describes the presence of a channel: the pattern of the channels on which clients see it, and its limits. */
function presenceOf (pattern: string, { members, leaveDelay, interval }: NonNullable<DeclaredChannel['presence']>): object {
  return { pattern: companionOf(pattern), members, leaveDelay, interval }
}

function recoveryOf ({ latest, ...limits }: NonNullable<DeclaredChannel['recover']>): object | 'latest' {
  return latest ? 'latest' : limits
}
