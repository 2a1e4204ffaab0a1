import type { ScAuthToken } from '../../types/auth.js'
import type { AuthState } from '../../types/server.js'
import { verifyToken } from '../auth/call-engine.js'
import { toAuthError } from '../auth/token-errors.js'
import { ScError, scError, typeName } from '../errors.js'
import { runHooks, withDeadline } from '../lifecycle/run.js'
import { isThenable } from '../promises.js'
import { dehydrateError } from '../protocol/wire-errors.js'
import type { ServerSocket } from '../socket/socket.js'
import { TokenBucket } from '../socket/token-bucket.js'
import { read } from '../untrusted.js'
import type { HandlerContext, PacketHandler } from './context.js'
import { refuseInvalid, tellBlock } from './refuse.js'

/** How an attempt to authenticate ended. */
export interface Verdict {
  /** Absent when the socket is authenticated. */
  readonly authError?: unknown
  /** What the client sees of it, where that is something else. */
  readonly shown?: unknown
  /** The client is told to forget the token. */
  readonly isBadToken: boolean
  readonly oldState: AuthState
  /** Its token was set or taken away by something else while this one was verified: that counts. */
  readonly superseded?: boolean
}

/** `#authenticate`: the token is verified, then passes the `authenticate` hooks. */
export const handleAuthenticate: PacketHandler = (context, socket, packet) => {
  const { authenticateRate } = context.host.options
  if (authenticateRate !== 0) {
    socket.authAttempts ??= new TokenBucket(authenticateRate / 60, Math.max(1, authenticateRate), socket.lastSeen)
    const retryAfter = socket.authAttempts.take(socket.lastSeen)
    if (retryAfter !== 0) {
      context.counters.rateLimited++
      refuseInvalid(context, socket, packet.cid, scError('SC_ERR_AUTH_RATE', [retryAfter], { retryAfter }))
      socket.end(4429)
      return
    }
  }
  const signedToken = packet.data
  const hadToken = socket.authToken !== null
  authenticate(context, socket, signedToken).then((verdict) => {
    if (socket.state !== 'open') return
    if (verdict.superseded === true) {
      // Whoever did it has told of it.
    } else if (verdict.authError === undefined) {
      // It may have lost the token again while the hooks were asked.
      if (socket.authToken !== null) socket.announceAuthentication(verdict.oldState)
    } else if (verdict.isBadToken) {
      socket.deauthenticate()
    }
    // A token that failed in the end may have let a subscription pass while its hooks were asked.
    if (hadToken || verdict.authError !== undefined || socket.withheld !== null) socket.host.revalidate(socket)
    if (packet.cid === undefined) return
    const shown = verdict.shown ?? verdict.authError
    const status = { isAuthenticated: socket.authToken !== null, authError: shown === undefined ? undefined : dehydrateError(shown) }
    if (shown !== undefined && verdict.isBadToken) {
      socket.sendErrorAck(packet.cid, shown, socket.dialect.authStatusWithError ? status : undefined)
    } else {
      socket.sendAck(packet.cid, status)
    }
  }).catch((err: unknown) => socket.host.warn(err, socket.log))
}

/** `#removeAuthToken`: the client dropped its token. */
export const handleRemoveAuthToken: PacketHandler = (_context, socket) => {
  socket.deauthenticateSelf()
}

/** Verifies a token and, if it holds, makes its claims those of the socket. Never rejects because of the token. */
export async function authenticate (context: HandlerContext, socket: ServerSocket, signedToken: unknown): Promise<Verdict> {
  const oldState = socket.authState
  const turn = ++socket.authTurn
  let claims: ScAuthToken
  try {
    if (typeof signedToken !== 'string' && signedToken !== null && signedToken !== undefined) {
      throw scError('SC_ERR_TOKEN_FORMAT', [typeName(signedToken)])
    }
    const { authVerifyAsync } = context.host.options
    const verified = verifyToken(context.auth, signedToken ?? null, context.verificationKey, {
      async: authVerifyAsync, algorithms: context.verifyAlgorithms, socket
    })
    const { hooks } = context.deadlines
    claims = isThenable(verified) ? await withDeadline(verified, hooks, () => scError('SC_ERR_HOOK_TIMEOUT', ['verifyToken', hooks.duration])) as ScAuthToken : verified as ScAuthToken
    if (context.isRevoked(claims)) throw scError('SC_ERR_TOKEN_REVOKED')
  } catch (err) {
    const { authError, isBadToken } = err instanceof ScError && err.code === 'SC_ERR_TOKEN_REVOKED' ? { authError: err, isBadToken: true } : toAuthError(err)
    if (socket.authTurn !== turn) return { isBadToken: false, oldState, superseded: true }
    unset(socket)
    if (signedToken !== null && signedToken !== undefined) {
      socket.emitError(authError)
      if (isBadToken) announceBadToken(context, socket, authError, typeof signedToken === 'string' ? signedToken : null)
    }
    return { authError, isBadToken, oldState }
  }
  if (socket.state === 'closed') return { isBadToken: false, oldState }
  if (socket.authTurn !== turn) return { isBadToken: false, oldState, superseded: true }
  return pass(context, socket, claims, signedToken as string, oldState)
}

/** Claims that are known to be good still have to pass the `authenticate` hooks. */
export async function pass (context: HandlerContext, socket: ServerSocket, claims: ScAuthToken, signedToken: string | null, oldState: AuthState): Promise<Verdict> {
  socket.authToken = claims
  socket.signedAuthToken = signedToken
  socket.authState = 'authenticated'
  const { hooks, instance } = context.root
  try {
    await runHooks('authenticate', hooks.authenticate, instance, { socket, authToken: claims, signedAuthToken: signedToken }, context.deadlines.hooks)
  } catch (thrown) {
    const block = tellBlock(context, socket, 'authenticate', thrown)
    const isBadToken = block.detail !== undefined ? block.detail === true : read(block.error, 'isBadToken') === true
    unset(socket)
    const authError = block.error
    if (isBadToken) announceBadToken(context, socket, authError as Error, signedToken)
    return { authError, shown: block.shown, isBadToken, oldState }
  }
  return { isBadToken: false, oldState }
}

function unset (socket: ServerSocket): void {
  socket.authToken = null
  socket.signedAuthToken = null
  socket.authState = 'unauthenticated'
}

function announceBadToken (context: HandlerContext, socket: ServerSocket, authError: Error, signedAuthToken: string | null): void {
  const status = { authError, signedAuthToken }
  socket.fireLocal('badAuthToken', status)
  context.host.fire('badSocketAuthToken', socket, status)
}
