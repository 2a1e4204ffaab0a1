import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteOptions } from 'fastify'
import type { EventDeclaration } from '../contracts/declarations.js'
import { follow } from '../barrier.js'
import { scError } from '../errors.js'
import { type CheckedCall, resumeCall } from '../handlers/declared-event.js'
import { callEvent } from '../handlers/event.js'
import { toJson } from '../protocol/codec.js'
import type { ServerCore } from '../server/core.js'
import { read } from '../untrusted.js'
import { HttpAdmission } from './admission.js'
import { AnsweredError, type Failure, prepareError, replaceErrorBody, writeErrorBody } from './answered-error.js'
import { errorResponse } from './error-response.js'
import { HttpCall } from './http-call.js'
import { documentsErrors, routeSchema } from './route-schema.js'

/**
 * Where a request has its call, and why it failed. Entries of a `WeakMap` stay until the next full collection, and with them each
 * request would: that took half as much time again as the rest of a call.
 */
const callOf = Symbol('fastify-socketcluster.call')
const failureOf = Symbol('fastify-socketcluster.failure')

interface CalledRequest extends FastifyRequest {
  [callOf]?: CheckedCall
  [failureOf]?: Failure
}

/**
 * The routes of declared events over HTTP. Fastify's hooks of the context run as on any route. The last step before Fastify's own
 * validation is ours: admission, `emit` hooks and the event's validation. The handler of the route continues the call.
 */
export class EventRoutes {
  readonly #core: ServerCore
  readonly #admission: HttpAdmission

  constructor (core: ServerCore) {
    this.#core = core
    this.#admission = new HttpAdmission(core)
  }

  /** Adds the route of an event, if its contract has one. @throws InvalidArgumentsError if the context has this route already */
  add (event: EventDeclaration): void {
    const { http, instance, name } = event
    if (http === null) return
    for (const key of [callOf, failureOf]) if (!instance.hasRequestDecorator(key)) instance.decorateRequest(key, undefined)
    try {
      instance.route(this.#routeOf(event, http.method, http.path))
    } catch (cause) {
      if (read(cause, 'code') !== 'FST_ERR_DUPLICATED_ROUTE') throw cause
      throw scError('SC_ERR_CONTRACT', [name, `there is a route ${http.method} ${http.url} already; give the event another with http: { url }`], { cause })
    }
  }

  #routeOf (event: EventDeclaration, method: string, url: string): RouteOptions {
    // Fastify serializes errors by their schema. Without one it writes them by itself, and the text is replaced.
    const replaces = !documentsErrors(event)
    return {
      method,
      url,
      bodyLimit: this.#core.options.maxPayload,
      schema: routeSchema(event) as RouteOptions['schema'],
      // The event's own validator runs in the call, after the `emit` hooks.
      validatorCompiler: () => () => true,
      serializerCompiler: ({ httpStatus }: { httpStatus?: string }) => httpStatus === '200' ? (payload: unknown) => event.serialize?.(payload) ?? toJson(payload) ?? '' : writeErrorBody,
      onRequest: (request, reply, done) => {
        const refusal = this.#admission.refusal(request)
        if (refusal === undefined) done()
        else reply.send(new AnsweredError(errorResponse(refusal)))
      },
      preParsing: (request, _reply, payload, done) => { done(null, this.#admission.limited(request, payload)) },
      preValidation: (request, reply, done) => { this.#begin(event, request, reply, done) },
      onError: (request, reply, error, done) => {
        const failure = prepareError(request, reply, error)
        if (replaces) (request as CalledRequest)[failureOf] = failure
        done()
      },
      ...(replaces ? { onSend: (request: CalledRequest, reply: FastifyReply, payload: unknown, done: (err: null, payload: unknown) => void) => { done(null, replaceErrorBody(request[failureOf], reply, payload)) } } : {}),
      handler: (request) => {
        resumeCall((request as CalledRequest)[callOf]!, request.body)
      }
    }
  }

  #begin (event: EventDeclaration, request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void {
    const call = new HttpCall(this.#core, request, reply)
    const admitted = this.#admission.admit(call)
    if (!(admitted instanceof Promise)) {
      if (admitted) this.#run(event, call, done)
      return
    }
    call.beginWaiting()
    follow(call, admitted, (passed) => {
      call.endWaiting()
      // A closing server may have answered.
      if (passed && call.state !== 'closed') this.#run(event, call, done)
    }, (err) => {
      call.endWaiting()
      done(err as Error)
    })
  }

  #run (event: EventDeclaration, call: HttpCall, done: HookHandlerDoneFunction): void {
    const { fastifyRequest } = call
    callEvent(this.#core.host.context, call, { kind: 'event', event: event.name, data: fastifyRequest.body, cid: 1 }, event, (checked) => {
      (fastifyRequest as CalledRequest)[callOf] = checked
      fastifyRequest.body = checked.data
      done()
    })
  }
}
