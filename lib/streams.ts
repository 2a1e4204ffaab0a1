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

  [Symbol.asyncIterator] (): AsyncIterator<T, undefined> {
    const consumer = new Consumer<T>(this.#nextId(), this.name, this.#keeper, () => {
      this.#consumers.delete(consumer)
      this.#closing?.delete(consumer)
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
class Consumer<T> implements AsyncIterator<T, undefined> {
  readonly #name: string
  readonly #keeper: StreamKeeper
  readonly #onEnd: () => void
  #queue: T[] = []
  /** The bytes of each queued value. */
  #sizes: number[] = []
  #bytes = 0
  /** The bytes of the value that the loop is processing. The loop requests the next value when it is done. */
  #busyBytes = 0
  #behind = false
  #waiting: Array<(result: IteratorResult<T, undefined>) => void> = []
  #ended = false

  constructor (readonly id: number, name: string, keeper: StreamKeeper, onEnd: () => void) {
    this.#name = name
    this.#keeper = keeper
    this.#onEnd = onEnd
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
    if (this.#ended && this.#queue.length === 0) this.#onEnd()
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
      if (this.#queue.length === 0) this.#behind = false
      this.#endIfRead()
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

/**
 * The streams of one kind by name, with SocketCluster's statistics of them. `Values` maps names to the values of their streams.
 */
export class StreamSet<Values extends object> {
  readonly #streams = new Map<string, Stream<unknown>>()
  readonly #keeper: StreamKeeper
  #lastId = 0
  readonly #nextId = (): number => ++this.#lastId

  constructor (keeper: StreamKeeper) {
    this.#keeper = keeper
  }

  /** Returns the stream of a name, creating it on first use. */
  of<Name extends keyof Values & string> (name: Name): Stream<Values[Name]> {
    let stream = this.#streams.get(name)
    if (stream === undefined) this.#streams.set(name, stream = new Stream(name, this.#keeper, this.#nextId))
    return stream as Stream<Values[Name]>
  }

  /** Returns the stream of a name if a loop is reading it. */
  active<Name extends keyof Values & string> (name: Name): Stream<Values[Name]> | undefined {
    const stream = this.#streams.get(name)
    return stream?.active === true ? stream as Stream<Values[Name]> : undefined
  }

  /** Ends all loops, and closes the streams for loops that start later. */
  end (kill: boolean): void {
    for (const stream of this.#streams.values()) {
      if (kill) stream.stop(true)
      stream.close()
    }
  }

  /** Ends the current loops over one stream, or over all streams without `name`. */
  stop (kill: boolean, name?: string): void {
    if (name !== undefined) this.#streams.get(name)?.stop(kill)
    else for (const stream of this.#streams.values()) stream.stop(kill)
  }

  killConsumer (id: unknown): void { this.#consumer(id)?.stop(true) }
  consumerBackpressure (id: unknown): number { return this.#consumer(id)?.backpressure ?? 0 }
  consumerStats (id: unknown): ConsumerStats | undefined { return this.consumerStatsList().find((stats) => stats.id === id) }

  #consumer (id: unknown): Consumer<unknown> | undefined {
    for (const stream of this.#streams.values()) {
      const consumer = stream.consumer(id)
      if (consumer !== undefined) return consumer
    }
    return undefined
  }

  hasConsumer (id: unknown, name?: string): boolean {
    return name !== undefined ? this.#streams.get(name)?.consumer(id) !== undefined : this.#consumer(id) !== undefined
  }

  consumerCount (name?: string): number {
    return this.consumerStatsList(name).length
  }

  consumerStatsList (name?: string): ConsumerStats[] {
    if (name !== undefined) return this.#streams.get(name)?.consumerStats() ?? []
    return [...this.#streams.values()].flatMap((stream) => stream.consumerStats())
  }

  /** Returns the number of values that wait for the slowest loop over one stream, or over any stream without `name`. */
  backpressure (name?: string): number {
    if (name !== undefined) return this.#streams.get(name)?.getBackpressure() ?? 0
    let most = 0
    for (const stream of this.#streams.values()) most = Math.max(most, stream.getBackpressure())
    return most
  }
}
