import { Timed } from '../deadlines.js'

/** What is needed of a session. */
export interface Newcomer {
  readonly host: { readonly options: { readonly strictHandshake: boolean } }
  disconnect (code: number): void
  end (code: number): void
  fault (err: unknown): void
}

/** The time from a connection's upgrade to the end of its handshake. */
export class HandshakeWait extends Timed {
  readonly #newcomer: Newcomer
  /** Its `#handshake` came. */
  begun = false

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

  /** Who says anything else before its handshake is none of our clients. @returns whether it was ended for that */
  refuses (message: unknown): boolean {
    if (!this.#newcomer.host.options.strictHandshake || isHandshake(message)) return false
    this.#newcomer.end(4009)
    return true
  }
}

function isHandshake (message: unknown): boolean {
  return typeof message === 'object' && message !== null && (message as { event?: unknown }).event === '#handshake'
}
