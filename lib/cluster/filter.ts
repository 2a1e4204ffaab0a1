import type { ScAuthToken } from '../../types/auth.js'
import type { RevokeFilter } from '../../types/server.js'
import { scError, typeName } from '../errors.js'
import { type Filter, maxText } from './commands.js'
import { claimText } from './revocations.js'

/**
 * Copies and checks a filter of the application. Numeric users and ids become text.
 * @throws InvalidArgumentsError when a field is not text or a number, or, with `needsOne`, when the filter is empty
 */
export function readFilter (given: RevokeFilter, needsOne: boolean): Filter {
  if (typeof given !== 'object' || given === null) throw scError('SC_ERR_FILTER', [typeName(given)])
  const filter: Filter = {}
  for (const field of ['user', 'jti', 'socketId'] as const) {
    const value = given[field]
    if (value === undefined) continue
    const text = typeof value === 'number' && field !== 'socketId' ? String(value) : value
    if (typeof text !== 'string') throw scError('SC_ERR_FILTER', [`${typeName(value)} as ${field}`])
    if (text.length > maxText) throw scError('SC_ERR_FILTER', [`more than ${maxText} characters as ${field}`])
    filter[field] = text
  }
  if (needsOne && Object.keys(filter).length === 0) throw scError('SC_ERR_FILTER', ['none of them'])
  return filter
}

/** Whether a filter matches a socket. Every given field must match. */
export function matches (filter: Filter, socketId: string, token: ScAuthToken | null): boolean {
  const { user, jti, socketId: id } = filter
  return (id === undefined || id === socketId) && fits(user, token?.sub) && fits(jti, token?.jti)
}

function fits (wanted: string | undefined, claim: unknown): boolean {
  return wanted === undefined || claimText(claim) === wanted
}
