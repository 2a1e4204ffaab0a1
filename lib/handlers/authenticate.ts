import type { ScAuthToken } from '../../types/auth.js'
import { checkAudience } from '../auth/audience.js'
import { verifyToken } from '../auth/call-engine.js'
import { isAuthTokenExpired } from '../auth/is-token-expired.js'
import { jwtError } from '../auth/jwt-errors.js'
import { isTicket } from '../auth/ticket.js'
import { toAuthError } from '../auth/token-errors.js'
import { ScError, scError, typeName } from '../errors.js'
import { decide, runHooks, withDeadline } from '../lifecycle/run.js'
import { withHidden } from '../printing.js'
import { dehydrateError } from '../protocol/wire-errors.js'
import type { TokenChange } from '../socket/authentication.js'
import type { Session } from '../socket/session.js'
import { TokenBucket } from '../socket/token-bucket.js'
import { read } from '../untrusted.js'
import type { Authenticated, HandlerContext, PacketHandler } from './context.js'
import { refuseInvalid } from './error-answers.js'

/** The result of an attempt to authenticate. The token of the socket is changed already; `settle` emits the events. */
export type Verdict =
  | { readonly kind: 'accepted', readonly change: TokenChange }
  /** The token was refused. The client has to forget a bad token. */
  | { readonly kind: 'refused', readonly change: TokenChange, readonly authError: unknown, /** The error that the client sees. */ readonly shown: unknown, readonly isBadToken: boolean }
  /** A newer decision about the token was made during the check. It counts, and its events are emitted. */
  | { readonly kind: 'superseded' }

const superseded: Verdict = { kind: 'superseded' }

/** Claims of a token with a valid signature, or of a user that the upgrade request verified. */
interface Candidate {
  readonly claims: ScAuthToken
  readonly signedToken: string | null
  /** The version of the authentication when the attempt began. */
  readonly version: number
}

/** `#authenticate`: verifies the token and then runs the `authenticate` hooks. */
export const handleAuthenticate: PacketHandler = (context, session, packet) => {
  const { authenticateRate } = context.host.options
  if (authenticateRate !== 0) {
    session.auth.attempts ??= new TokenBucket(authenticateRate / 60, Math.max(1, authenticateRate), session.lastSeen)
    const retryAfter = session.auth.attempts.take(session.lastSeen)
    if (retryAfter !== 0) {
      context.monitor.rateLimited(session, retryAfter)
      refuseInvalid(context, session, packet.cid, scError('SC_ERR_AUTH_RATE', [retryAfter], { retryAfter }))
      session.end(4429)
      return
    }
  }
  const conclude = (verdict: Verdict): void => {
    if (session.state === 'closed') return
    settle(session, verdict)
    if (packet.cid === undefined) return
    const refused = verdict.kind === 'refused' ? verdict : null
    const shown = refused?.shown
    const status = { isAuthenticated: session.authToken !== null, authError: shown === undefined ? undefined : dehydrateError(shown) }
    if (refused?.isBadToken === true) {
      session.outbound.errorAck(packet.cid, shown, session.dialect.authStatusWithError ? status : undefined)
    } else {
      session.outbound.ack(packet.cid, status)
    }
  }
  const verdict = authenticate(context, session, packet.data)
  if (verdict instanceof Promise) return verdict.then(conclude)
  conclude(verdict)
}

/** `#removeAuthToken`: the client removed its token. */
export const handleRemoveAuthToken: PacketHandler = (_context, session) => {
  session.deauthenticateSelf()
}

/** Emits the events of a verdict, and tells the client to remove a bad token. */
export function settle (session: Session, verdict: Verdict): void {
  if (verdict.kind === 'accepted') {
    session.auth.announce(verdict.change)
  } else if (verdict.kind === 'refused' && session.authToken === null) {
    if (verdict.isBadToken || verdict.change.oldToken !== null) session.auth.announceLoss(verdict.change)
    if (verdict.isBadToken && session.authToken === null) session.outbound.event('#removeAuthToken')
  }
}

/**
 * Verifies a token. The socket gets its claims only after the `authenticate` hooks have passed. Never throws or rejects because
 * of the token. Returns a promise only if the engine or a hook returns one.
 */
