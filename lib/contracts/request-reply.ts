import { STATUS_CODES } from 'node:http'
import { ScRefusal } from '../errors.js'
import { HookFailure } from '../lifecycle/block.js'
import { read } from '../untrusted.js'
import type { GatheredReply } from './fake-http.js'
import { formatErrors } from './validators.js'

/** The reply to an event that Fastify ran. An `onResponse` hook gets it as `response`. */
export interface RequestReply {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** The answer as JSON text; empty for no answer. */
  readonly json: string
}

/** Turns a gathered HTTP reply into the reply of an event. */
export function replyOf (gathered: GatheredReply): RequestReply {
  return { statusCode: gathered.statusCode, headers: gathered.headers, json: jsonOf(gathered) }
}

const textTypes = /^(?:text\/|application\/(?:[\w.+-]+\+)?(?:json|xml)\b)/

/**
 * Returns the body as JSON text: JSON unchanged, other text as a string, anything else in SocketCluster's form of binary data.
 */
function jsonOf ({ headers, body }: GatheredReply): string {
  if (body.length === 0) return ''
  const type = String(headers['content-type'] ?? '')
  if (typeof body !== 'string') {
    if (!textTypes.test(type)) return JSON.stringify({ base64: true, data: body.toString('base64') })
    body = body.toString()
  }
  return /^application\/(?:[\w.+-]+\+)?json\b/.test(type) ? body : JSON.stringify(body)
}

/**
 * Returns why an event that Fastify ran failed, as a HookFailure if a hook stopped it. A failed validation of Fastify or the
 * handler is not a HookFailure.
 */
export function failureOf (reply: RequestReply, { error, stopped }: { readonly error: Error | null, readonly stopped: HookFailure | null }): unknown {
  const told = errorOf(reply, error)
  return stopped === null || isOfFastify(error) ? told : new HookFailure(told, stopped.list, stopped.hook, stopped.index, stopped.duration)
}

/** Returns the error of a reply, with the fields of its body and the name of the thrown error. */
function errorOf ({ statusCode, json }: RequestReply, thrown: Error | null): unknown {
  let body: unknown
  try {
    body = json === '' ? undefined : JSON.parse(json)
  } catch {
    body = json
  }
  const validation = isOfFastify(thrown) ? read(thrown, 'validation') : undefined
  // An error that Fastify only passed on is treated like any other; a body that the application composed is for the client.
  if (thrown !== null && validation === undefined && isPassedOn(body, statusCode, thrown)) return thrown
  const fields = typeof body === 'object' && body !== null ? { ...body as Record<string, unknown> } : {}
  // Fastify calls it the body; for an event it is the data.
  const text = Array.isArray(validation) ? validationText(validation, read(thrown, 'message')) : undefined
  const told = typeof fields.message === 'string' ? fields.message : typeof body === 'string' ? body : `The request failed with status ${statusCode}`
  const message = text !== undefined && told === read(thrown, 'message') ? text : told
  const name = typeof fields.name === 'string' ? fields.name : validation === undefined ? 'Error' : thrown?.name === 'Error' ? 'ValidationError' : thrown?.name
  delete fields.message
  // Fastify's default error handler omits the details.
  if (validation !== undefined) {
    fields.validation ??= validation
    fields.validationContext ??= 'data'
  }
  // Fastify's default body has the text of the status; errors of `lifecycle: 'own'` do not.
  if (thrown !== null && isPassedOn(body, statusCode, thrown)) delete fields.error
  return new ScRefusal(message, { ...fields, ...(name === undefined ? {} : { name }), statusCode })
}

/** Whether an error comes from Fastify's own validation. */
function isOfFastify (thrown: Error | null): boolean {
  return read(thrown, 'code') === 'FST_ERR_VALIDATION' && read(thrown, 'validationContext') === 'body' && read(thrown, 'expose') !== false
}

function validationText (validation: Parameters<typeof formatErrors>[0], message: unknown): string | undefined {
  return message === formatErrors(validation, 'body').message ? formatErrors(validation, 'data').message : undefined
}

/** Whether a body is the default body that Fastify creates for an error. */
function isPassedOn (body: unknown, statusCode: number, thrown: Error): boolean {
  if (typeof body !== 'object' || body === null) return false
  const { error, message, ...rest } = body as Record<string, unknown>
  return message === thrown.message && error === STATUS_CODES[statusCode] && Object.keys(rest).every((key) => key === 'statusCode' || key === 'code')
}
