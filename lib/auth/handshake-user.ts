import type { ScAuthToken } from '../../types/auth.js'
import { isPlainObject } from './claims.js'

/**
 * The claims that a hook of the handshake request verified, as a copy, or `null`.
 *
 * @fastify/jwt leaves them in `request.user`, or in the property that its option `decoratorName` names: `JwtKeys.userProperty`
 * has that name. Only a plain object counts: what other plugins may put there (a database row, say) is no set of claims.
 */
export function handshakeUser (request: object, property: string = 'user'): ScAuthToken | null {
  const user = (request as Record<string, unknown>)[property]
  if (!isPlainObject(user)) return null
  try {
    return structuredClone(user) as ScAuthToken
  } catch {
    // Something in it cannot be cloned, a function for one.
    return { ...user } as ScAuthToken
  }
}
