import { isThenable } from '../promises.js'

/** Told of actions that wait or run asynchronously. */
export interface LaneObserver {
  beginWaiting (): void
  endWaiting (): void
}

/**
 * Keeps actions of one key in the order in which they came. While nothing is pending on a key its actions run at once;
 * those that come while one is pending wait for it. Other keys do not wait.
 */
export class Lanes {
  #waiting: Map<string, Array<() => void | Promise<void>>> | null = null
  readonly #observer: LaneObserver | null
  /** Actions that wait or run asynchronously, of all keys. */
  pending = 0

  constructor (observer: LaneObserver | null = null) {
    this.#observer = observer
  }

  #begin (): void {
    this.pending++
    this.#observer?.beginWaiting()
  }

  #end (): void {
    this.pending--
    this.#observer?.endWaiting()
  }

  /** @param action must not throw nor reject */
  run (key: string, action: () => void | Promise<void>): void {
    const queue = this.#waiting?.get(key)
    if (queue !== undefined) {
      this.#begin()
      queue.push(action)
      return
    }
    const result = action()
    if (isThenable(result)) {
      this.#begin()
      ;(this.#waiting ??= new Map()).set(key, [])
      result.then(() => this.#next(key))
    }
  }

  #next (key: string): void {
    const queue = this.#waiting!.get(key)!
    for (;;) {
      this.#end()
      const action = queue.shift()
      if (action === undefined) {
        this.#waiting!.delete(key)
        return
      }
      const result = action()
      if (isThenable(result)) {
        result.then(() => this.#next(key))
        return
      }
    }
  }
}
