import { setTimeout as sleep } from 'node:timers/promises'
import type { Msg } from '@nats-io/transport-node'
import type { BrokerHistoryLimits } from '../../../types/broker.js'
import type { ResolvedHistoryOptions } from './history-options.js'
import { status, statusOf, textOf, type Requests } from './requests.js'

/** The configuration of a stream, as JetStream's API has it. Other fields keep their values. */
interface StreamConfig {
  readonly name: string
  readonly subjects: readonly string[]
  readonly retention: string
  readonly discard: string
  readonly storage: string
  readonly num_replicas: number
  readonly max_bytes: number
  readonly max_msgs_per_subject: number
  /** Nanoseconds. */
  readonly max_age: number
  readonly allow_direct: boolean
  readonly republish: { readonly src: string, readonly dest: string, readonly headers_only?: boolean }
}

/** An answer of JetStream's API. */
export interface ApiAnswer {
  readonly error?: { readonly code: number, readonly err_code?: number, readonly description?: string }
  readonly config?: StreamConfig
  /** The data is in base64. */
  readonly message?: { readonly seq: number, readonly data?: string }
}

/** Errors of JetStream's API. */
export const apiError = { noMessage: 10_037, noStream: 10_059, nameInUse: 10_058, wrongLastSequence: 10_071 } as const

/**
 * A message is kept for a day at least, and twice as long as its ttl. Readers leave out what is older than the ttl; until then, a
 * client that comes back to a quiet channel can still learn that it missed nothing.
 */
const minAge = 86_400_000
const ageFactor = 2
/** 100 years: JetStream counts nanoseconds in 64 bits, which end after 292 years. */
const maxAge = 36_525 * 86_400_000

const nanoseconds = 1_000_000
/** Milliseconds between two looks for a leader. */
const leaderPause = 100

/**
 * The stream that keeps the frames of all channels and publishes each to the topic of its channel. It grows with what channels need
 * and never shrinks: a node does not know what the channels of other nodes need.
 */
export class HistoryStream {
  readonly name: string
  readonly #requests: Requests
  readonly #prefix: string
  readonly #options: ResolvedHistoryOptions
  readonly #version: string
  /** What the stream must keep at least: frames of a channel, and milliseconds. */
  readonly #needed = { frames: 101, age: minAge }
  /** What it keeps. */
  #kept = { frames: 0, age: 0 }
  #pending: Promise<void> | null = null

  constructor (requests: Requests, prefix: string, options: ResolvedHistoryOptions, version: string) {
    this.name = `${prefix}-history`
    this.#requests = requests
    this.#prefix = prefix
    this.#options = options
    this.#version = version
  }

  /** Whether several servers keep it. */
  get isReplicated (): boolean {
    return this.#options.replicas > 1
  }

  /** The subject that keeps the frames of a topic. */
  subjectOf (topic: string): string {
    return `${this.#prefix}.h.${topic.slice(this.#prefix.length + 3)}`
  }

  /** Creates the stream, or changes it to the options. Several calls at the same time are one. */
  ensure (): Promise<void> {
    return (this.#pending ??= this.#ensure().finally(() => { this.#pending = null }))
  }

  /**
   * Settles when the leader of a replicated stream has applied everything that was accepted. Before version 2.11 a new leader
   * answers earlier, as if it did not have the last messages. It takes messages one after the other, and answers when they are
   * applied: so it has all before one that it answered.
   */
  async settle (): Promise<void> {
    if (!this.isReplicated) return
    // Two tokens: the subject of no channel.
    const append = (): Promise<Msg> => this.#requests.ask(`${this.#prefix}.h.all.applied`, '')
    let answer = await append()
    // Until there is a leader, or until nobody waits any more.
    for (; statusOf(answer) === status.noResponders; answer = await append()) await sleep(leaderPause)
    checked(JSON.parse(textOf(answer)) as ApiAnswer)
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
  async api (call: string, data: object): Promise<ApiAnswer> {
    const answer = await this.#requests.ask(`$JS.API.STREAM.${call}.${this.name}`, JSON.stringify(data))
    if (statusOf(answer) === status.noResponders) throw new Error(`histories need JetStream, which this server (version ${this.#version}) does not offer: start nats-server with -js, or leave out the option history of natsBroker`)
    return JSON.parse(textOf(answer)) as ApiAnswer
  }

  async #ensure (): Promise<void> {
    let answer = await this.api('INFO', {})
    if (answer.error?.err_code === apiError.noStream) {
      answer = await this.api('CREATE', this.#wanted())
      // Another node was faster.
      if (answer.error?.err_code === apiError.nameInUse) answer = await this.api('INFO', {})
    }
    const { storage } = this.#options
    const found = checked(answer).config!
    if (found.storage !== storage) throw new Error(`the stream "${this.name}" has the storage '${found.storage}', and the option history.storage of natsBroker is '${storage}': change the option, or delete the stream`)
    const wanted = this.#wanted(found)
    if (!isSame(found, wanted)) checked(await this.api('UPDATE', { ...found, ...wanted }))
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

/** @throws Error for an answer that is an error of the API */
export function checked<Answer extends ApiAnswer> (answer: Answer): Answer {
  const { error } = answer
  if (error === undefined) return answer
  throw new Error(`JetStream answered: ${error.description ?? 'an error'} (${error.err_code ?? error.code}); see the option history of natsBroker`)
}

function isSame (found: StreamConfig, wanted: StreamConfig): boolean {
  return Object.entries(wanted).every(([name, value]) => {
    if (name !== 'republish') return JSON.stringify(found[name as keyof StreamConfig]) === JSON.stringify(value)
    const { republish } = found
    return republish?.src === wanted.republish.src && republish.dest === wanted.republish.dest && republish.headers_only !== true
  })
}
