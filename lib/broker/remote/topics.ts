import { brokerError } from '../errors.js'
import type { EngineSession } from './engine.js'

/** Limits when all topics are subscribed again: topics in one call, and calls in flight. */
const resubscribeBatch = 1000
const resubscribeWindow = 8

/** A subscribe or unsubscribe that the engine has not answered. */
interface Operation {
  readonly sentAt: number
  readonly abort: (err: Error) => void
}

/** The part of the connection that the topics use. */
export interface TopicsPort {
  topicOf (channel: string): string
  /** The session in use; `null` while the engine is down. */
  readonly session: EngineSession | null
}

/** Tracks the topics of all subscribed channels, and the subscribes and unsubscribes that the engine has not confirmed. */
export class Topics {
  readonly #port: TopicsPort
  /** The subscribed channels, by topic. */
  readonly #wanted = new Map<string, string>()
  readonly #operations = new Set<Operation>()
  #answeredAt = 0

  constructor (port: TopicsPort) {
    this.#port = port
  }

  /** Time of the oldest request without an answer, by `performance.now()`; `Infinity` when there is none. */
  get waitingSince (): number {
    const [oldest] = this.#operations
    // Thousands of subscribes at once may exceed the timeout of one. The engine is alive as long as it answers any of them.
    return oldest === undefined ? Infinity : Math.max(oldest.sentAt, this.#answeredAt)
  }

  has (topic: string): boolean {
    return this.#wanted.has(topic)
  }

  /** The subscribed channel of a topic. */
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
    // A session that is being opened checks the wanted topics again at the end.
    const { session } = this.#port
    if (session === null || topics.length === 0) return Promise.resolve()
    return this.#operation(session.unsubscribe(topics))
  }

  /**
   * Subscribes all topics on a session that is being opened.
   * @param own topics of this node
   * @param progress called at each answer of the engine
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

  /** Fails everything that waits for the engine's answer. */
  fail (error: Error): void {
    for (const operation of [...this.#operations]) operation.abort(error)
  }

  /** Waits for the engine's answer, at most until the session is lost. */
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
