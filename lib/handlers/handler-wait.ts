import type { Deadlines } from '../deadlines.js'
import { Owed } from '../socket/activity.js'
import type { Session } from '../socket/session.js'

/**
 * An action that continues asynchronously. It has a timeout, and its data count until it is done. Actions that are answered at
 * once do not need one.
 */
export class HandlerWait extends Owed {
  readonly #session: Session
  readonly #expired: (() => void) | null

  /** @param expired called when the timeout elapses; without it the action may continue, but its data no longer count */
  constructor (session: Session, deadlines: Deadlines, expired: (() => void) | null) {
    super()
    this.#session = session
    this.#expired = expired
    deadlines.add(this)
  }

  /** Counts the data that the handler was called with. */
  keep (data: unknown): this {
    if (this.heldBytes === 0) this.#session.activity.keep(this, data)
    return this
  }

  end (): void {
    this.cancel()
    this.#session.activity.forget(this)
  }

  expire (): void {
    this.end()
    // After the connection is gone nothing waits for the action.
    if (!this.#session.activity.ended) this.#expired?.()
  }

  fault (err: unknown): void {
    this.#session.fault(err)
  }
}
