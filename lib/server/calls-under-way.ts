import { attempt } from '../barrier.js'

/** A hook or a handler that is still running. */
interface Pending {
  /** Ends the call with an error. */
  expire (): void
}

/** The calls over HTTP whose hooks or handlers are still running. A closing server waits for them as for answers to sockets. */
export class CallsUnderWay {
  readonly #waits = new Set<Pending>()
  #done: (() => void) | null = null

  add (wait: Pending): void {
    this.#waits.add(wait)
  }

  delete (wait: Pending): void {
    if (!this.#waits.delete(wait) || this.#waits.size !== 0 || this.#done === null) return
    // The handler is added after the hook before it was deleted.
    setImmediate(() => { if (this.#waits.size === 0) this.#done?.() })
  }

  /** Settles when no hook and no handler is running any more. Calls that take longer than `timeout` milliseconds get an error. */
  async drain (timeout: number): Promise<void> {
    if (this.#waits.size === 0) return
    const done = new Promise<void>((resolve) => { this.#done = resolve })
    const timer = setTimeout(() => {
      for (const wait of this.#waits) attempt(() => wait.expire())
    }, timeout)
    await done
    clearTimeout(timer)
  }
}
