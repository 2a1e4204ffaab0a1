import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { DeclaredEvent, ScEventContract } from '../../types/contracts.js'
import type { ScSchemaErrorFormatter, ScValidatorCompiler } from '../../types/validation.js'
import type { EventRequest, Hook } from '../../types/hooks.js'
import type { EventContext, EventRoute, HookLists } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import { scError } from '../errors.js'
import { HookFailure } from '../lifecycle/block.js'
import { hookFailure, hooksBegan } from '../lifecycle/run.js'
import { printAs } from '../printing.js'
import { isInstance } from '../untrusted.js'
import { compiling } from './compiling.js'
import { declareHiddenRoute, hiddenPath, hiddenUrl, kCall } from './hidden-route.js'
import { type RequestReply, failureOf, replyOf } from './request-reply.js'
import { StandInRequest, StandInResponse, standInSocket } from './fake-http.js'
import { compileValidator } from './validators.js'

/** Fastify does not tell which of its hooks stopped a request. */
const ofFastify = new HookFailure(null, 'request')

type PreHandler = Hook<'preHandler', ScServerSocket, FastifyInstance>

/** An event to declare as a request route, with the settings of its context. */
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

/** A declared event that Fastify runs as a request. */
export interface RequestRoute extends EventRoute, DeclaredEvent {}

/** One call of an event that Fastify processes. */
interface Call {
  readonly data: unknown
  readonly context: EventContext
  /** The thrown error, as far as Fastify reported it; the reply body lacks its name. */
  error: Error | null
  /** The hook that stopped the call: a `preHandler` of the event or, until the handler is called, a hook of Fastify. */
  stopped: HookFailure | null
}

/**
 * The headers of the handshake that calls inherit: they tell who the client is and where it comes from. Headers that affect the
 * form of a reply (`accept-encoding`, `range`, `if-none-match`, `content-*`) belong to the handshake and are left out.
 */
export const defaultRequestHeaders: readonly string[] = [
  'host', 'origin', 'user-agent', 'authorization', 'cookie', 'accept-language', 'forwarded', 'x-forwarded-for', 'x-forwarded-host',
  'x-forwarded-proto', 'x-forwarded-port', 'x-real-ip', 'x-request-id', 'request-id', 'traceparent', 'tracestate', 'baggage'
]

/**
 * Declares an event as a hidden route. All hooks of the Fastify context run for each call, and so do its error handler and
 * serializer.
 */
export function declareRequestRoute (options: RequestRouteOptions): RequestRoute {
  const { name, contract, instance, hooks, preHandler, timeout, handler, validatorCompiler, schemaErrorFormatter } = options
  const path = hiddenPath(name)
  const url = hiddenUrl(instance, path)
  const inherited = inheritHeaders(options.requestHeaders ?? defaultRequestHeaders)
  const lists: HookLists = { ...hooks, emit: hooks.emit, preHandler: [] }

  const route: Omit<RouteOptions, 'method' | 'url'> = {
    // Sets the body before the `preValidation` hooks of the context run.
    onRequest (request, _reply, done) {
      request.body = callOf(request).data
      done()
    },
    async preHandler (request) {
      if (hooks.preHandler.length === 0 && preHandler.length === 0) return
      const { context } = callOf(request)
      const event: EventRequest<ScServerSocket> = { socket: context.socket, event: name, data: request.body, config: contract.config }
      const asked = [...hooks.preHandler, ...preHandler]
      const began = hooksBegan()
      for (const [at, hook] of asked.entries()) {
        const before = event.data
        try {
          await asErrors(() => hook.call(instance, event))
        } catch (thrown) {
          callOf(request).stopped = hookFailure('preHandler', asked, at, thrown, began)
          throw thrown
        }
        if (event.data === undefined) event.data = before
      }
      request.body = event.data
    },
    onError (request, _reply, error, done) {
      callOf(request).error = error
      done()
    },
    async handler (request, reply) {
      const call = callOf(request)
      const { context } = call
      call.stopped = null
      const result = await asErrors(() => handler.call(instance, request.body, new RequestContext(context, request, reply)))
      if (reply.sent || result === reply) return reply
      // Fastify takes `undefined` as "not answered yet", and a string as plain text.
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
    http: null,
    instance,
    hooks: lists,
    // These run as a hook of the route, after Fastify's validation.
    preHandler: [],
    timeout,
    config: contract.config,
    errors: contract.errors,
    validate: null,
    serialize: (reply) => (reply as RequestReply).json,
    handler (data, context) {
      return new Promise<RequestReply>((resolve, reject) => {
        const call: Call = { data, context, error: null, stopped: ofFastify }
        const request = new StandInRequest(url, inherited(context.socket), tcpSocket(context.socket), call)
        const response = new StandInResponse(request, (gathered) => {
          const reply = replyOf(gathered)
          if (reply.statusCode < 400) resolve(reply)
          else reject(failureOf(reply, call))
        })
        instance.routing(request as never, response as never)
      })
    }
  }
}

/** Turns thrown values that are not errors into errors: Fastify would send them as the answer. */
async function asErrors<T> (run: () => T): Promise<Awaited<T>> {
  try {
    return await run()
  } catch (thrown) {
    throw isInstance(thrown, Error) ? thrown : scError('SC_ERR_INTERNAL', [], { cause: thrown })
  }
}

function callOf (request: FastifyRequest): Call {
  return (request.raw as FastifyRequest['raw'] & { [kCall]: Call })[kCall]
}

/** The context of a call with `request` and `reply`. The getters read the original context, so that lazy parts stay lazy. */
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

/** Returns a function that copies the listed headers. They are picked once per socket; each call gets its own object. */
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

/** Wraps a compiler so that its error names the event. The context's own compiler is read when it is called. */
function named<Compiler> ({ name }: RequestRouteOptions, part: string, compiler: () => Compiler | undefined): Compiler {
  return ((definition: unknown) => compiling(name, part, () => (compiler() as (definition: unknown) => unknown)(definition))) as Compiler
}

/** Adapts the plugin's validators to Fastify, which formats the errors itself. */
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
  }) as NonNullable<RouteOptions['validatorCompiler']>
}
