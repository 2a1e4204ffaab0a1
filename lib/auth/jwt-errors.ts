/**
 * The error names of auth engines, which are those of jsonwebtoken. SocketCluster's clients and custom engines use them too, so
 * one function (`toAuthError`) converts the errors of any engine.
 */
export type JwtErrorName = 'TokenExpiredError' | 'NotBeforeError' | 'JsonWebTokenError'

/** An error with a name of jsonwebtoken. */
export interface JwtError extends Error {
  name: JwtErrorName
  /** Set on a `TokenExpiredError`: when the token expired. */
  expiredAt?: Date
  /** Set on a `NotBeforeError`: when the token becomes valid. */
  date?: Date
}

/** Creates an error with a name of jsonwebtoken. */
export function jwtError (name: JwtErrorName, message: string, fields?: { expiredAt?: Date, date?: Date }): JwtError {
  const err = new Error(message) as JwtError
  err.name = name
  return Object.assign(err, fields)
}

const claimNames: Record<string, string> = { aud: 'audience', iss: 'issuer', sub: 'subject', jti: 'jwtid', nonce: 'nonce' }

/** The claim named in an error text of fast-jwt: "The aud claim …", "None of aud claim values …". */
function claimOf (message: string): string {
  return /\b(\w+) claim\b/.exec(message)?.[1] ?? 'claim'
}

/** Converts seconds since the epoch to a date. Any other value gives an invalid date. */
const dateOf = (seconds: unknown): Date => new Date(Number(seconds) * 1000)

/**
 * Converts an error thrown by @fastify/jwt's verifier to one of jsonwebtoken. An error that is not the token's fault (a wrong
 * key, a wrong option, a key that could not be fetched) is returned unchanged.
 *
 * @param decode reads the claims without verifying; called only to read times, and only when the signature was valid
 */
export function fromVerifier (err: unknown, token: string, decode: (token: string) => unknown): Error {
  const { code, message } = err as { code?: unknown, message: string }
  const claims = (): Record<string, unknown> => {
    try {
      return (decode(token) ?? {}) as Record<string, unknown>
    } catch {
      return {}
    }
  }
  switch (code) {
    case 'FAST_JWT_EXPIRED':
    case 'FST_JWT_AUTHORIZATION_TOKEN_EXPIRED':
      return jwtError('TokenExpiredError', 'jwt expired', { expiredAt: dateOf(claims().exp) })
    case 'FAST_JWT_INACTIVE':
      return jwtError('NotBeforeError', 'jwt not active', { date: dateOf(claims().nbf) })
    case 'FAST_JWT_MALFORMED':
    case 'FAST_JWT_INVALID_PAYLOAD':
      return jwtError('JsonWebTokenError', token.split('.').length === 3 ? 'invalid token' : 'jwt malformed')
    case 'FAST_JWT_INVALID_SIGNATURE':
    case 'FAST_JWT_VERIFY_ERROR':
      // FAST_JWT_VERIFY_ERROR: the key was accepted when the verifier was created, so the signature is unreadable, such as too
      // short.
      return jwtError('JsonWebTokenError', 'invalid signature')
    case 'FAST_JWT_MISSING_SIGNATURE':
      return jwtError('JsonWebTokenError', 'jwt signature is required')
    case 'FAST_JWT_INVALID_ALGORITHM':
      return jwtError('JsonWebTokenError', 'invalid algorithm')
    case 'FAST_JWT_INVALID_CRIT_HEADER':
      return jwtError('JsonWebTokenError', 'unsupported critical header')
    case 'FAST_JWT_INVALID_TYPE':
    case 'FST_JWT_AUTHORIZATION_TOKEN_INVALID':
    case 'FST_JWT_AUTHORIZATION_TOKEN_UNTRUSTED':
      return jwtError('JsonWebTokenError', 'invalid token')
    case 'FAST_JWT_MISSING_REQUIRED_CLAIM':
    case 'FAST_JWT_INVALID_CLAIM_TYPE':
    case 'FAST_JWT_INVALID_CLAIM_VALUE': {
      const claim = claimOf(message)
      const name = claimNames[claim]
      return jwtError('JsonWebTokenError', name === undefined ? `invalid ${claim} value` : `jwt ${name} invalid`)
    }
  }
  // The verifier fails to format a time claim that is out of the range of Date.
  if (err instanceof RangeError) return jwtError('JsonWebTokenError', 'invalid token')
  return err instanceof Error ? err : new Error(String(err))
}
