import type { BrokerHistoryLimits } from '../../../types/broker.js'
import type { ResolvedHistoryOptions } from './history-options.js'
import type { Requests } from './requests.js'
import { nanoseconds, StreamApi, type ApiAnswer, type StreamConfig } from './stream-api.js'

/**
 * A message is kept for a day at least, and twice as long as its ttl. Readers leave out what is older than the ttl; until then, a
 * client that comes back to a quiet channel can still learn that it missed nothing.
 */
const minAge = 86_400_000
const ageFactor = 2
/** 100 years: JetStream counts nanoseconds in 64 bits, which end after 292 years. */
const maxAge = 36_525 * 86_400_000

/**
 * The stream that keeps the frames of all channels and publishes each to the topic of its channel. It grows with what channels need
 * and never shrinks: a node does not know what the channels of other nodes need.
 */
export class HistoryStream {
  readonly name: string
  readonly #api: StreamApi
  readonly #prefix: string
  readonly #options: ResolvedHistoryOptions
  /** What the stream must keep at least: frames of a channel, and milliseconds. */
  readonly #needed = { frames: 101, age: minAge }
  /** What it keeps. */
  #kept = { frames: 0, age: 0 }
  #pending: Promise<void> | null = null

  constructor (requests: Requests, prefix: string, options: ResolvedHistoryOptions, version: string) {
    this.name = `${prefix}-history`
    this.#api = new StreamApi(requests, this.name, version)
    this.#prefix = prefix
    this.#options = options
  }

  /** Whether several servers keep it. */
  get isReplicated (): boolean {
    return this.#options.replicas > 1
  }

  /** The subject that keeps the frames of a topic. */
  subjectOf (topic: string): string {
    return `${this.#prefix}.h.${topic.slice(this.#prefix.length + 3)}`
  }

  /** Creates the stream if it does not exist, or changes it to the options. Several calls at the same time are one. */
  ensure (): Promise<void> {
    return (this.#pending ??= this.#ensure().finally(() => { this.#pending = null }))
  }

  /** Settles when the leader of a replicated stream has applied everything that was accepted. */
  async settle (): Promise<void> {
    // Two tokens: the subject of no channel.
    if (this.isReplicated) await this.#api.settle(`${this.#prefix}.h.all.applied`)
  }

  /** Makes the stream keep what the limits of a channel require. */
  async reserve ({ size, ttl }: BrokerHistoryLimits): Promise<void> {
    // The frame before the first message proves the position of a client that has all messages up to it.
    const frames = size + 1
    const age = Math.min(ttl * ageFactor, maxAge)
    this.#needed.frames = Math.max(this.#needed.frames, frames)
    this.#needed.age = Math.max(this.#needed.age, age)
    while (frames > this.#kept.frames || age > this.#kept.age) await this.ensure()
  }

  /** Calls JetStream's API. */
  api (call: string, data: object): Promise<ApiAnswer> {
    return this.#api.call(call, data)
  }

  async #ensure (): Promise<void> {
    const wanted = await this.#api.ensure((found) => this.#wanted(found))
    this.#kept = { frames: wanted.max_msgs_per_subject, age: wanted.max_age / nanoseconds }
  }

  /** @param found the configuration in use. Other nodes may need more than this one */
  #wanted (found?: StreamConfig): StreamConfig {
    const { storage, replicas, maxBytes } = this.#options
    return {
      name: this.name,
      subjects: [`${this.#prefix}.h.>`],
      retention: 'limits',
      discard: 'old',
      storage,
      num_replicas: replicas,
      max_bytes: maxBytes,
      max_msgs_per_subject: Math.max(this.#needed.frames, found?.max_msgs_per_subject ?? 0),
      max_age: Math.max(this.#needed.age * nanoseconds, found?.max_age ?? 0),
      allow_direct: true,
      republish: { src: `${this.#prefix}.h.>`, dest: `${this.#prefix}.c.>` }
    }
  }
}
