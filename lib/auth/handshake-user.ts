import type { ScAuthToken } from '../../types/auth.js'
import { isPlainObject } from './claims.js'

/**
 * Returns a copy of the claims that a hook verified on the handshake request, or `null`.
 *
 * @fastify/jwt stores them in `request.user`, or in the property that its option `decoratorName` names (see
 * `JwtKeys.userProperty`). Only a plain object counts as claims: other plugins may store something else there, such as a
 * database row.
 */
export function handshakeUser (request: object, property: string = 'user'): ScAuthToken | null {
  const user = (request as Record<string, unknown>)[property]
  if (!isPlainObject(user)) return null
  try {
    return structuredClone(user) as ScAuthToken
  } catch {
    // A value that cannot be cloned, such as a function.
    return { ...user } as ScAuthToken
  }
}
