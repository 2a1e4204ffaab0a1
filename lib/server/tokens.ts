import type { AuthEngine, AuthKey, ScAuthToken, ScSignOptions, SignTokenOptions } from '../../types/auth.js'
import type { ResolvedOptions } from '../../types/options.js'
import { withAudience } from '../auth/audience.js'
import { signToken } from '../auth/call-engine.js'
import { isPlainObject } from '../auth/claims.js'
import { scError, typeName } from '../errors.js'
import { promiseOf } from '../promises.js'
import type { Session } from '../socket/session.js'
import { messageOf } from '../untrusted.js'

export interface TokenIssuer {
  readonly options: ResolvedOptions
  readonly auth: AuthEngine
  readonly signatureKey: AuthKey | null
  /** The first second in which a token of a user may be issued, if it must not be now. */
  issuableFrom (sub: unknown): number | undefined
}

/**
 * Gives a socket a token: its state and the events change at once, the client gets the signed token.
 * @returns settles when the client stored it, or with why it could not be delivered
 */
export function setAuthToken (issuer: TokenIssuer, socket: Session, claims: object, options: ScSignOptions): Promise<Error | null> {
  let authToken: ScAuthToken
  try {
    if (!isPlainObject(claims)) throw new Error(typeName(claims))
    authToken = structuredClone(claims)
  } catch (err) {
    const error = scError('SC_ERR_TOKEN_PAYLOAD', [messageOf(err)])
    socket.emitError(error)
    return Promise.reject(error)
  }
  const { authDefaultExpiry, authAlgorithm, authAudience, authSignAsync } = issuer.options
  // What is null counts as left out, as in SocketCluster.
  const { algorithm, ...signOptions } = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== null)) as SignTokenOptions
  if (algorithm !== undefined) socket.emitError(scError('SC_ERR_TOKEN_ALGORITHM'))

  // A token that is made because the user was revoked must not be refused for that.
  const iat = signOptions.noTimestamp === true || authToken.iat !== undefined ? undefined : issuer.issuableFrom(authToken.sub ?? signOptions.subject)
  if (iat !== undefined && iat > Date.now() / 1000) authToken.iat = iat
  if (typeof authAudience === 'string') {
    if (signOptions.audience !== undefined) signOptions.audience = withAudience(signOptions.audience, authAudience)
    else authToken.aud = withAudience(authToken.aud, authAudience)
  }
  const change = socket.auth.replace(authToken, null)

  // A claim says when the token ends, or else the call, or else the option: never two of them.
  const { expiresIn = authDefaultExpiry, ...rest } = signOptions
  const wanted = { ...rest, mutatePayload: true, async: authSignAsync, algorithm: authAlgorithm, ...(authToken.exp === undefined ? { expiresIn } : {}) }
  let sent: Promise<Error | null>
  try {
    const signed = signToken(issuer.auth, authToken, issuer.signatureKey, wanted)
    const signing = promiseOf<string>(signed)
    sent = signing === undefined ? send(socket, authToken, signed as string) : sendSigned(socket, authToken, signing)
  } catch (err) {
    sent = fail(socket, err)
  }
  socket.auth.announce(change)
  return sent
}

async function sendSigned (socket: Session, authToken: ScAuthToken, signing: Promise<string>): Promise<Error | null> {
  let signedToken: string
  try {
    signedToken = await signing
  } catch (err) {
    return fail(socket, err)
  }
  return send(socket, authToken, signedToken)
}

function send (socket: Session, authToken: ScAuthToken, signedToken: string): Promise<Error | null> {
  // A later call may have replaced the claims while these were signed.
  if (socket.auth.signed(authToken, signedToken)) socket.fireLocal('authTokenSigned', signedToken)
  return socket.outbound.delivery('#setAuthToken', { token: signedToken })
}

function fail (socket: Session, err: unknown): Promise<never> {
  const error = scError('SC_ERR_TOKEN_SIGNING', [messageOf(err)], { cause: err })
  socket.emitError(error)
  socket.end(4002, error.wireMessage)
  return Promise.reject(error)
}
