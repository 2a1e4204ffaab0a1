import { scError } from '../errors.js'
import type { ScMailbox } from '../../types/testing.js'

interface Waiting<T> {
  settle (result: IteratorResult<T, undefined>): void
}

/** Keeps received items until they are read. */
export class Mailbox<T> implements ScMailbox<T> {
  readonly #all: T[] = []
  readonly #what: string
  readonly #timeout: number
  #read = 0
  #waiting: Array<Waiting<T>> = []
  #ended = false

  /**
   * @param what the name of the items in errors
   * @param timeout the default timeout of `next`, in milliseconds
   */
  constructor (what: string, timeout: number) {
    this.#what = what
    this.#timeout = timeout
  }

  get received (): readonly T[] {
    return this.#all
  }

  put (value: T): void {
    if (this.#ended) return
    this.#all.push(value)
    const waiting = this.#waiting.shift()
    if (waiting === undefined) return
    this.#read++
    waiting.settle({ done: false, value })
  }

  /** Ends the mailbox. Items that it already has can still be read. */
  end (): void {
    this.#ended = true
    for (const waiting of this.#waiting) waiting.settle({ done: true, value: undefined })
    this.#waiting = []
  }

  /** Opens an ended mailbox again for new items. */
  reopen (): void {
    this.#ended = false
  }

  async next (timeout: number = this.#timeout): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const result = await new Promise<IteratorResult<T, undefined>>((resolve, reject) => {
      const waiting = this.#take(resolve)
      if (waiting === null) return
      timer = setTimeout(() => {
        this.#forget(waiting)
        reject(scError('SC_ERR_NOTHING_CAME', [this.#what, timeout]))
      }, timeout)
    }).finally(() => clearTimeout(timer))
    if (result.done === true) throw scError('SC_ERR_NOTHING_COMES', [this.#what])
    return result.value
  }

  [Symbol.asyncIterator] (): AsyncIterator<T, undefined> {
    return {
      next: () => new Promise((resolve) => { this.#take(resolve) }),
      return: () => Promise.resolve({ done: true, value: undefined })
    }
  }

  /** Settles immediately if an item is available or the mailbox has ended. */
  #take (settle: Waiting<T>['settle']): Waiting<T> | null {
    if (this.#read < this.#all.length) {
      settle({ done: false, value: this.#all[this.#read++] as T })
      return null
    }
    if (this.#ended) {
      settle({ done: true, value: undefined })
      return null
    }
    const waiting = { settle }
    this.#waiting.push(waiting)
    return waiting
  }

  #forget (waiting: Waiting<T>): void {
    this.#waiting = this.#waiting.filter((other) => other !== waiting)
  }
}
