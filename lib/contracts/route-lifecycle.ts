import { STATUS_CODES } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { DeclaredEvent, ScEventContract } from '../../types/contracts.js'
import type { ScSchemaErrorFormatter, ScValidatorCompiler } from '../../types/validation.js'
import type { EventRequest, Hook } from '../../types/hooks.js'
import type { EventContext, EventRoute, HookLists } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import { ScRefusal, scError } from '../errors.js'
import { printAs } from '../printing.js'
import { isInstance, read } from '../untrusted.js'
import { compiling } from './compiling.js'
import { declareHiddenRoute, hiddenPath, hiddenUrl, kCall } from './hidden-route.js'
import { type GatheredReply, StandInRequest, StandInResponse, standInSocket } from './stand-ins.js'
import { compileValidator, formatErrors } from './validators.js'

type PreHandler = Hook<'preHandler', ScServerSocket, FastifyInstance>

export interface RequestRouteOptions {
  readonly name: string
  readonly contract: ScEventContract
  readonly instance: FastifyInstance
  readonly hooks: HookLists
  readonly preHandler: readonly PreHandler[]
  readonly timeout: number
  readonly handler: EventRoute['handler']
  readonly validatorCompiler: ScValidatorCompiler | undefined
  readonly schemaErrorFormatter: ScSchemaErrorFormatter | undefined
  readonly requestHeaders: readonly string[] | undefined
}

/** A declared event that Fastify runs. */
export interface RequestRoute extends EventRoute, DeclaredEvent {}

/** What an event that Fastify ran was answered with; an `onResponse` hook finds it as `response`. */
export interface RequestReply {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** The answer as JSON text; empty for none. */
  readonly json: string
}

/** One call of an event on its way through Fastify. */
interface Call {
  readonly data: unknown
  readonly context: EventContext
  /** What was thrown, as far as Fastify told us; the body says nothing of its name. */
  error: Error | null
}

/**
 * The headers of the handshake that calls inherit: who the client is and where it comes from. What would steer the form of
 * a reply (`accept-encoding`, `range`, `if-none-match`, `content-*`) is about another request and stays out.
 */
export const defaultRequestHeaders: readonly string[] = [
  'host', 'origin', 'user-agent', 'authorization', 'cookie', 'accept-language', 'forwarded', 'x-forwarded-for', 'x-forwarded-host',
  'x-forwarded-proto', 'x-forwarded-port', 'x-real-ip', 'x-request-id', 'request-id', 'traceparent', 'tracestate', 'baggage'
]

/**
 * Declares an event as a hidden route, so that the real hooks of the Fastify context run for each call, `setErrorHandler`
 * and the serializer included.
 */
