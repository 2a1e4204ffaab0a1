import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node'
import type { EngineSession, EngineStore, OutboundFrame, SessionEvents, StoredRequest } from '../remote/engine.js'
import type { StoredHistory } from '../remote/history/stored.js'
import type { SessionHistory } from './history.js'
import { textOf } from './requests.js'

/** A session on one connection to NATS. It never reconnects. */
export class NatsSession implements EngineSession {
  readonly store?: EngineStore
  readonly #connection: NatsConnection
  readonly #events: SessionEvents
  readonly #owned: boolean
  /** `null` if the broker keeps no histories. */
  readonly #history: SessionHistory | null
  readonly #subscriptions = new Map<string, Subscription>()
  /** Errors of the topics that the server refused. */
  readonly #refused = new Map<string, Error>()
  /** Frames sent after the pending ping. */
  #unconfirmed: OutboundFrame[] = []
  #pinging = false
  readonly #sendLater = (frame: OutboundFrame): void => {
    // A connection of the application is still open.
    if (this.#closed) return
    this.#send(frame)
    if (!this.#pinging) this.#confirm()
  }

  #closed = false

  constructor (connection: NatsConnection, events: SessionEvents, owned: boolean, history: SessionHistory | null) {
    this.#connection = connection
    this.#events = events
    this.#owned = owned
    this.#history = history
    if (history !== null) this.store = history.store
    this.#watch()
    connection.closed().then((err) => this.#lost(err instanceof Error ? err : new Error('the connection was closed')))
  }

  async subscribe (topics: readonly string[]): Promise<void> {
    for (const topic of topics) {
      if (this.#subscriptions.has(topic)) continue
      this.#subscriptions.set(topic, this.#connection.subscribe(topic, {
        callback: (err, msg) => {
          if (err !== null) this.#refused.set(topic, err)
          else if (!this.#closed) this.#receive(topic, msg)
        }
      }))
    }
    // The server sends a refusal before the answer to this ping.
    try {
      await this.#connection.flush()
    } catch (err) {
      // Reported before the rejection, so that it counts as a lost session and not as a refusal.
      this.#lost(err as Error)
      throw err
    }
    if (this.#refused.size === 0) return
    for (const topic of topics) {
      const refusal = this.#refused.get(topic)
      if (refusal === undefined) continue
      this.#refused.delete(topic)
      this.#subscriptions.delete(topic)
      throw refusal
    }
  }

  async unsubscribe (topics: readonly string[]): Promise<void> {
    for (const topic of topics) {
      this.#subscriptions.get(topic)?.unsubscribe()
      this.#subscriptions.delete(topic)
    }
    await this.#connection.flush()
  }

  publish (frames: readonly OutboundFrame[]): void {
    for (const frame of frames) {
      if (this.#history?.take(frame, this.#sendLater) !== true) this.#send(frame)
    }
    if (!this.#pinging) this.#confirm()
  }

  readHistory (request: StoredRequest): Promise<StoredHistory> {
    return this.#history!.readStored(request)
  }

  async close (): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#history?.close()
    if (this.#owned) {
      await this.#connection.close()
      return
    }
    // The loop over the connection's status ends with the next status.
    for (const subscription of this.#subscriptions.values()) subscription.unsubscribe()
  }

  #receive (topic: string, msg: Msg): void {
    const frame = this.#history === null ? textOf(msg) : this.#history.read(topic, msg)
    if (frame !== null) this.#events.message(topic, frame)
  }

  #send (frame: OutboundFrame): void {
    try {
      this.#connection.publish(frame.topic, frame.text)
      this.#unconfirmed.push(frame)
    } catch (err) {
      // The frame is larger than the server allows, or the connection was just closed.
      frame.settle(err as Error)
    }
  }

  /** Sends one ping at a time. Its answer confirms every frame sent before it. */
  #confirm (): void {
    const frames = this.#unconfirmed
    if (frames.length === 0) return
    this.#unconfirmed = []
    this.#pinging = true
    this.#connection.flush().then(() => {
      this.#pinging = false
      for (const frame of frames) frame.settle()
      this.#confirm()
    }, (err: Error) => {
      this.#pinging = false
      for (const frame of frames) frame.settle(err)
      this.#confirm()
    })
  }

  async #watch (): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (this.#closed) return
      if (type === 'disconnect') this.#lost(new Error('the connection was closed'))
      else if (type === 'staleConnection') this.#lost(new Error('the server does not answer pings'))
    }
  }

  #lost (cause: Error): void {
    if (!this.#closed) this.#events.lost(cause)
  }
}
