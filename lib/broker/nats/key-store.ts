import { setTimeout as sleep } from 'node:timers/promises'
import type { EngineStore } from '../remote/engine.js'
import type { MakeHeaders } from './appending.js'
import type { ResolvedHistoryOptions } from './history-options.js'
import { status, statusOf, textOf, type Requests } from './requests.js'
import { apiError, checked, nanoseconds, StreamApi, type ApiAnswer, type StreamConfig } from './stream-api.js'

/** Maximum bytes of all keys with their values. Over it the oldest are forgotten. */
export const maxKeyBytes = 64 * 1024 * 1024
/** Milliseconds after which NATS drops a key: longer than any ttl, also by clocks that differ. */
export const maxKeyAge = 2 * 86_400_000
/** Attempts to create the stream for one write. */
const maxCreations = 2
/** Milliseconds before another one. */
const creationPause = 100

/** What the stream has of a key. */
interface Found {
  /** The sequence of its last message; 0 if there is none. */
  readonly seq: number
  /** `null` if it was removed, or its time is over. */
  readonly value: string | null
}

/**
 * The store on one connection: a stream that keeps the last message of each key, with the time when the value ends and the value.
 * A message is written only behind the one that was read. The stream is created when the first key comes.
 */
export class KeyStore implements EngineStore {
  readonly #requests: Requests
  readonly #api: StreamApi
  readonly #prefix: string
  readonly #options: ResolvedHistoryOptions
  readonly #headers: MakeHeaders
  #ensured: Promise<void> | null = null

  constructor (requests: Requests, prefix: string, options: ResolvedHistoryOptions, headers: MakeHeaders, version: string) {
    this.#requests = requests
    this.#api = new StreamApi(requests, `${prefix}-keys`, version)
    this.#prefix = prefix
    this.#options = options
    this.#headers = headers
  }

  async add (topic: string, value: string, ttl: number): Promise<string | null> {
    // Most keys are new.
    for (let seq = 0; ;) {
      if (await this.#write(topic, seq, value, ttl)) return null
      const found = await this.#read(topic)
      if (found.value !== null) return found.value
      seq = found.seq
    }
  }

  async replace (topic: string, expected: string, value: string | null, ttl: number): Promise<boolean> {
    for (;;) {
      const found = await this.#read(topic)
      if (found.value !== expected) return false
      // Another node may have replaced the value by itself meanwhile.
      if (await this.#write(topic, found.seq, value, ttl)) return true
    }
  }

  /** Writes a message behind the one with a sequence. Returns whether that one was the last of the topic. */
  async #write (topic: string, seq: number, value: string | null, ttl: number): Promise<boolean> {
    for (let creations = 0; ; creations++) {
      await this.#ensure()
      const text = value === null ? '' : `${Date.now() + ttl} ${value}`
      const answer = await this.#requests.ask(topic, text, this.#headers('Nats-Expected-Last-Subject-Sequence', String(seq)))
      if (statusOf(answer) !== status.noResponders) {
        const stored = JSON.parse(textOf(answer)) as ApiAnswer
        if (stored.error?.err_code === apiError.wrongLastSequence) return false
        checked(stored)
        return true
      }
      // Somebody deleted the stream, or it has no leader.
      this.#ensured = null
      if (creations === maxCreations) throw new Error(`the stream "${this.#api.name}" has no leader: nobody keeps the keys`)
      if (creations > 0) await sleep(creationPause)
    }
  }

  async #read (topic: string): Promise<Found> {
    await this.#ensure()
    const { message, error } = await this.#api.call('MSG.GET', { last_by_subj: topic })
    if (message === undefined) {
      if (error?.err_code === apiError.noStream) this.#ensured = null
      else if (error?.err_code !== apiError.noMessage) checked({ error })
      return { seq: 0, value: null }
    }
    const text = Buffer.from(message.data ?? '', 'base64').toString()
    const space = text.indexOf(' ')
    // By the clock of this process.
    const isOver = space === -1 || !(Number(text.slice(0, space)) > Date.now())
    return { seq: message.seq, value: isOver ? null : text.slice(space + 1) }
  }

  /** Creates the stream if it does not exist, once for all calls. */
  #ensure (): Promise<void> {
    return (this.#ensured ??= this.#create().catch((err: unknown) => {
      this.#ensured = null
      throw err
    }))
  }

  async #create (): Promise<void> {
    await this.#api.ensure(() => this.#wanted())
    // Two tokens: the subject of no key.
    if (this.#options.replicas > 1) await this.#api.settle(`${this.#prefix}.k.all.applied`)
  }

  #wanted (): StreamConfig {
    const { storage, replicas } = this.#options
    return {
      name: this.#api.name,
      subjects: [`${this.#prefix}.k.>`],
      retention: 'limits',
      discard: 'old',
      storage,
      num_replicas: replicas,
      max_bytes: maxKeyBytes,
      max_msgs_per_subject: 1,
      max_age: maxKeyAge * nanoseconds,
      // Only the leader knows the last value.
      allow_direct: false
    }
  }
}
