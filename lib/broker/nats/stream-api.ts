import { setTimeout as sleep } from 'node:timers/promises'
import type { Msg } from '@nats-io/transport-node'
import { status, statusOf, textOf, type Requests } from './requests.js'

/** The configuration of a stream, as JetStream's API has it. Other fields keep their values. */
export interface StreamConfig {
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
  readonly republish?: { readonly src: string, readonly dest: string, readonly headers_only?: boolean }
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

export const nanoseconds = 1_000_000
/** Milliseconds between two looks for a leader. */
const leaderPause = 100

/** JetStream's API for one stream. */
export class StreamApi {
  readonly name: string
  readonly #requests: Requests
  readonly #version: string

  /** @param version of the server, for error messages */
  constructor (requests: Requests, name: string, version: string) {
    this.name = name
    this.#requests = requests
    this.#version = version
  }

  async call (call: string, data: object): Promise<ApiAnswer> {
    const answer = await this.#requests.ask(`$JS.API.STREAM.${call}.${this.name}`, JSON.stringify(data))
    if (statusOf(answer) === status.noResponders) throw new Error(`histories need JetStream, which this server (version ${this.#version}) does not offer: start nats-server with -js, or leave out the option history of natsBroker`)
    return JSON.parse(textOf(answer)) as ApiAnswer
  }

  /**
   * Creates the stream, or changes it to what is wanted.
   * @param wantedOf returns the configuration; `found` is the one in use
   * @returns the configuration that it has now
   */
  async ensure (wantedOf: (found?: StreamConfig) => StreamConfig): Promise<StreamConfig> {
    let answer = await this.call('INFO', {})
    if (answer.error?.err_code === apiError.noStream) {
      answer = await this.call('CREATE', wantedOf())
      // Another node was faster.
      if (answer.error?.err_code === apiError.nameInUse) answer = await this.call('INFO', {})
    }
    const found = checked(answer).config!
    const wanted = wantedOf(found)
    if (found.storage !== wanted.storage) throw new Error(`the stream "${this.name}" has the storage '${found.storage}', and the option history.storage of natsBroker is '${wanted.storage}': change the option, or delete the stream`)
    if (!isSame(found, wanted)) checked(await this.call('UPDATE', { ...found, ...wanted }))
    return wanted
  }

  /**
   * Settles when the leader has applied everything that was accepted. Before version 2.11 a new leader of a replicated stream
   * answers earlier, as if it did not have the last messages. It takes messages one after the other, and answers when they are
   * applied: so it has all before one that it answered.
   * @param subject one of the stream that nothing else has
   */
  async settle (subject: string): Promise<void> {
    const append = (): Promise<Msg> => this.#requests.ask(subject, '')
    let answer = await append()
    // Until there is a leader, or until nobody waits any more.
    for (; statusOf(answer) === status.noResponders; answer = await append()) await sleep(leaderPause)
    checked(JSON.parse(textOf(answer)) as ApiAnswer)
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
    return republish?.src === wanted.republish!.src && republish.dest === wanted.republish!.dest && republish.headers_only !== true
  })
}
