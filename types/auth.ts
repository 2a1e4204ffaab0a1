/**
 * The claims of an authenticated socket. Widen it by declaration merging:
 *
 * ```ts
 * declare module 'fastify-socketcluster' { interface ScAuthToken { username: string } }
 * ```
 */
export interface ScAuthToken {
  /** Expiry, seconds since the epoch. */
  exp?: number
  /** Not before, seconds since the epoch. */
  nbf?: number
  /** Issued at, seconds since the epoch. */
  iat?: number
  sub?: string
  iss?: string
  aud?: string | string[]
  jti?: string
  [claim: string]: unknown
}

type DeclaredClaims = { [Claim in keyof ScAuthToken as string extends Claim ? never : Claim]: ScAuthToken[Claim] }

/** The claims for a new token. Claims that `ScAuthToken` declares must have the declared type; other claims may be added. */
export type ScClaims = ScAuthToken | (DeclaredClaims & object)

/** Options of `socket.setAuthToken()`, with the names and units of jsonwebtoken's `sign`. `null` counts as absent. */
export interface ScSignOptions {
  /**
   * When the token expires, from now: a number of seconds, or text such as `'2 days'` or `'10h'`. Text without a unit is
   * milliseconds. Default: `authDefaultExpiry`.
   */
  expiresIn?: number | string | null
  /** When the token becomes valid, from now, in the units of `expiresIn`. */
  notBefore?: number | string
  audience?: string | string[]
  issuer?: string
  subject?: string
  jwtid?: string
  keyid?: string
  /** Additional fields for the token's header. */
  header?: Record<string, unknown>
  /** Accepted for compatibility with jsonwebtoken; claims are always encoded as UTF-8. */
  encoding?: string
  /** Omit the `iat` claim. */
  noTimestamp?: boolean
  /**
   * Reject the promise of `setAuthToken` when the client does not confirm the token: the client disconnected, or did not answer
   * within `ackTimeout`. By default the promise resolves in these cases, because the socket is authenticated on the server
   * anyway.
   */
  rejectOnFailedDelivery?: boolean
  /**
   * Not allowed here: the socket emits an `InvalidArgumentsError` and the value is ignored. Use the server's option
   * `authAlgorithm`.
   */
  algorithm?: string
}

/** A key of an auth engine: a secret as text or Buffer, or a key in PEM format. */
export type AuthKey = string | Buffer

/** Options of `AuthEngine.verifyToken`. */
export interface VerifyTokenOptions {
  /** The server's option `authVerifyAsync`. */
  async: boolean
  /** The accepted algorithms; tokens with another one must be rejected. */
  algorithms?: string[]
  /** The socket that presented the token. */
  socket?: unknown
}

/** Options of `AuthEngine.signToken`. */
export interface SignTokenOptions extends ScSignOptions {
  expiresIn?: number | string
  /** The server's option `authSignAsync`. */
  async: boolean
  /** Write the claims that signing adds (`exp`, `iat` and others) back into the passed object, as jsonwebtoken does. */
  mutatePayload?: boolean
}

/** The callback of an auth engine. */
export type AuthCallback<T> = (err: Error | null, result?: T) => void

/**
 * Signs and verifies tokens. Each method either calls `callback`, synchronously or later, or returns a promise. `key` is `null`
 * when the server uses the keys of the application's own @fastify/jwt.
 *
 * Errors of `verifyToken` are mapped by name: `TokenExpiredError` (with `expiredAt`), `JsonWebTokenError` and
 * `NotBeforeError` (with `date`) become SocketCluster's errors. Any other error becomes an `AuthTokenError`.
 */
export interface AuthEngine {
  /** Verifies a signed token and returns its claims. */
  verifyToken (signedToken: string | null, key: AuthKey | null, options: VerifyTokenOptions, callback: AuthCallback<ScAuthToken>): Promise<ScAuthToken> | void
  /** Signs claims and returns the token. */
  signToken (token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions, callback: AuthCallback<string>): Promise<string> | void
}
