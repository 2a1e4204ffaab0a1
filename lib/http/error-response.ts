import { STATUS_CODES } from 'node:http'
import type { FastifyBaseLogger } from 'fastify'
import type { ScErrorCode } from '../errors.js'
import { logHidden } from '../log.js'
import { type DeclaredErrors, type ErrorOrigin, dehydrateError, internalError, isExposed, presentError } from '../protocol/wire-errors.js'

/** The HTTP response to an action that failed. */
export interface ErrorResponse {
  readonly statusCode: number
  /** In lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: ErrorBody
}

/** Fastify's error body with SocketCluster's name of the error and the error's own fields. */
export interface ErrorBody {
  statusCode: number
  /** The text of the status. */
  error: string
  message: string
  /** The error's name, as clients of the websocket receive it. */
  name: string
  code?: string | number
  /** The id of the log line that has the details, for errors whose details are hidden. */
  errorId?: string
  [field: string]: unknown
}

/** Where an error comes from. */
export interface ErrorSource {
  /** @default 'thrown' */
  readonly origin?: ErrorOrigin
  /** The errors that the contract of the event declares. */
  readonly declared?: DeclaredErrors | undefined
  /** Whether a hook, a policy or `authorize` refused the action: the status is 403 unless the error has another one. */
  readonly denied?: boolean
}

/** Seconds after which a client may try again, when the error does not tell. */
const retryAfter = 10

/** The status of the library's errors. The others are mistakes of the application, not of the client: 500. */
const statusOfCode: { readonly [Code in ScErrorCode]?: number } = {
  SC_ERR_EVENT_UNKNOWN: 404,
  SC_ERR_CHANNEL_UNDECLARED: 404,
  SC_ERR_NO_HISTORY: 404,
  SC_ERR_NO_PRESENCE: 404,
  SC_ERR_CHANNEL_TYPE: 400,
  SC_ERR_CHANNEL_NAME: 400,
  SC_ERR_CHANNEL_PARAM: 400,
  SC_ERR_FILTER: 400,
  SC_ERR_CHANNEL_REFUSED: 403,
  SC_ERR_COMPANION: 403,
  SC_ERR_PUBLISH_DISABLED: 403,
  SC_ERR_EVENT_NOT_ALLOWED: 403,
  SC_ERR_MESSAGE_SIZE: 413,
  SC_ERR_NO_KEYS: 501
}

/** The status by the name of an error, of the library or of the application. */
const statusOfName: Readonly<Record<string, number>> = {
  ValidationError: 400,
  InvalidMessageError: 400,
  AuthTokenExpiredError: 401,
  AuthTokenInvalidError: 401,
  AuthTokenNotBeforeError: 401,
  AuthTokenError: 401,
  AuthError: 401,
  NotAuthenticatedError: 401,
  SilentMiddlewareBlockedError: 403,
  RateLimitError: 429,
  ResourceLimitError: 503,
  BrokerError: 503,
  TimeoutError: 504
}

/**
 * Returns the HTTP response to an error. What the client may not see is logged with an id, and the response has only this id.
 * @param log the logger of the request
 */
export function httpError (error: unknown, log: FastifyBaseLogger, { origin = 'thrown', declared, denied = false }: ErrorSource = {}): ErrorResponse {
  return errorResponse(presentError(error, origin, declared) ?? internalError(logHidden(log, error)), denied ? 403 : 400)
}

/**
 * Returns the HTTP response to an error in the form that a client of the websocket would get.
 * @param byDefault the status of an error of the application that has none: 403 when a hook or a policy refused the action
 */
export function errorResponse (shown: unknown, byDefault: 400 | 401 | 403 = 400): ErrorResponse {
  const told = dehydrateError(shown)
  const fields: Record<string, unknown> = typeof told === 'object' && told !== null ? { ...told } : { message: String(told) }
  const code = typeof fields.code === 'string' && fields.code.startsWith('SC_ERR_') ? fields.code : undefined
  const name = typeof fields.name === 'string' ? fields.name : 'Error'
  const statusCode = isExposed(shown) ? 500 : statusOf(fields.statusCode, code, name, byDefault)
  const body: ErrorBody = { statusCode, error: '', message: '', name, ...fields }
  Object.assign(body, { statusCode, error: STATUS_CODES[statusCode] ?? 'Error', message: typeof fields.message === 'string' ? fields.message : '', name })
  if (code !== undefined && typeof body.id === 'string') {
    body.errorId = body.id
    delete body.id
  }
  return { statusCode, headers: headersOf(statusCode, body), body }
}

function statusOf (given: unknown, code: string | undefined, name: string, byDefault: 400 | 401 | 403): number {
  // Hooks of SocketCluster use close codes as status.
  if (typeof given === 'number' && Number.isInteger(given) && given >= 400 && given < 600) return given
  const known = (code === undefined ? undefined : statusOfCode[code as ScErrorCode]) ?? (Object.hasOwn(statusOfName, name) ? statusOfName[name] : undefined)
  if (known !== undefined) return known
  return code === undefined || (code !== 'SC_ERR_INTERNAL' && byDefault !== 400) ? byDefault : 500
}

function headersOf (statusCode: number, body: ErrorBody): Record<string, string> {
  if (statusCode === 401) return { 'www-authenticate': body.name.startsWith('AuthToken') ? 'Bearer error="invalid_token"' : 'Bearer' }
  if (statusCode !== 429 && statusCode !== 503) return {}
  const wait = typeof body.retryAfter === 'number' && body.retryAfter > 0 ? Math.ceil(body.retryAfter / 1_000) : retryAfter
  return { 'retry-after': String(wait) }
}
