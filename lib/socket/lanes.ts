import { isThenable } from '../promises.js'

/** Told of actions that wait or run asynchronously. */
export interface LaneObserver {
  /** @returns the bytes that wait with it */
  beginWaiting (): number
  endWaiting (bytes: number): void
}

/**
 * Keeps actions of one key in the order in which they came. While nothing is pending on a key its actions run at once;
 * those that come while one is pending wait for it. Other keys do not wait.
 */
export class Lanes {
  #waiting: Map<string, Array<{ readonly action: () => void | Promise<void>, readonly bytes: number }>> | null = null
  readonly #observer: LaneObserver | null
  /** Actions that wait or run asynchronously, of all keys. */
  pending = 0

  constructor (observer: LaneObserver | null = null) {
    this.#observer = observer
  }

  #begin (): number {
    this.pending++
    return this.#observer?.beginWaiting() ?? 0
  }

  #end (bytes: number): void {
    this.pending--
    this.#observer?.endWaiting(bytes)
  }

  /** Whether an action of a key is pending, so that another one would wait. */
  isBusy (key: string): boolean {
    return this.pending !== 0 && this.#waiting?.has(key) === true
  }

  /** @param action must not throw nor reject */
  run (key: string, action: () => void | Promise<void>): void {
    const queue = this.#waiting?.get(key)
    if (queue !== undefined) {
      queue.push({ action, bytes: this.#begin() })
      return
    }
    const result = action()
    if (isThenable(result)) this.hold(key, result)
  }

  /** Makes the actions of a key that is not busy wait for something that was begun without `run`; it must not reject. */
  hold (key: string, result: PromiseLike<unknown>): void {
    const bytes = this.#begin()
    ;(this.#waiting ??= new Map()).set(key, [])
    result.then(() => this.#next(key, bytes))
  }

  /** @param bytes of the action that is done */
  #next (key: string, bytes: number): void {
    const queue = this.#waiting!.get(key)!
    for (;;) {
      this.#end(bytes)
      const next = queue.shift()
      if (next === undefined) {
        this.#waiting!.delete(key)
        if (this.#waiting!.size === 0) this.#waiting = null
        return
      }
      bytes = next.bytes
      const result = next.action()
      if (isThenable(result)) {
        result.then(() => this.#next(key, bytes))
        return
      }
    }
  }
}
