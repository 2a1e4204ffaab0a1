import type { ScStream } from '../types/exchange.js'
import { checkTimeout } from './arguments.js'
import { scError } from './errors.js'
import { handled } from './promises.js'

/** The maximum number and bytes of values that may wait for a loop. Above either limit the oldest values are dropped. */
const maxValues = 10_000
const maxBytes = 16_777_216

/** Counts the values that loops keep in memory: those that wait for a slow loop, and the one that a loop is processing. */
export interface StreamKeeper {
  /** Whether to also count the value that a loop is processing. Not needed by a keeper that only limits waiting values. */
  readonly countsBusy: boolean
  /** Counts a value. @param data the part of it that is in memory @returns its bytes, for `release` */
  hold (data: unknown): number
  release (bytes: number): void
  /** Reports that a loop exceeded a limit and its oldest values are dropped. Called once until the loop has read all values. */
  behind (err: Error): void
}

/** The statistics of a loop over a stream. */
export interface ConsumerStats {
  readonly id: number
  /** The number of values that wait for the loop. */
  readonly backpressure: number
  readonly stream: string
}

/**
 * A stream of values for async iteration. Each `for await` loop receives the values that are written after it started, in order.
 * Values that are written while no loop is reading are lost.
 */
export class Stream<T> implements ScStream<T> {
  readonly #consumers = new Set<Consumer<T>>()
  /** Ended loops that have not yet read all waiting values. */
  #closing: Set<Consumer<T>> | null = null
  readonly #keeper: StreamKeeper
  readonly #nextId: () => number
  #closed = false
  /** Called when no value waits for a loop any more. */
  #idle: Array<() => void> | null = null

  /** @param name the name in errors @param nextId returns the ids of the stream's loops */
  constructor (readonly name: string, keeper: StreamKeeper, nextId: () => number = () => 1) {
    this.#keeper = keeper
    this.#nextId = nextId
  }

  /** Whether any loop is reading. */
  get active (): boolean {
    return this.#consumers.size !== 0
  }

  /** Writes a value for all loops. @param data the part of the value that counts as memory */
  write (value: T, data: unknown): void {
    for (const consumer of this.#consumers) consumer.push(value, data)
  }

  /** Ends all loops after they have read the queued values. Loops that start later end immediately. */
  close (): void {
    this.#closed = true
    this.#endAll(false)
  }

  /** Ends the current loops, with `kill` immediately, else after they have read the queued values. */
  stop (kill: boolean): void {
    this.#endAll(kill)
  }

  #endAll (kill: boolean): void {
    for (const consumer of this.#all) {
      consumer.stop(kill)
      this.#consumers.delete(consumer)
      if (consumer.backpressure !== 0) (this.#closing ??= new Set()).add(consumer)
    }
  }

  get #all (): Array<Consumer<T>> {
    return this.#closing === null ? [...this.#consumers] : [...this.#consumers, ...this.#closing]
  }

  consumer (id: unknown): Consumer<T> | undefined {
    return this.#all.find((consumer) => consumer.id === id)
  }

  consumerStats (): ConsumerStats[] {
    return this.#all.map(({ id, backpressure }) => ({ id, backpressure, stream: this.name }))
  }

