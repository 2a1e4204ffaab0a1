import type { ScAuthToken } from '../../types/auth.js'
import type { AuthState, ScServerSocket, ServerEvents, SocketEvents } from '../../types/server.js'

/** What a socket's token is. Everybody may read it; only this file writes it. */
interface TokenState {
  authState: AuthState
  authToken: ScAuthToken | null
  signedAuthToken: string | null
  /** Counts what was decided about the token: an attempt that began before must not undo it. */
  authVersion: number
  /** Claims are gone that subscriptions were granted for, and these have not been checked since. */
  unchecked: boolean
}

/** What is needed of a socket. An interface, so that this file imports nothing above it. */
export interface TokenHolder extends TokenState {
  /** What the application sees. */
  readonly socket: ScServerSocket
  readonly withheld: object | null
  readonly host: {
    fire<E extends keyof ServerEvents> (event: E, ...args: ServerEvents[E]): void
    tokenChanged (socket: any): void
    withhold (socket: any): void
    revalidate (socket: any): void
  }
  fireLocal<E extends keyof SocketEvents> (event: E, ...args: SocketEvents[E]): void
}

/** A change that was made, to be announced by `announceToken` or `announceLoss`. */
export interface TokenChange {
  readonly oldState: AuthState
  readonly oldToken: ScAuthToken | null
  readonly version: number
}

/** The socket has these claims from now on. */
export function replaceToken (socket: TokenHolder, claims: ScAuthToken, signedToken: string | null): TokenChange {
  const { authState: oldState, authToken: oldToken } = socket
  socket.authState = 'authenticated'
  socket.authToken = claims
  socket.signedAuthToken = signedToken
  socket.authVersion++
  socket.host.tokenChanged(socket)
  if (oldToken !== null) lost(socket)
  return { oldState, oldToken, version: socket.authVersion }
}

/** The claims were signed in the meantime. False when they are not the socket's any more. */
export function tokenSigned (socket: TokenHolder, claims: ScAuthToken, signedToken: string): boolean {
  if (socket.authToken !== claims) return false
  socket.signedAuthToken = signedToken
  // Signing may have added the end of its life.
  socket.host.tokenChanged(socket)
  return true
}

/** The socket has no claims from now on. */
export function removeToken (socket: TokenHolder): TokenChange {
  socket.authVersion++
  return takeToken(socket)
}

/**
 * The claims ran out. Nobody decided that, so an attempt under way goes on: it may well be the one that renews them.
 */
export function expireToken (socket: TokenHolder): void {
  announceLoss(socket, takeToken(socket))
}

/** What is being decided about the socket's token does not count any more. */
export function supersedeAttempts (socket: TokenHolder): void {
  socket.authVersion++
}

function takeToken (socket: TokenHolder): TokenChange {
  const { authState: oldState, authToken: oldToken } = socket
  socket.authState = 'unauthenticated'
  socket.authToken = null
  socket.signedAuthToken = null
  socket.host.tokenChanged(socket)
  if (oldToken !== null) lost(socket)
  return { oldState, oldToken, version: socket.authVersion }
}

/** What the old claims allowed is held back at once: listeners that are told of the change may publish. */
function lost (socket: TokenHolder): void {
  socket.unchecked = true
  socket.host.withhold(socket)
}

/** Every announcement ends here, whichever of its events a listener made untrue: a token of a listener's may allow less than the old one. */
function recheck (socket: TokenHolder): void {
  if (!socket.unchecked) return
  socket.unchecked = false
  socket.host.revalidate(socket)
}

/** The events of a socket that was given its token. Those that a listener has made untrue meanwhile are left out. */
export function announceToken (socket: TokenHolder, change: TokenChange): void {
  tellToken(socket, change)
  recheck(socket)
}

function tellToken (socket: TokenHolder, { oldState, version }: TokenChange): void {
  const { authToken } = socket
  if (socket.authVersion !== version || authToken === null) return
  if (oldState !== 'authenticated') {
    const change = { oldState, newState: socket.authState, authToken }
    socket.fireLocal('authStateChange', change)
    socket.host.fire('authenticationStateChange', socket.socket, change)
    if (socket.authToken !== authToken) return
  }
  socket.fireLocal('authenticate', authToken)
  socket.host.fire('authentication', socket.socket, authToken)
  // What was withheld may be allowed now.
  if (socket.withheld !== null) socket.unchecked = true
}

/** The events of a socket that lost its token, or was found to have none. */
export function announceLoss (socket: TokenHolder, change: TokenChange): void {
  tellLoss(socket, change)
  recheck(socket)
}

function tellLoss (socket: TokenHolder, { oldState, oldToken }: TokenChange): void {
  if (oldState !== 'unauthenticated') {
    const change = { oldState, newState: 'unauthenticated' as const }
    socket.fireLocal('authStateChange', change)
    socket.host.fire('authenticationStateChange', socket.socket, change)
    // Whoever was told and logged it in again has told of that.
    if (socket.authToken !== null) return
  }
  socket.fireLocal('deauthenticate', oldToken)
  socket.host.fire('deauthentication', socket.socket, oldToken)
}
