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

/** Claims of a token that is yet to be made. Others may be added; those that `ScAuthToken` declares have to be as declared. */
export type ScClaims = ScAuthToken | (DeclaredClaims & object)

/** Options of `socket.setAuthToken()`, named and measured as in jsonwebtoken's `sign`. One that is `null` counts as left out. */
export interface ScSignOptions {
  /** Seconds as a number, or text such as `'2 days'` or `'10h'`; text without a unit is milliseconds. Default: `authDefaultExpiry`. */
  expiresIn?: number | string | null
  /** Seconds as a number, or text; the token is not valid before now plus this. */
  notBefore?: number | string
  audience?: string | string[]
  issuer?: string
  subject?: string
  jwtid?: string
  keyid?: string
  /** More fields for the token's header. */
  header?: Record<string, unknown>
  /** Accepted as in jsonwebtoken; claims are always written as UTF-8. */
  encoding?: string
  /** Leave `iat` out. */
  noTimestamp?: boolean
  /**
   * Reject the promise of `setAuthToken` when the client does not confirm the token: because it left, or did not answer within
   * `ackTimeout`. Without it the promise resolves then: the socket was authenticated all the same.
   */
  rejectOnFailedDelivery?: boolean
  /** Not allowed here: an `InvalidArgumentsError` is emitted and the value ignored. Set `authAlgorithm` instead. */
  algorithm?: string
}

/** A key as the engines take it: a secret text or buffer, or PEM text. */
export type AuthKey = string | Buffer

export interface VerifyTokenOptions {
  /** `authVerifyAsync` of the server's options. */
  async: boolean
  /** The only algorithms that may be accepted. */
  algorithms?: string[]
  /** The socket that presents the token. */
  socket?: unknown
}

export interface SignTokenOptions extends ScSignOptions {
  expiresIn?: number | string
  /** `authSignAsync` of the server's options. */
  async: boolean
  /** Add the claims that are made while signing (`exp`, `iat` and others) to the token passed, as jsonwebtoken does. */
  mutatePayload?: boolean
}

export type AuthCallback<T> = (err: Error | null, result?: T) => void

/**
 * Makes and checks tokens. `key` is `null` while the application's own @fastify/jwt has the keys. Either call `callback`, at once or later, or return a promise.
 *
 * Errors of `verifyToken` are mapped by name: `TokenExpiredError` (with `expiredAt`), `JsonWebTokenError` and
 * `NotBeforeError` (with `date`) become SocketCluster's errors; any other becomes an `AuthTokenError`.
 */
export interface AuthEngine {
  verifyToken (signedToken: string | null, key: AuthKey | null, options: VerifyTokenOptions, callback: AuthCallback<ScAuthToken>): Promise<ScAuthToken> | void
  signToken (token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions, callback: AuthCallback<string>): Promise<string> | void
}
