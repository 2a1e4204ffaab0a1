import type { ScAuthToken } from '../../types/auth.js'
import type { AuthState, ScServerSocket, ServerEvents, SocketEvents } from '../../types/server.js'
import type { TokenBucket } from './token-bucket.js'

/** The part of a session that this class uses. */
export interface TokenHolder {
  /** The socket that the application sees. */
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

/** A token change whose events `announce` or `announceLoss` has to emit. */
export interface TokenChange {
  readonly oldState: AuthState
  readonly oldToken: ScAuthToken | null
  readonly version: number
}

/** The authentication state of a socket: its token. Only this class changes it. */
export class Authentication {
  readonly #holder: TokenHolder
  #state: AuthState = 'unauthenticated'
  #token: ScAuthToken | null = null
  #signedToken: string | null = null
  #version = 0
  /**
   * Whether subscriptions have to be checked again: the claims that allowed them are gone, or new claims may allow withheld
   * channels.
   */
  #unchecked = false
  /** Limits the rate of `#authenticate`; created with the first one. */
  attempts: TokenBucket | null = null

  constructor (holder: TokenHolder) {
    this.#holder = holder
  }

  get state (): AuthState { return this.#state }
  get token (): ScAuthToken | null { return this.#token }
  get signedToken (): string | null { return this.#signedToken }
  /**
   * Incremented on each decision about the token, but not when it expires. A verification that began earlier compares it and
   * gives up.
   */
  get version (): number { return this.#version }

  /** Sets the claims of the socket. The caller has to announce the change. */
  replace (claims: ScAuthToken, signedToken: string | null): TokenChange {
    this.#version++
    return this.#change('authenticated', claims, signedToken)
  }

  /** Removes the claims of the socket. The caller has to announce the change. */
  clear (): TokenChange {
    this.#version++
    return this.#change('unauthenticated', null, null)
  }

  /**
   * Removes expired claims and emits the events. Does not increment the version: a verification under way may be the one that
   * renews the token.
   */
  expire (): void {
    this.announceLoss(this.#change('unauthenticated', null, null))
  }

  /** Makes verifications under way stale. */
  supersede (): void {
    this.#version++
  }

  /** Stores the signed token of claims that were set before. @returns false when the socket has other claims by now */
  signed (claims: ScAuthToken, signedToken: string): boolean {
    if (this.#token !== claims) return false
    this.#signedToken = signedToken
    // Signing may have added an expiry.
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
      // Withheld before any event is emitted: listeners of the change may publish.
      this.#unchecked = true
      this.#holder.host.withhold(this.#holder)
    }
    return change
  }

  /** Emits the events of a new token. Events that a listener made outdated are left out. */
  announce (change: TokenChange): void {
    this.#tell(change)
    this.#recheck()
  }

  /** Emits the events of a socket that lost its token, or was found to have none. */
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
    // The new claims may allow withheld channels.
    if (this.#holder.subscriptions.anyWithheld) this.#unchecked = true
  }

  #tellLoss ({ oldState, oldToken }: TokenChange): void {
    const { socket, host } = this.#holder
    if (oldState !== 'unauthenticated') {
      const change = { oldState, newState: 'unauthenticated' as const }
      this.#holder.fireLocal('authStateChange', change)
      host.fire('authenticationStateChange', socket, change)
      // A listener set a new token, and that change already emitted its events.
      if (this.#token !== null) return
    }
    this.#holder.fireLocal('deauthenticate', oldToken)
    host.fire('deauthentication', socket, oldToken)
  }

  /**
   * Checks subscriptions again where needed. Runs after every announcement, also when a listener replaced the token meanwhile:
   * the token of the listener may allow less than the old one.
   */
  #recheck (): void {
    if (!this.#unchecked) return
    this.#unchecked = false
    this.#holder.host.revalidate(this.#holder)
  }
}
