import { STATUS_CODES } from 'node:http'
import { ScRefusal } from '../errors.js'
import { HookFailure } from '../lifecycle/block.js'
import { read } from '../untrusted.js'
import type { GatheredReply } from './fake-http.js'
import { formatErrors } from './validators.js'

/** What an event that Fastify ran was answered with; an `onResponse` hook finds it as `response`. */
export interface RequestReply {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** The answer as JSON text; empty for none. */
  readonly json: string
}

export function replyOf (gathered: GatheredReply): RequestReply {
  return { statusCode: gathered.statusCode, headers: gathered.headers, json: jsonOf(gathered) }
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

/** Why an event that Fastify ran failed, with the hook that stopped it, if one did: not Fastify's validation, nor the handler. */
export function failureOf (reply: RequestReply, { error, stopped }: { readonly error: Error | null, readonly stopped: HookFailure | null }): unknown {
  const told = errorOf(reply, error)
  return stopped === null || isOfFastify(error) ? told : new HookFailure(told, stopped.list, stopped.hook, stopped.index, stopped.duration)
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

function validationText (validation: Parameters<typeof formatErrors>[0], message: unknown): string | undefined {
  return message === formatErrors(validation, 'body').message ? formatErrors(validation, 'data').message : undefined
}

/** Whether a body is the one that Fastify itself makes of an error. */
function isPassedOn (body: unknown, statusCode: number, thrown: Error): boolean {
  if (typeof body !== 'object' || body === null) return false
  const { error, message, ...rest } = body as Record<string, unknown>
  return message === thrown.message && error === STATUS_CODES[statusCode] && Object.keys(rest).every((key) => key === 'statusCode' || key === 'code')
}
