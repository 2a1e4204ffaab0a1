import { brokerError } from '../errors.js'
import type { EngineSession } from './engine.js'

/** Topics in one call when everything is subscribed again, and how many such calls may be in flight. */
const resubscribeBatch = 1000
const resubscribeWindow = 8

/** A subscribe or unsubscribe that the engine has not answered. */
interface Operation {
  readonly sentAt: number
  readonly abort: (err: Error) => void
}

/** What the topics need of the connection. */
export interface TopicsPort {
  topicOf (channel: string): string
  /** The session in use; `null` while the engine is down. */
  readonly session: EngineSession | null
}

/** The topics of the channels to be delivered, and what of them the engine was asked for and has not confirmed. */
export class Topics {
  readonly #port: TopicsPort
  /** Channels to be delivered, by topic. */
  readonly #wanted = new Map<string, string>()
  readonly #operations = new Set<Operation>()
  #answeredAt = 0

  constructor (port: TopicsPort) {
    this.#port = port
  }

  /** Since when the engine has owed an answer; `Infinity` when it owes none. */
  get waitingSince (): number {
    const [oldest] = this.#operations
    // Thousands of subscribes at once may take longer than one; the engine lives as long as it answers any.
    return oldest === undefined ? Infinity : Math.max(oldest.sentAt, this.#answeredAt)
  }

  has (topic: string): boolean {
    return this.#wanted.has(topic)
  }

  /** The channel of a topic that is to be delivered. */
  channelOf (topic: string): string | undefined {
    return this.#wanted.get(topic)
  }

  subscribe (session: EngineSession, channels: readonly string[]): Promise<void> {
    const topics: string[] = []
    for (const channel of channels) {
      const topic = this.#port.topicOf(channel)
      if (this.#wanted.has(topic)) continue
      this.#wanted.set(topic, channel)
      topics.push(topic)
    }
    if (topics.length === 0) return Promise.resolve()
    return this.#operation(session.subscribe(topics)).catch((err: unknown) => {
      for (const topic of topics) this.#wanted.delete(topic)
      if (this.#port.session === session) this.#operation(session.unsubscribe(topics)).catch(() => {})
      throw err
    })
  }

  unsubscribe (channels: readonly string[]): Promise<void> {
    const topics: string[] = []
    for (const channel of channels) {
      const topic = this.#port.topicOf(channel)
      if (this.#wanted.delete(topic)) topics.push(topic)
    }
    // A session that is being opened looks at what is wanted once more when it is done.
    const { session } = this.#port
    if (session === null || topics.length === 0) return Promise.resolve()
    return this.#operation(session.unsubscribe(topics))
  }

  /**
   * Subscribes everything on a session that is being opened.
   * @param own topics of the node itself
   * @param progress called when the engine answered
   */
  async subscribeAll (session: EngineSession, own: readonly string[], progress: () => void): Promise<void> {
    const topics = [...own, ...this.#wanted.keys()]
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < topics.length) {
        await session.subscribe(topics.slice(next, next += resubscribeBatch))
        progress()
      }
    }
    await Promise.all(Array.from({ length: resubscribeWindow }, worker))
    const orphans = topics.slice(own.length).filter((topic) => !this.#wanted.has(topic))
    if (orphans.length > 0) await session.unsubscribe(orphans)
  }

  /** Everything that waits for the engine's answer fails. */
  fail (error: Error): void {
    for (const operation of [...this.#operations]) operation.abort(error)
  }

  /** Waits for the engine's word, but not longer than the session lives. */
  #operation (answered: Promise<unknown>): Promise<void> {
    return new Promise((resolve, reject) => {
      const operation: Operation = {
        sentAt: performance.now(),
        abort: (err) => {
          this.#operations.delete(operation)
          reject(err)
        }
      }
      this.#operations.add(operation)
      answered.then(() => {
        this.#answeredAt = performance.now()
        this.#operations.delete(operation)
        resolve()
      }, (err: unknown) => operation.abort(brokerError(err)))
    })
  }
}
