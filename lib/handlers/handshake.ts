import { handshakeUser } from '../auth/handshake-user.js'
import type { EventPacket } from '../../types/protocol.js'
import type { ConnectStatus } from '../../types/server.js'
import { scError } from '../errors.js'
import { toBlock } from '../lifecycle/block.js'
import { decide, runHooks } from '../lifecycle/run.js'
import { isSendableCloseCode } from '../protocol/close-codes.js'
import { dehydrateError } from '../protocol/wire-errors.js'
import { read } from '../untrusted.js'
import type { Session } from '../socket/session.js'
import { type Verdict, authenticate, authenticateUser, settle } from './authenticate.js'
import type { HandlerContext, PacketHandler } from './context.js'
import { refuseBlocked, refuseInvalid } from './error-answers.js'

/** `#handshake`: `handshakeSC` hooks → token → the socket is open → events → ack. */
export const handleHandshake: PacketHandler = (context, session, packet) => {
  if (session.handshake?.begun !== false) {
    refuseInvalid(context, session, packet.cid, scError('SC_ERR_SECOND_HANDSHAKE'))
    return
  }
  session.handshake.begun = true
  if (packet.cid === undefined && session.dialect.handshakeNeedsCid) {
    refuseInvalid(context, session, undefined, scError('SC_ERR_HANDSHAKE_CID'))
    session.end(4008)
    return
  }
  const { hooks, instance } = context.root
  return decide(
    () => runHooks('handshakeSC', hooks.handshakeSC, instance, { socket: session.socket }, context.deadlines.hooks),
    () => checkToken(context, session, packet),
    (thrown) => reject(context, session, packet, thrown)
  )
}

// Promises are created only if a hook or the auth engine returns one.

function checkToken (context: HandlerContext, session: Session, packet: EventPacket): void | Promise<void> {
  if (session.state === 'closed') return
  const verdict = authenticateHandshake(context, session, packet)
  if (verdict instanceof Promise) return verdict.then((decided) => open(context, session, packet, decided))
  open(context, session, packet, verdict)
}

function open (context: HandlerContext, session: Session, packet: EventPacket, verdict: Verdict | null): void {
  // A listener of each event may close the socket.
  if (session.state === 'closed') return
  if (verdict?.kind === 'refused') settle(session, verdict)
  if (session.state as string === 'closed') return

  const { pingTimeout } = context.host.options
  const status: ConnectStatus = { id: session.id, pingTimeout, isAuthenticated: session.authToken !== null }
  if (verdict?.kind === 'refused') status.authError = verdict.authError as Error
  context.connections.opened(session, status)
  if (session.state as string !== 'open') return
  if (verdict?.kind === 'accepted') settle(session, verdict)
  if (packet.cid === undefined || session.state as string !== 'open') return
  const authError = verdict?.kind === 'refused' ? dehydrateError(verdict.shown) : undefined
  session.outbound.ack(packet.cid, { id: session.id, pingTimeout, isAuthenticated: session.authToken !== null, authError })
}

/**
 * Authenticates with the token of the client, unless a `handshakeSC` hook set one. Without a token, uses the user that a hook of
 * the upgrade request verified.
 */
function authenticateHandshake (context: HandlerContext, session: Session, packet: EventPacket): Verdict | Promise<Verdict> | null {
  // A hook called `setAuthToken`: its claims need no verification, and its events were emitted.
  if (session.authToken !== null) return null
  const signedToken = (typeof packet.data === 'object' && packet.data !== null ? packet.data as { authToken?: unknown } : {}).authToken
  if (signedToken !== undefined && signedToken !== null) return authenticate(context, session, signedToken)
  const { authFromRequest } = context.host.options
  const user = session.handshake?.user ?? (authFromRequest ? handshakeUser(session.fastifyRequest, context.tokens.userProperty) : null)
  return user === null ? null : authenticateUser(context, session, user)
}

function reject (context: HandlerContext, session: Session, packet: EventPacket, thrown: unknown): void {
  const { error, detail } = toBlock('handshakeSC', thrown)
  const code = closeCode(error, detail)
  refuseBlocked(context, session, packet.cid, { line: 'handshakeSC', thrown }, { code })
  session.disconnect(code)
}

/** Returns the close code of a rejected handshake: `err.statusCode`, or the second argument of `next`, or 4008. */
function closeCode (error: unknown, detail: unknown): number {
  const statusCode = read(error, 'statusCode')
  for (const code of [statusCode, detail]) {
    if (isSendableCloseCode(code)) return code
  }
  return 4008
}
