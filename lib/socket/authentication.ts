import type { ScAuthToken } from '../../types/auth.js'
import type { AuthState, ScServerSocket, ServerEvents, SocketEvents } from '../../types/server.js'
import type { TokenBucket } from './token-bucket.js'

/** What is needed of a session. */
export interface TokenHolder {
  /** What the application sees. */
  readonly socket: ScServerSocket
  readonly subscriptions: { readonly anyWithheld: boolean }
  readonly host: {
    fire<E extends keyof ServerEvents> (event: E, ...args: ServerEvents[E]): void
    tokenChanged (session: TokenHolder): void
    withhold (session: TokenHolder): void
    revalidate (session: TokenHolder): void
  }
  fireLocal<E extends keyof SocketEvents> (event: E, ...args: SocketEvents[E]): void
}

/** A change that was made, to be announced by `announce` or `announceLoss`. */
export interface TokenChange {
  readonly oldState: AuthState
  readonly oldToken: ScAuthToken | null
  readonly version: number
}

/** Who a socket is: its token. Everybody may read it; nobody else writes it. */
export class Authentication {
  readonly #holder: TokenHolder
  #state: AuthState = 'unauthenticated'
  #token: ScAuthToken | null = null
  #signedToken: string | null = null
  #version = 0
  /** Claims are gone that subscriptions were granted for, and these have not been checked since. */
  #unchecked = false
  /** Made with the first `#authenticate`. */
  attempts: TokenBucket | null = null

  constructor (holder: TokenHolder) {
    this.#holder = holder
  }

  get state (): AuthState { return this.#state }
  get token (): ScAuthToken | null { return this.#token }
  get signedToken (): string | null { return this.#signedToken }
  /** Counts what was decided about the token: an attempt that began before must not undo it. */
  get version (): number { return this.#version }

  /** The socket has these claims from now on. */
  replace (claims: ScAuthToken, signedToken: string | null): TokenChange {
    this.#version++
    return this.#change('authenticated', claims, signedToken)
  }

  /** The socket has no claims from now on. */
  clear (): TokenChange {
    this.#version++
    return this.#change('unauthenticated', null, null)
  }

  /** The claims ran out. Nobody decided that, so an attempt under way goes on: it may well be the one that renews them. */
  expire (): void {
    this.announceLoss(this.#change('unauthenticated', null, null))
  }

  /** What is being decided about the token does not count any more. */
  supersede (): void {
    this.#version++
  }

  /** The claims were signed in the meantime. False when they are not the socket's any more. */
  signed (claims: ScAuthToken, signedToken: string): boolean {
    if (this.#token !== claims) return false
    this.#signedToken = signedToken
    // Signing may have added the end of its life.
    this.#holder.host.tokenChanged(this.#holder)
    return true
  }

  #change (state: AuthState, token: ScAuthToken | null, signedToken: string | null): TokenChange {
    const change = { oldState: this.#state, oldToken: this.#token, version: this.#version }
    this.#state = state
    this.#token = token
    this.#signedToken = signedToken
    this.#holder.host.tokenChanged(this.#holder)
    if (change.oldToken !== null) {
      // What the old claims allowed is held back at once: listeners that are told of the change may publish.
      this.#unchecked = true
      this.#holder.host.withhold(this.#holder)
    }
    return change
  }

  /** The events of a socket that was given its token. Those that a listener has made untrue meanwhile are left out. */
  announce (change: TokenChange): void {
    this.#tell(change)
    this.#recheck()
  }

  /** The events of a socket that lost its token, or was found to have none. */
  announceLoss (change: TokenChange): void {
    this.#tellLoss(change)
    this.#recheck()
  }

  #tell ({ oldState, version }: TokenChange): void {
    const { socket, host } = this.#holder
    const authToken = this.#token
    if (this.#version !== version || authToken === null) return
    if (oldState !== 'authenticated') {
      const change = { oldState, newState: this.#state, authToken }
      this.#holder.fireLocal('authStateChange', change)
      host.fire('authenticationStateChange', socket, change)
      if (this.#token !== authToken) return
    }
    this.#holder.fireLocal('authenticate', authToken)
    host.fire('authentication', socket, authToken)
    // What was withheld may be allowed now.
    if (this.#holder.subscriptions.anyWithheld) this.#unchecked = true
  }

  #tellLoss ({ oldState, oldToken }: TokenChange): void {
    const { socket, host } = this.#holder
    if (oldState !== 'unauthenticated') {
      const change = { oldState, newState: 'unauthenticated' as const }
      this.#holder.fireLocal('authStateChange', change)
      host.fire('authenticationStateChange', socket, change)
      // Whoever was told and logged it in again has told of that.
      if (this.#token !== null) return
    }
    this.#holder.fireLocal('deauthenticate', oldToken)
    host.fire('deauthentication', socket, oldToken)
  }

  /** Every announcement ends here, whichever of its events a listener made untrue: a token of a listener's may allow less than the old one. */
  #recheck (): void {
    if (!this.#unchecked) return
    this.#unchecked = false
    this.#holder.host.revalidate(this.#holder)
  }
}
