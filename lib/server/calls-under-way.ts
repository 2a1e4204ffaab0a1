import { attempt } from '../barrier.js'
import type { Timed } from '../deadlines.js'

/** The calls over HTTP whose handlers are still running. A closing server waits for them as for answers to sockets. */
export class CallsUnderWay {
  readonly #waits = new Set<Timed>()
  #done: (() => void) | null = null

  add (wait: Timed): void {
    this.#waits.add(wait)
  }

  delete (wait: Timed): void {
    if (this.#waits.delete(wait) && this.#waits.size === 0) this.#done?.()
  }

  /** Settles when no handler is running any more. Calls that take longer than `timeout` milliseconds get a TimeoutError. */
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
