import { type Guarded, follow } from '../barrier.js'
import { promiseOf } from '../promises.js'

/** Counts actions that wait or run asynchronously. */
export interface QueueObserver {
  /** @param data of the action @returns the bytes to pass to `endWaiting` */
  beginWaiting (data: unknown): number
  endWaiting (bytes: number): void
}

type Action = () => void | Promise<void>

interface Waiting {
  readonly action: Action
  readonly bytes: number
}

/**
 * Runs the actions of a key in the order in which they came. Actions run at once while none of their key is pending; otherwise
 * they wait for it. Other keys do not wait.
 */
export class KeyedQueue {
  #waiting: Map<string, Waiting[]> | null = null
  readonly #guarded: Guarded
  readonly #observer: QueueObserver
  /** Number of actions of all keys that wait or run asynchronously. */
  pending = 0

  /** @param guarded owner of the actions; gets what they throw or reject with once they have waited */
  constructor (guarded: Guarded, observer: QueueObserver) {
    this.#guarded = guarded
    this.#observer = observer
  }

  #begin (data: unknown): number {
    this.pending++
    return this.#observer.beginWaiting(data)
  }

  #end (bytes: number): void {
    this.pending--
    this.#observer.endWaiting(bytes)
  }

  /** Whether an action of a key is pending, so that another one would wait. */
  isBusy (key: string): boolean {
    return this.pending !== 0 && this.#waiting?.has(key) === true
  }

  /**
   * Runs an action, at once or after the pending ones of its key.
   * @param data data that the action keeps while it waits
   * @throws what the action throws, if it runs at once
   */
  run (key: string, action: Action, data: unknown): void {
    const queue = this.#waiting?.get(key)
    if (queue !== undefined) {
      queue.push({ action, bytes: this.#begin(data) })
      return
    }
    const running = promiseOf(action())
    if (running !== undefined) this.hold(key, running, data)
  }

  /** Makes later actions of a key wait for a promise that was not started by `run`. The key must not be busy. */
  hold (key: string, running: Promise<unknown>, data: unknown): void {
    const bytes = this.#begin(data)
    const waiting: Waiting[] = []
    ;(this.#waiting ??= new Map()).set(key, waiting)
    this.#await(key, waiting, bytes, running)
  }

  #await (key: string, queue: Waiting[], bytes: number, running: Promise<unknown>): void {
    follow(this.#guarded, running, () => this.#next(key, queue, bytes), (err) => {
      this.#guarded.fault(err)
      this.#next(key, queue, bytes)
    })
  }

  /** Drops all actions that have not begun. */
  clear (): void {
    if (this.#waiting === null) return
    const waiting = this.#waiting
    this.#waiting = null
    for (const queue of waiting.values()) {
      for (const { bytes } of queue.splice(0)) this.#end(bytes)
    }
  }

  /** Ends an action and runs the next ones of its key. @param bytes counted for the action that is done */
  #next (key: string, queue: Waiting[], bytes: number): void {
    for (;;) {
      this.#end(bytes)
      const next = queue.shift()
      if (next === undefined) {
        if (this.#waiting?.get(key) === queue) {
          this.#waiting.delete(key)
          if (this.#waiting.size === 0) this.#waiting = null
        }
        return
      }
      bytes = next.bytes
      try {
        const running = promiseOf(next.action())
        if (running !== undefined) {
          this.#await(key, queue, bytes, running)
          return
        }
      } catch (err) {
        this.#guarded.fault(err)
      }
    }
  }
}
