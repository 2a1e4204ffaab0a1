import { type Consumer, type ConsumerStats, Stream, type StreamKeeper } from './streams.js'

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
