import type { ScStream } from '../types/exchange.js'
import { checkTimeout } from './arguments.js'
import { scError } from './errors.js'
import { handled } from './promises.js'

/**
 * Values as async iterators. Each `for await` loop gets what is written after it started, in order;
 * what is written while nobody listens is gone.
 */
export class Stream<T> implements ScStream<T> {
  readonly #consumers = new Set<Consumer<T>>()
  #closed = false

  /** Whether anybody is reading. */
  get active (): boolean {
    return this.#consumers.size !== 0
  }

  write (value: T): void {
    for (const consumer of this.#consumers) consumer.push(value)
  }

  /** Ends all loops once they have read what is queued. */
  close (): void {
    this.#closed = true
    for (const consumer of this.#consumers) consumer.end()
    this.#consumers.clear()
  }

  [Symbol.asyncIterator] (): AsyncIterator<T, undefined> {
    const consumer = new Consumer<T>(() => this.#consumers.delete(consumer))
    if (this.#closed) consumer.end()
    else this.#consumers.add(consumer)
    return consumer
  }

  /** The next value. The promise may be left alone: its `TimeoutError` is nobody's unhandled rejection. */
  once (timeout?: number): Promise<T> {
    checkTimeout('once', timeout)
    return handled(this.#once(timeout))
  }

  async #once (timeout: number | undefined): Promise<T> {
    const consumer = this[Symbol.asyncIterator]()
    let timer: NodeJS.Timeout | undefined
    try {
      const next = consumer.next()
      const result = timeout === undefined
        ? await next
        : await Promise.race([next, new Promise<never>((_resolve, reject) => {
          timer = setTimeout(() => reject(scError('SC_ERR_STREAM_TIMEOUT', [timeout])), timeout)
        })])
      // A stream that ends without a value never fulfils, as in SocketCluster: its socket is gone.
      return result.done === true ? await new Promise<T>(() => {}) : result.value
    } finally {
      clearTimeout(timer)
      await consumer.return?.()
    }
  }
}

class Consumer<T> implements AsyncIterator<T, undefined> {
  readonly #onReturn: () => void
  #queue: T[] = []
  #waiting: Array<(result: IteratorResult<T, undefined>) => void> = []
  #ended = false

  constructor (onReturn: () => void) {
    this.#onReturn = onReturn
  }

  push (value: T): void {
    const waiting = this.#waiting.shift()
    if (waiting !== undefined) waiting({ done: false, value })
    else this.#queue.push(value)
  }

  end (): void {
    this.#ended = true
    for (const waiting of this.#waiting) waiting({ done: true, value: undefined })
    this.#waiting = []
  }

  next (): Promise<IteratorResult<T, undefined>> {
    if (this.#queue.length !== 0) return Promise.resolve({ done: false, value: this.#queue.shift()! })
    if (this.#ended) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  return (): Promise<IteratorResult<T, undefined>> {
    this.#queue = []
    this.end()
    this.#onReturn()
    return Promise.resolve({ done: true, value: undefined })
  }
}
