import type { Deadlines } from '../deadlines.js'
import { Owed } from '../socket/activity.js'
import type { Guarded } from '../barrier.js'
import type { CallerActivity } from './context.js'

/** Whose action it is: a session, or a request over HTTP. */
interface Waiting extends Guarded {
  readonly activity: CallerActivity
}

/**
 * An action that continues asynchronously. It has a timeout, and its data count until it is done. Actions that are answered at
 * once do not need one.
 */
export class HandlerWait extends Owed {
  readonly #caller: Waiting
  readonly #expired: (() => void) | null

  /** @param expired called when the timeout elapses; without it the action may continue, but its data no longer count */
  constructor (caller: Waiting, deadlines: Deadlines, expired: (() => void) | null) {
    super()
    this.#caller = caller
    this.#expired = expired
    deadlines.add(this)
  }

  /** Counts the data that the handler was called with. */
  keep (data: unknown): this {
    if (this.heldBytes === 0) this.#caller.activity.keep(this, data)
    return this
  }

  end (): void {
    this.cancel()
    this.#caller.activity.forget(this)
  }

  expire (): void {
    this.end()
    // After the connection is gone nothing waits for the action.
    if (!this.#caller.activity.ended) this.#expired?.()
  }

  fault (err: unknown): void {
    this.#caller.fault(err)
  }
}
