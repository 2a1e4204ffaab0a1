import { type Guarded, follow } from '../barrier.js'
import { promiseOf } from '../promises.js'

/** Told of actions that wait or run asynchronously. */
export interface LaneObserver {
  /** @returns the bytes that wait with it */
  beginWaiting (): number
  endWaiting (bytes: number): void
}

type Action = () => void | Promise<void>

/**
 * Keeps actions of one key in the order in which they came. While nothing is pending on a key its actions run at once;
 * those that come while one is pending wait for it. Other keys do not wait.
 */
export class Lanes {
  #waiting: Map<string, Array<{ readonly action: Action, readonly bytes: number }>> | null = null
  readonly #guarded: Guarded
  readonly #observer: LaneObserver | null
  /** Actions that wait or run asynchronously, of all keys. */
  pending = 0

  /** @param guarded in whose name the actions run: it gets what they throw or reject with once they have waited */
  constructor (guarded: Guarded, observer: LaneObserver | null = null) {
    this.#guarded = guarded
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

  /** @throws what the action throws, if it runs at once */
  run (key: string, action: Action): void {
    const queue = this.#waiting?.get(key)
    if (queue !== undefined) {
      queue.push({ action, bytes: this.#begin() })
      return
    }
    const running = promiseOf(action())
    if (running !== undefined) this.hold(key, running)
  }

  /** Makes the actions of a key that is not busy wait for something that was begun without `run`. */
  hold (key: string, running: Promise<unknown>): void {
    const bytes = this.#begin()
    ;(this.#waiting ??= new Map()).set(key, [])
    this.#await(key, bytes, running)
  }

  #await (key: string, bytes: number, running: Promise<unknown>): void {
    follow(this.#guarded, running, () => this.#next(key, bytes), (err) => {
      this.#guarded.fault(err)
      this.#next(key, bytes)
    })
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
      try {
        const running = promiseOf(next.action())
        if (running !== undefined) {
          this.#await(key, bytes, running)
          return
        }
      } catch (err) {
        this.#guarded.fault(err)
      }
    }
  }
}
