import type { ScAuthToken } from '../../types/auth.js'
import { Timed } from '../deadlines.js'

/** The part of a session that this class uses. */
export interface Newcomer {
  readonly host: { readonly options: { readonly strictHandshake: boolean } }
  disconnect (code: number): void
  end (code: number): void
  fault (err: unknown): void
}

/** The deadline of a connection's handshake, counted from the upgrade. It expires with close code 4005. */
export class HandshakeWait extends Timed {
  readonly #newcomer: Newcomer
  /** Whether `#handshake` arrived. */
  begun = false
  /** The claims of a user that the request verified, beside those that a hook verified. */
  user: ScAuthToken | null = null

  constructor (newcomer: Newcomer) {
    super()
    this.#newcomer = newcomer
  }

  expire (): void {
    this.#newcomer.disconnect(4005)
  }

  fault (err: unknown): void {
    this.#newcomer.fault(err)
  }

  /**
   * With `strictHandshake`, ends a connection that sends another message before its handshake.
   * @returns whether the connection was ended
   */
  refuses (message: unknown): boolean {
    if (!this.#newcomer.host.options.strictHandshake || isHandshake(message)) return false
    this.#newcomer.end(4009)
    return true
  }
}

function isHandshake (message: unknown): boolean {
  return typeof message === 'object' && message !== null && (message as { event?: unknown }).event === '#handshake'
}