export function authenticate (context: HandlerContext, caller: Authenticated, signedToken: unknown): Verdict | Promise<Verdict> {
  const { version } = caller.auth
  const failed = (err: unknown): Verdict => {
    const { authError, isBadToken } = toAuthError(err)
    return refuse(context, caller, version, signedToken, authError, isBadToken)
  }
  let verified: ScAuthToken | Promise<ScAuthToken>
  try {
    if (typeof signedToken !== 'string' && signedToken !== null && signedToken !== undefined) {
      throw scError('SC_ERR_TOKEN_FORMAT', [typeName(signedToken)])
    }
    const { authVerifyAsync } = context.host.options
    verified = verifyToken(context.tokens.engine, signedToken ?? null, context.tokens.verificationKey, {
      async: authVerifyAsync, algorithms: context.tokens.verifyAlgorithms, socket: caller.socket
    })
  } catch (err) {
    return failed(err)
  }
  const check = (claims: ScAuthToken): Verdict | Promise<Verdict> => {
    const { authAudience } = context.host.options
    try {
      // A ticket opens one stream, and says nothing else.
      if (isTicket(claims)) throw jwtError('JsonWebTokenError', 'a ticket of a stream is not a token')
      // Checked here, because the engine may be the application's own.
      if (typeof authAudience === 'string') checkAudience(claims.aud, authAudience)
    } catch (err) {
      return failed(err)
    }
    return pass(context, caller, { claims, signedToken: signedToken as string, version })
  }
  if (!(verified instanceof Promise)) return check(verified)
  const { hooks } = context.deadlines
  return withDeadline(verified, hooks, () => scError('SC_ERR_HOOK_TIMEOUT', ['verifyToken', hooks.duration]))
    .then(check, failed)
}

/** Authenticates a socket as the user that a hook of the upgrade request verified. */
export function authenticateUser (context: HandlerContext, caller: Authenticated, claims: ScAuthToken): Verdict | Promise<Verdict> {
  return pass(context, caller, { claims, signedToken: null, version: caller.auth.version })
}

/** Checks revocations and runs the `authenticate` hooks for verified claims. */
function pass (context: HandlerContext, caller: Authenticated, candidate: Candidate): Verdict | Promise<Verdict> {
  const { claims, signedToken, version } = candidate
  // The user of a request has no token that the client could remove.
  const isBadToken = signedToken !== null
  const revoked = (): Verdict => refuse(context, caller, version, signedToken, scError('SC_ERR_TOKEN_REVOKED'), isBadToken)
  if (caller.state === 'closed' || caller.auth.version !== version) return superseded
  if (context.tokens.isRevoked(claims)) return revoked()
  const { hooks, instance } = context.root
  const accept = (): Verdict => {
    if (caller.state === 'closed' || caller.auth.version !== version) return superseded
    // The token may have been revoked or expired while hooks ran.
    if (context.tokens.isRevoked(claims)) return revoked()
    if (isAuthTokenExpired(claims)) {
      return refuse(context, caller, version, signedToken, scError('SC_ERR_TOKEN_EXPIRED', ['jwt expired'], { expiry: new Date(claims.exp! * 1000) }), isBadToken)
    }
    return { kind: 'accepted', change: caller.auth.replace(claims, signedToken) }
  }
  const request = withHidden({ socket: caller.socket }, { authToken: claims, signedAuthToken: signedToken })
  return decide(() => runHooks('authenticate', hooks.authenticate, instance, request, context.deadlines.hooks), accept, (thrown) => block(context, caller, candidate, thrown))
}

/** Refuses a token that an `authenticate` hook blocked. */
function block (context: HandlerContext, caller: Authenticated, { signedToken, version }: Candidate, thrown: unknown): Verdict {
  const { error: authError, shown, detail } = context.monitor.denied(caller, { line: 'authenticate', thrown })
  const isBadToken = detail !== undefined ? detail === true : read(authError, 'isBadToken') === true
  if (caller.auth.version !== version) return superseded
  const change = caller.auth.clear()
  if (isBadToken) announceBadToken(context, caller, authError as Error, signedToken)
  return { kind: 'refused', change, authError, shown, isBadToken }
}

/** Refuses an invalid token. */
function refuse (context: HandlerContext, caller: Authenticated, version: number, signedToken: unknown, authError: ScError, isBadToken: boolean): Verdict {
  if (caller.auth.version !== version) return superseded
  const change = caller.auth.clear()
  if (signedToken !== null && signedToken !== undefined) {
    caller.emitError(authError)
    if (isBadToken) announceBadToken(context, caller, authError, typeof signedToken === 'string' ? signedToken : null)
  }
  return { kind: 'refused', change, authError, shown: authError, isBadToken }
}

function announceBadToken (context: HandlerContext, caller: Authenticated, authError: Error, signedAuthToken: string | null): void {
  const status = withHidden({ authError }, { signedAuthToken })
  caller.fireLocal('badAuthToken', status)
  context.host.fire('badSocketAuthToken', caller.socket, status)
}
