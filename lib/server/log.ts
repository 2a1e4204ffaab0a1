import type { FastifyBaseLogger } from 'fastify'
import { ScError } from '../errors.js'

/** Errors of the library that are the application's or the operator's to mend. */
const operatorErrors = new Set<unknown>(['SC_ERR_HOOK_TIMEOUT', 'SC_ERR_HANDLER_TIMEOUT', 'SC_ERR_NEXT_TWICE', 'SC_ERR_RESPONSE_SENT', 'SC_ERR_RESPONSE_INVALID',
  'SC_ERR_ENCODE', 'SC_ERR_EVENT_RESERVED', 'SC_ERR_CLOSE_CODE', 'SC_ERR_TOKEN_PAYLOAD', 'SC_ERR_TOKEN_ALGORITHM', 'SC_ERR_TOKEN_SIGNING',
  'SC_ERR_BROKER', 'SC_ERR_BROKER_DOWN', 'SC_ERR_BROKER_BUSY'])

/**
 * Writes what became a `warning`. A mistake of the application is an error, trouble that somebody should look at a warning,
 * and what a client did wrong is for debugging: clients do that all day.
 */
export function logWarning (log: FastifyBaseLogger, err: unknown): void {
  if (!(err instanceof ScError)) log.error({ err }, 'application error')
  else if (operatorErrors.has(err.code)) log.warn({ err }, err.message)
  else log.debug({ err }, err.message)
}
