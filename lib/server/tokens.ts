import type { AuthEngine, AuthKey, ScAuthToken, ScSignOptions, SignTokenOptions } from '../../types/auth.js'
import type { ResolvedOptions } from '../../types/options.js'
import { withAudience } from '../auth/audience.js'
import { signToken } from '../auth/call-engine.js'
import { isPlainObject } from '../auth/claims.js'
import type { JwtKeys } from '../auth/key-source.js'
import { isAuthTokenExpired } from '../auth/is-token-expired.js'
import { Revocations, lifeOf, maxRevocations } from '../cluster/revocations.js'
import { scError, typeName } from '../errors.js'
import { promiseOf } from '../promises.js'
import type { Session } from '../socket/session.js'
import { messageOf } from '../untrusted.js'
import { ExpiryWheel } from './token-expiry-wheel.js'

/**
 * The tokens of all sockets: the engine and keys that sign and verify them, their expiry, and revocations.
 * Keys are in private fields: code that lists the properties of an object finds none.
 */
export class Tokens {
  readonly revocations: Revocations
  /** The property of the handshake request in which a hook stored the verified user. */
  userProperty = 'user'
  readonly #options: ResolvedOptions
  readonly #expiries = new ExpiryWheel<Session>((session) => { this.dropExpired(session) })
  #engine: AuthEngine
  #signatureKey: AuthKey | null = null
  #verificationKey: AuthKey | null = null

  constructor (options: ResolvedOptions, engine: AuthEngine, warn: (err: Error) => void) {
    this.#options = options
    this.#engine = engine
    this.revocations = new Revocations(Math.max(options.authDefaultExpiry, 86_400), options.revokeTolerance, () => warn(scError('SC_ERR_REVOCATIONS', [maxRevocations])))
  }

  /** Sets the keys, which are known once the application is ready. */
  useKeys ({ signatureKey, verificationKey, userProperty }: JwtKeys): void {
    this.#signatureKey = signatureKey
    this.#verificationKey = verificationKey
    this.userProperty = userProperty
  }

  get engine (): AuthEngine { return this.#engine }
  set engine (engine: AuthEngine) { this.#engine = engine }
  get signatureKey (): AuthKey | null { return this.#signatureKey }
  set signatureKey (key: AuthKey | null) { this.#signatureKey = key }
  get verificationKey (): AuthKey | null { return this.#verificationKey }
  set verificationKey (key: AuthKey | null) { this.#verificationKey = key }
  get verifyAlgorithms (): string[] | undefined { return this.#options.authVerifyAlgorithms }

  isRevoked (token: ScAuthToken): boolean {
    return this.revocations.has(token)
  }

  /** Call when a socket's token was replaced or removed: reschedules or cancels its expiry. */
  changed (session: Session): void {
    const exp = session.authToken?.exp
    if (typeof exp === 'number' && session.state !== 'closed') this.#expiries.add(session, exp * 1000)
    else this.#expiries.remove(session)
    if (session.auth.signedToken !== null) this.accepted(session.authToken!)
  }

  /** Call when a signed token was accepted: its revocation has to be kept as long as it lives. */
  accepted (token: ScAuthToken): void {
    this.revocations.outlive(lifeOf(token))
  }

  dropExpired (session: Session): Error | undefined {
    const { authToken } = session
    if (authToken === null || !isAuthTokenExpired(authToken)) return
    const error = scError('SC_ERR_TOKEN_EXPIRED', ['The socket auth token has expired'], { expiry: authToken.exp })
    session.auth.expire()
    if (session.authToken === null) session.outbound.event('#removeAuthToken')
    return error
  }

  /** Cancels the expiry of a closed socket's token. */
  forget (session: Session): void {
    this.#expiries.remove(session)
  }

  stop (): void {
    this.#expiries.stop()
  }

  /**
   * Gives a socket a token. The socket's state changes and events are emitted at once; the client receives the signed token.
   * @returns settles when the client stored the token, or with the error that prevented its delivery
   */
  issue (session: Session, claims: object, options: ScSignOptions): Promise<Error | null> {
    let authToken: ScAuthToken
    try {
      if (!isPlainObject(claims)) throw new Error(typeName(claims))
      authToken = structuredClone(claims)
    } catch (err) {
      const error = scError('SC_ERR_TOKEN_PAYLOAD', [messageOf(err)])
      session.emitError(error)
      return Promise.reject(error)
    }
    const { authDefaultExpiry, authAlgorithm, authAudience, authSignAsync } = this.#options
    // As in SocketCluster, `null` counts as left out.
    const { algorithm, ...signOptions } = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== null)) as SignTokenOptions
    if (algorithm !== undefined) session.emitError(scError('SC_ERR_TOKEN_ALGORITHM'))

    // The new token of a revoked user must be issued late enough not to be refused by that revocation.
    const iat = signOptions.noTimestamp === true || authToken.iat !== undefined ? undefined : this.revocations.issuableFrom(authToken.sub ?? signOptions.subject)
    if (iat !== undefined && iat > Date.now() / 1000) authToken.iat = iat
    if (typeof authAudience === 'string') {
      if (signOptions.audience !== undefined) signOptions.audience = withAudience(signOptions.audience, authAudience)
      else authToken.aud = withAudience(authToken.aud, authAudience)
    }
    const change = session.auth.replace(authToken, null)

    // The expiry is the `exp` claim, else `expiresIn` of the call, else the option `authDefaultExpiry`; never two of them.
    const { expiresIn = authDefaultExpiry, ...rest } = signOptions
    const wanted = { ...rest, mutatePayload: true, async: authSignAsync, algorithm: authAlgorithm, ...(authToken.exp === undefined ? { expiresIn } : {}) }
    let sent: Promise<Error | null>
    try {
      const signed = signToken(this.#engine, authToken, this.#signatureKey, wanted)
      const signing = promiseOf<string>(signed)
      sent = signing === undefined ? send(session, authToken, signed as string) : sendSigned(session, authToken, signing)
    } catch (err) {
      sent = fail(session, err)
    }
    session.auth.announce(change)
    return sent
  }
}

async function sendSigned (session: Session, authToken: ScAuthToken, signing: Promise<string>): Promise<Error | null> {
  let signedToken: string
  try {
    signedToken = await signing
  } catch (err) {
    return fail(session, err)
  }
  return send(session, authToken, signedToken)
}

function send (session: Session, authToken: ScAuthToken, signedToken: string): Promise<Error | null> {
  // A later call may have replaced the claims while these were being signed.
  if (session.auth.signed(authToken, signedToken)) session.fireLocal('authTokenSigned', signedToken)
  return session.outbound.delivery('#setAuthToken', { token: signedToken })
}

function fail (session: Session, err: unknown): Promise<never> {
  const error = scError('SC_ERR_TOKEN_SIGNING', [messageOf(err)], { cause: err })
  session.emitError(error)
  session.end(4002, error.wireMessage)
  return Promise.reject(error)
}