export function declareRequestRoute (options: RequestRouteOptions): RequestRoute {
  const { name, contract, instance, hooks, preHandler, timeout, handler, validatorCompiler, schemaErrorFormatter } = options
  const path = hiddenPath(name)
  const url = hiddenUrl(instance, path)
  const inherited = inheritHeaders(options.requestHeaders ?? defaultRequestHeaders)
  const lists: HookLists = { ...hooks, emit: hooks.emit, preHandler: [] }

  const route: Omit<RouteOptions, 'method' | 'url'> = {
    // The data is there before the context's preValidation hooks run.
    onRequest (request, _reply, done) {
      request.body = callOf(request).data
      done()
    },
    async preHandler (request) {
      if (hooks.preHandler.length === 0 && preHandler.length === 0) return
      const { context } = callOf(request)
      const event: EventRequest<ScServerSocket> = { socket: context.socket, event: name, data: request.body, config: contract.config }
      for (const hook of [...hooks.preHandler, ...preHandler]) {
        const before = event.data
        await asErrors(() => hook.call(instance, event))
        if (event.data === undefined) event.data = before
      }
      request.body = event.data
    },
    onError (request, _reply, error, done) {
      callOf(request).error = error
      done()
    },
    async handler (request, reply) {
      const { context } = callOf(request)
      const result = await asErrors(() => handler.call(instance, request.body, new RequestContext(context, request, reply)))
      if (reply.sent || result === reply) return reply
      // Fastify takes `undefined` for "not answered yet", and text for plain text.
      if (result === undefined) return reply.send()
      if (typeof result === 'string' && !reply.hasHeader('content-type')) {
        const json = contract.response === undefined ? JSON.stringify(result) : reply.serialize(result as never)
        return reply.type('application/json').send(json)
      }
      return result
    },
    schema: {
      ...(contract.data === undefined ? {} : { body: contract.data }),
      ...(contract.response === undefined ? {} : { response: { '2xx': contract.response } })
    },
    ...(contract.logLevel === undefined ? {} : { logLevel: contract.logLevel as 'warn' }),
    ...(schemaErrorFormatter === undefined ? {} : { schemaErrorFormatter: (errors, dataVar) => schemaErrorFormatter(errors, dataVar === 'body' ? 'data' : dataVar) }),
    ...(contract.data === undefined ? {} : { validatorCompiler: named(options, 'data', validatorCompiler === 'context' ? () => instance.validatorCompiler : () => uncoercing(options)) }),
    ...(contract.response === undefined ? {} : { serializerCompiler: named(options, 'response', () => instance.serializerCompiler) })
  }
  declareHiddenRoute(instance, path, route)

  return {
    name,
    contract,
    instance,
    hooks: lists,
    // Run as a hook of the route, after Fastify's validation.
    preHandler: [],
    timeout,
    config: contract.config,
    errors: contract.errors,
    validate: null,
    serialize: (reply) => (reply as RequestReply).json,
    handler (data, context) {
      return new Promise<RequestReply>((resolve, reject) => {
        const call: Call = { data, context, error: null }
        const request = new StandInRequest(url, inherited(context.socket), tcpSocket(context.socket), call)
        const response = new StandInResponse(request, (gathered) => {
          const reply = { statusCode: gathered.statusCode, headers: gathered.headers, json: jsonOf(gathered) }
          if (gathered.statusCode < 400) resolve(reply)
          else reject(errorOf(reply, call.error))
        })
        instance.routing(request as never, response as never)
      })
    }
  }
}

/** Fastify would take what is thrown, and is no error, for the answer. */
async function asErrors<T> (run: () => T): Promise<Awaited<T>> {
  try {
    return await run()
  } catch (thrown) {
    throw isInstance(thrown, Error) ? thrown : scError('SC_ERR_INTERNAL', [], { cause: thrown })
  }
}

function callOf (request: FastifyRequest): Call {
  return (request.raw as unknown as { [kCall]: Call })[kCall]
}

/** The context of the call, its lazy parts untouched, with the request and the reply. */
class RequestContext implements EventContext {
  readonly #call: EventContext
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply

  constructor (call: EventContext, request: FastifyRequest, reply: FastifyReply) {
    this.#call = call
    this.#request = request
    this.#reply = reply
  }

