import type { Broker, BrokerNode, BrokerSink } from '../../types/broker.js'
import { scError } from '../errors.js'

/**
 * The default broker: publications stay inside this process and are delivered before `publish` returns.
 *
 * A publish during the delivery of another one is delivered after it, so that all subscribers see the same order.
 */
export function memoryBroker (): Broker {
  return new MemoryBroker()
}

class MemoryBroker implements Broker {
  readonly name = 'memory'
  readonly shared = false
  readonly order = 'channel'
  readonly #subscribed = new Set<string>()
  /** Publishes made during a delivery: channel and data alternate. */
  readonly #waiting: string[] = []
  #sink: BrokerSink | null = null
  #delivering = false

  start (sink: BrokerSink, _node: BrokerNode): void {
    if (this.#sink !== null) throw scError('SC_ERR_BROKER', ['expected a broker of its own for each server, got one that is already in use'])
    this.#sink = sink
    sink.state('up')
  }

  subscribe (channels: readonly string[]): void {
    for (const channel of channels) this.#subscribed.add(channel)
  }

  unsubscribe (channels: readonly string[]): void {
    for (const channel of channels) this.#subscribed.delete(channel)
  }

  publish (channel: string, data: string): void {
    if (!this.#subscribed.has(channel)) return
    if (this.#delivering) {
      this.#waiting.push(channel, data)
      return
    }
    this.#delivering = true
    try {
      this.#sink?.publication(channel, data)
      if (this.#waiting.length > 0) this.#deliverWaiting()
    } finally {
      this.#delivering = false
    }
  }

  #deliverWaiting (): void {
    const waiting = this.#waiting
    for (let i = 0; i < waiting.length; i += 2) {
      const channel = waiting[i]!
      if (this.#subscribed.has(channel)) this.#sink?.publication(channel, waiting[i + 1]!)
    }
    waiting.length = 0
  }

  control (): void {
    // There are no other nodes, and a node never receives its own messages.
  }

  stop (): void {
    this.#sink = null
    this.#subscribed.clear()
    this.#waiting.length = 0
  }
}
