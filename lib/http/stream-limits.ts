import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { scError } from '../errors.js'
import type { Session } from '../socket/session.js'
import { textOf } from './operation-options.js'
import { callerKey } from './request-user.js'

/** The limits of streams. */
export interface StreamLimitOptions {
  /** The most streams of the process; 0 for no limit. */
  readonly maxStreams: number
  /** The most streams with the same key; 0 for no limit. */
  readonly maxStreamsPerKey: number
  /** The key by which the streams of a client are counted; by default its user, else its address. */
  readonly key?: ((request: FastifyRequest) => string) | undefined
}

/** Counts streams: all, and those of each user or address. A stream counts until its response is closed. */
export class StreamLimits {
  readonly #options: StreamLimitOptions
  readonly #byKey = new Map<string, number>()
  #total = 0

  constructor (options: StreamLimitOptions) {
    this.#options = options
  }

  get total (): number { return this.#total }
  /** Number of keys that are counted. */
  get size (): number { return this.#byKey.size }

  /** Counts a stream. @throws ResourceLimitError when there are too many */
  take (response: ServerResponse): void {
    const { maxStreams } = this.#options
    if (maxStreams !== 0 && this.#total >= maxStreams) throw scError('SC_ERR_SSE_STREAMS', [maxStreams])
    this.#total++
    response.once('close', () => { this.#total-- })
  }

  /** Counts a stream of a client that is known now. @throws RateLimitError when it has too many */
  takeKey (response: ServerResponse, session: Session): void {
    const { maxStreamsPerKey } = this.#options
    if (maxStreamsPerKey === 0) return
    const key = this.#keyOf(session)
    const count = this.#byKey.get(key) ?? 0
    if (count >= maxStreamsPerKey) throw scError('SC_ERR_SSE_STREAMS_OF_KEY', [maxStreamsPerKey])
    this.#byKey.set(key, count + 1)
    response.once('close', () => {
      const left = this.#byKey.get(key)! - 1
      if (left === 0) this.#byKey.delete(key)
      else this.#byKey.set(key, left)
    })
  }

  #keyOf ({ authToken, fastifyRequest }: Session): string {
    const { key } = this.#options
    return key === undefined ? callerKey(authToken, fastifyRequest.ip) : textOf('streams.key', key(fastifyRequest))
  }
}
