import type { Deadlines } from '../deadlines.js'
import { Owed } from '../socket/activity.js'
import type { Session } from '../socket/session.js'

/** An action that goes on asynchronously: it has its time, and what it keeps counts until it is done. Most answer at once, and need none. */
export class HandlerWait extends Owed {
  readonly #session: Session
  readonly #expired: (() => void) | null

  /** @param expired called when its time is over; without it the action may go on, but counts no more */
  constructor (session: Session, deadlines: Deadlines, expired: (() => void) | null) {
    super()
    this.#session = session
    this.#expired = expired
    deadlines.add(this)
  }

  /** Its handler was called with these data, and they count. */
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
    // Of a connection that is gone nobody waits for anything.
    if (!this.#session.activity.ended) this.#expired?.()
  }

  fault (err: unknown): void {
    this.#session.fault(err)
  }
}
