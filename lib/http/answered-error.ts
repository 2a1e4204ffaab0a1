import type { FastifyReply, FastifyRequest } from 'fastify'
import { STATUS_CODES } from 'node:http'
import { logHidden } from '../log.js'
import { presentError } from '../protocol/wire-errors.js'
import { toJson } from '../protocol/codec.js'
import { isInstance, read } from '../untrusted.js'
import { type ErrorBody, type ErrorResponse, errorResponse } from './error-response.js'

/**
 * The error of a call, as the client may see it. The context's error handler gets it; Fastify's own handler takes the status and the
 * headers from it.
 */
export class AnsweredError extends Error {
  declare readonly statusCode: number
  declare readonly headers: Readonly<Record<string, string>>
  declare readonly body: ErrorBody

  constructor ({ statusCode, headers, body }: ErrorResponse) {
    const { statusCode: _status, error: _text, message, ...fields } = body
    const limit = Error.stackTraceLimit
    // Its stack would only show this library; the error that it answers was logged with its own.
    Error.stackTraceLimit = 0
    super(message)
    Error.stackTraceLimit = limit
    Object.assign(this, fields, { statusCode })
    Object.defineProperty(this, 'headers', { value: headers })
    Object.defineProperty(this, 'body', { value: body })
  }
}

/** The bodies of errors that did not come from a call, such as those of Fastify and of its hooks. */
const bodies = new WeakMap<object, ErrorBody>()

/** Why a request failed. */
export interface Failure {
  /** The message of the error. */
  readonly message: string
  /** The body for the client. */
  readonly body: ErrorBody
}

/** Errors with these codes are about the body of the request. */
const ofBody = /^FST_ERR_CTP_/

/** For `onError`: decides what the client sees of an error that did not come from a call. */
export function prepareError (request: FastifyRequest, reply: FastifyReply, error: Error): Failure {
  if (isInstance(error, AnsweredError)) return error
  const statusCode = statusOf(error, reply.statusCode)
  // An error is never a success, whatever a hook had set.
  reply.code(statusCode)
  const { headers, body } = responseTo(error, statusCode, request)
  for (const name of Object.keys(headers)) if (!reply.hasHeader(name)) reply.header(name, headers[name])
  bodies.set(error, body)
  return { message: error.message, body }
}

/** The status that Fastify gives an error: the error's own, or else the one that the reply has already, `set`. */
function statusOf (error: Error, set: number): number {
  return [read(error, 'statusCode'), read(error, 'status'), set].find(isErrorStatus) ?? 500
}

function isErrorStatus (status: unknown): status is number {
  return typeof status === 'number' && Number.isInteger(status) && status >= 400 && status < 600
}

function responseTo (error: Error, statusCode: number, request: FastifyRequest): ErrorResponse {
  const shown = presentError(error, 'thrown')
  // Fastify shows the message of any error with a status below 500; the others may hold anything.
  if (shown === undefined && statusCode >= 500) return errorResponse({ name: 'Error', message: 'Internal error', code: 'SC_ERR_INTERNAL', id: logHidden(request.log, error), statusCode })
  const { name, message } = error
  const code = read(error, 'code')
  const fields = shown ?? { name, message, ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}) }
  return errorResponse({ ...fields as object, statusCode, ...(ofBody.test(String(code)) ? { name: 'InvalidMessageError' } : {}) })
}

/** Serializes the body of an error response: an error, or what an error handler or a hook of the application sends. */
export function writeErrorBody (payload: unknown): string {
  // Fastify passes an object that inherits from the error, with the status of the reply.
  const error = typeof payload === 'object' && payload !== null ? Object.getPrototypeOf(payload) as object | null : null
  const body = error === null ? undefined : isInstance(error, AnsweredError) ? error.body : bodies.get(error)
  return body === undefined ? toJson(payload) ?? '' : textOf(body, (payload as { statusCode: number }).statusCode)
}

/**
 * For `onSend`, on routes without a schema of the errors: replaces the body that Fastify wrote for an error, but not one that an
 * error handler of the application sends.
 * @returns the payload to send
 */
export function replaceErrorBody (failure: Failure | undefined, { statusCode }: FastifyReply, payload: unknown): unknown {
  return failure !== undefined && typeof payload === 'string' && isDefaultBody(payload, statusCode, failure.message) ? textOf(failure.body, statusCode) : payload
}

/** Whether a body is the one that Fastify writes for an error. */
function isDefaultBody (text: string, statusCode: number, message: string): boolean {
  try {
    const { error, message: told, ...rest } = JSON.parse(text) as Record<string, unknown>
    return told === message && error === STATUS_CODES[statusCode] && Object.keys(rest).every((key) => key === 'statusCode' || key === 'code')
  } catch {
    return false
  }
}

function textOf (body: ErrorBody, statusCode: number): string {
  return toJson(statusCode === body.statusCode ? body : { ...body, statusCode, error: STATUS_CODES[statusCode] ?? 'Error' })!
}