  /** Returns the number of values that wait for the slowest loop. */
  getBackpressure (): number {
    let most = 0
    for (const consumer of this.#all) most = Math.max(most, consumer.backpressure)
    return most
  }

  /** Returns a promise that resolves when no value waits for a loop; nothing if none waits now. */
  idle (): Promise<void> | undefined {
    if (this.getBackpressure() === 0) return undefined
    return new Promise((resolve) => { (this.#idle ??= []).push(resolve) })
  }

  #onRead (): void {
    if (this.#idle === null || this.getBackpressure() !== 0) return
    const waiting = this.#idle
    this.#idle = null
    for (const resolve of waiting) resolve()
  }

  [Symbol.asyncIterator] (): AsyncIterator<T, undefined> {
    const consumer = new Consumer<T>(this.#nextId(), this.name, this.#keeper, (isOver) => {
      if (isOver) {
        this.#consumers.delete(consumer)
        this.#closing?.delete(consumer)
      }
      this.#onRead()
    })
    if (this.#closed) consumer.stop(false)
    else this.#consumers.add(consumer)
    return consumer
  }

  /** Resolves with the next value. Its `TimeoutError` never becomes an unhandled rejection. */
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
      // When the stream ends without a value the promise stays pending, as in SocketCluster: the socket is closed.
      return result.done === true ? await new Promise<T>(() => {}) : result.value
    } finally {
      clearTimeout(timer)
      await consumer.return?.()
    }
  }
}

/** One loop over a stream. */
export class Consumer<T> implements AsyncIterator<T, undefined> {
  readonly #name: string
  readonly #keeper: StreamKeeper
  /** Called when no value waits. @param isOver whether the loop has ended */
  readonly #onRead: (isOver: boolean) => void
  #queue: T[] = []
  /** The bytes of each queued value. */
  #sizes: number[] = []
  #bytes = 0
  /** The bytes of the value that the loop is processing. The loop requests the next value when it is done. */
  #busyBytes = 0
  #behind = false
  #waiting: Array<(result: IteratorResult<T, undefined>) => void> = []
  #ended = false

  constructor (readonly id: number, name: string, keeper: StreamKeeper, onRead: (isOver: boolean) => void) {
    this.#name = name
    this.#keeper = keeper
    this.#onRead = onRead
  }

  get backpressure (): number {
    return this.#queue.length
  }

  push (value: T, data: unknown): void {
    const waiting = this.#waiting.shift()
    if (waiting !== undefined) {
      if (this.#keeper.countsBusy) this.#busyBytes += this.#keeper.hold(data)
      waiting({ done: false, value })
      return
    }
    const bytes = this.#keeper.hold(data)
    this.#queue.push(value)
    this.#sizes.push(bytes)
    this.#bytes += bytes
    while (this.#queue.length > 1 && (this.#queue.length > maxValues || this.#bytes > maxBytes)) {
      this.#keeper.release(this.#shift().bytes)
      if (this.#behind) continue
      this.#behind = true
      this.#keeper.behind(scError('SC_ERR_STREAM_BEHIND', [this.#name, this.#queue.length]))
    }
  }

  #shift (): { value: T, bytes: number } {
    const bytes = this.#sizes.shift()!
    this.#bytes -= bytes
    return { value: this.#queue.shift()!, bytes }
  }

  #done (): void {
    const bytes = this.#busyBytes
    this.#busyBytes = 0
    if (bytes !== 0) this.#keeper.release(bytes)
  }

  /** Ends the loop after it has read the queued values. @param kill drops the queued values */
  stop (kill: boolean): void {
    if (kill) this.#drop()
    this.#ended = true
    this.#endIfRead()
    for (const waiting of this.#waiting) waiting({ done: true, value: undefined })
    this.#waiting = []
  }

  #endIfRead (): void {
    if (this.#ended && this.#queue.length === 0) this.#onRead(true)
  }

  #drop (): void {
    this.#keeper.release(this.#bytes)
    this.#queue = []
    this.#sizes = []
    this.#bytes = 0
  }

  next (): Promise<IteratorResult<T, undefined>> {
    this.#done()
    if (this.#queue.length !== 0) {
      const { value, bytes } = this.#shift()
      this.#busyBytes = bytes
      if (this.#queue.length === 0) {
        this.#behind = false
        this.#onRead(this.#ended)
      }
      return Promise.resolve({ done: false, value })
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  return (): Promise<IteratorResult<T, undefined>> {
    this.#done()
    this.stop(true)
    return Promise.resolve({ done: true, value: undefined })
  }
}
