import type { AuthEngine, AuthKey, ScAuthToken, ScSignOptions } from '../../types/auth.js'
import type { ResolvedOptions } from '../../types/options.js'
import { signToken } from '../auth/call-engine.js'
import { isPlainObject } from '../auth/claims.js'
import { scError, typeName } from '../errors.js'
import { isThenable } from '../promises.js'
import { announceToken, replaceToken, tokenSigned } from '../socket/authentication.js'
import type { ServerSocket } from '../socket/socket.js'

export interface TokenIssuer {
  readonly options: ResolvedOptions
  readonly auth: AuthEngine
  readonly signatureKey: AuthKey | null
}

/**
 * Gives a socket a token: its state and the events change at once, the client gets the signed token.
 * @returns settles when the client stored it
 */
export function setAuthToken (issuer: TokenIssuer, socket: ServerSocket, claims: object, options: ScSignOptions | null): Promise<void> {
  if (!isPlainObject(claims)) {
    const error = scError('SC_ERR_TOKEN_PAYLOAD', [typeName(claims)])
    socket.emitError(error)
    return Promise.reject(error)
  }
  const { authDefaultExpiry, authAlgorithm, authSignAsync } = issuer.options
  const { algorithm, ...signOptions } = options ?? {}
  if (algorithm !== undefined) socket.emitError(scError('SC_ERR_TOKEN_ALGORITHM'))

  const authToken: ScAuthToken = structuredClone(claims)
  const change = replaceToken(socket, authToken, null)

  // A claim says when the token ends, or else the call, or else the option: never two of them.
  const { expiresIn = authDefaultExpiry, ...rest } = signOptions
  const wanted = { ...rest, mutatePayload: true, async: authSignAsync, algorithm: authAlgorithm, ...(authToken.exp === undefined ? { expiresIn } : {}) }
  let sent: Promise<void>
  try {
    const signed = signToken(issuer.auth, authToken, issuer.signatureKey, wanted)
    sent = isThenable(signed)
      ? (signed as Promise<string>).then((token) => send(socket, authToken, token), (err: unknown) => fail(socket, err))
      : send(socket, authToken, signed as string)
  } catch (err) {
    sent = fail(socket, err)
  }
  announceToken(socket, change)
  return sent
}

function send (socket: ServerSocket, authToken: ScAuthToken, signedToken: string): Promise<void> {
  // A later call may have replaced the claims while these were signed.
  if (tokenSigned(socket, authToken, signedToken)) socket.fireLocal('authTokenSigned', signedToken)
  return socket.invoke('#setAuthToken', { token: signedToken }).then(() => {})
}

function fail (socket: ServerSocket, err: unknown): Promise<never> {
  const error = scError('SC_ERR_TOKEN_SIGNING', [err instanceof Error ? err.message : String(err)], { cause: err })
  socket.emitError(error)
  socket.end(4002, error.message)
  return Promise.reject(error)
}
