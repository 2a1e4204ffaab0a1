import type { FastifyBaseLogger } from 'fastify'
import { ScError } from '../errors.js'
import { callersMistake } from '../exchange/server-mistake.js'
import { logFailure } from '../log.js'
import { dehydrateError } from '../protocol/wire-errors.js'
import { isInstance } from '../untrusted.js'
import { type ErrorResponse, errorResponse, httpError } from './error-response.js'

/** Errors of calls whose arguments come from the request. */
const mistakes = new Set<unknown>(['SC_ERR_ARGUMENT', 'SC_ERR_CLOSE_CODE', 'SC_ERR_ENCODE'])

/** Returns the response to an operation that failed, and logs what the caller does not see. */
export function operationError (error: unknown, log: FastifyBaseLogger, denied = false): ErrorResponse {
  const mistake = callersMistake(error)
  if (mistake !== undefined) return errorResponse(mistake)
  if (!isInstance(error, ScError)) return httpError(error, log, { denied })
  if (mistakes.has(error.code)) return errorResponse({ ...dehydrateError(error) as object, statusCode: 400 })
  logFailure(log, error)
  return httpError(error, log, { denied })
}