  get request (): FastifyRequest { return this.#request }
  get reply (): FastifyReply { return this.#reply }

  get socket (): ScServerSocket { return this.#call.socket }
  get log (): ScServerSocket['log'] { return this.#call.log }
  get event (): string { return this.#call.event }
  get config (): unknown { return this.#call.config }
  get signal (): AbortSignal { return this.#call.signal }
}

printAs(RequestContext, 'EventContext', ({ event, socket }) => ({ event, socket }))

function tcpSocket (socket: ScServerSocket): object {
  return (socket.request as { socket?: object } | undefined)?.socket ?? standInSocket(socket.remoteAddress, socket.remotePort)
}

type Headers = Record<string, string | string[] | undefined>

/** Copies the listed headers; they are picked once per socket, and each call gets its own object. */
function inheritHeaders (names: readonly string[]): (socket: ScServerSocket) => Headers {
  const picked = new WeakMap<ScServerSocket, Headers>()
  const list = names.map((name) => name.toLowerCase())
  return (socket) => {
    let headers = picked.get(socket)
    if (headers === undefined) {
      headers = {}
      const all = (socket.request as { headers?: Headers } | undefined)?.headers ?? {}
      for (const name of list) if (all[name] !== undefined) headers[name] = all[name]
      picked.set(socket, headers)
    }
    return { ...headers }
  }
}

/** A compiler whose error names the event. The context's own is there when it is called. */
function named<Compiler> ({ name }: RequestRouteOptions, part: string, compiler: () => Compiler | undefined): Compiler {
  return ((definition: unknown) => compiling(name, part, () => (compiler() as (definition: unknown) => unknown)(definition))) as Compiler
}

/** The validators of the plugin in the form that Fastify calls; it makes the errors itself. */
function uncoercing ({ instance, validatorCompiler, name }: RequestRouteOptions): NonNullable<RouteOptions['validatorCompiler']> {
  return (({ schema }: { schema: unknown }) => {
    let errors: unknown = null
    const validate = compileValidator({
      schema,
      instance,
      part: 'data',
      url: `sc:${name}`,
      compiler: validatorCompiler,
      formatter: (found) => {
        errors = found
        return new Error('invalid')
      }
    })
    return (data: unknown) => {
      errors = null
      const checked = validate(data)
      if (checked instanceof Promise) return checked.then((settled) => { if (settled.error !== undefined) throw settled.error })
      if (checked.error === undefined) return { value: checked.value }
      return { error: errors ?? checked.error }
    }
  }) as unknown as NonNullable<RouteOptions['validatorCompiler']>
}

const textTypes = /^(?:text\/|application\/(?:[\w.+-]+\+)?(?:json|xml)\b)/

/** The body as JSON text: JSON as it is, other text as a string, anything else in the form that SocketCluster gives binary data. */
function jsonOf ({ headers, body }: GatheredReply): string {
  if (body.length === 0) return ''
  const type = String(headers['content-type'] ?? '')
  if (typeof body !== 'string') {
    if (!textTypes.test(type)) return JSON.stringify({ base64: true, data: body.toString('base64') })
    body = body.toString()
  }
  return /^application\/(?:[\w.+-]+\+)?json\b/.test(type) ? body : JSON.stringify(body)
}

/** The error of a reply: its body's fields, and the name of what was thrown. */
function errorOf ({ statusCode, json }: RequestReply, thrown: Error | null): unknown {
  let body: unknown
  try {
    body = json === '' ? undefined : JSON.parse(json)
  } catch {
    body = json
  }
  const validation = isOfFastify(thrown) ? read(thrown, 'validation') : undefined
  // An error that was only passed on is told like any other; what the application composed is for the client.
  if (thrown !== null && validation === undefined && isPassedOn(body, statusCode, thrown)) return thrown
  const fields = typeof body === 'object' && body !== null ? { ...body as Record<string, unknown> } : {}
  // What Fastify calls the body is the data of an event.
  const text = Array.isArray(validation) ? validationText(validation, read(thrown, 'message')) : undefined
  const told = typeof fields.message === 'string' ? fields.message : typeof body === 'string' ? body : `The request failed with status ${statusCode}`
  const message = text !== undefined && told === read(thrown, 'message') ? text : told
  const name = typeof fields.name === 'string' ? fields.name : validation === undefined ? 'Error' : thrown?.name === 'Error' ? 'ValidationError' : thrown?.name
  delete fields.message
  // Fastify's default error handler leaves the details out.
  if (validation !== undefined) {
    fields.validation ??= validation
    fields.validationContext ??= 'data'
  }
  // Fastify's default body names the status; with `lifecycle: 'own'` there is none.
  if (thrown !== null && isPassedOn(body, statusCode, thrown)) delete fields.error
  return new ScRefusal(message, { ...fields, ...(name === undefined ? {} : { name }), statusCode })
}

/** Whether an error is that of Fastify's own validation. */
function isOfFastify (thrown: Error | null): boolean {
  return read(thrown, 'code') === 'FST_ERR_VALIDATION' && read(thrown, 'validationContext') === 'body' && read(thrown, 'expose') !== false
}

function validationText (validation: any[], message: unknown): string | undefined {
  return message === formatErrors(validation, 'body').message ? formatErrors(validation, 'data').message : undefined
}

/** Whether a body is the one that Fastify itself makes of an error. */
function isPassedOn (body: unknown, statusCode: number, thrown: Error): boolean {
  if (typeof body !== 'object' || body === null) return false
  const { error, message, ...rest } = body as Record<string, unknown>
  return message === thrown.message && error === STATUS_CODES[statusCode] && Object.keys(rest).every((key) => key === 'statusCode' || key === 'code')
}
