import type { Broker, BrokerHistory, BrokerHistoryLimits, BrokerNode, BrokerPosition, BrokerSink } from '../../types/broker.js'
import type { MemoryBrokerOptions } from '../../types/options.js'
import { scError, shown } from '../errors.js'
import { isTable } from '../untrusted.js'
import { MemoryHistory } from './memory-history.js'
import { MemoryStore } from './memory-store.js'

const defaultHistoryBytes = 64 * 1024 * 1024

/**
 * The default broker: publications stay inside this process and are delivered before `publish` returns.
 *
 * A publish made while another is being delivered waits for it, so that every subscriber sees one order.
 *
 * @throws InvalidOptionsError for an option that is unknown or out of range
 */
export function memoryBroker (options: MemoryBrokerOptions = {}): Broker {
  if (!isTable(options)) throw scError('SC_ERR_OPTIONS', [`memoryBroker expects its options to be an object, got ${shown(options)}`])
  for (const [name, value] of Object.entries(options)) {
    if (name !== 'historyBytes') throw scError('SC_ERR_OPTIONS', [`memoryBroker has no option "${name}"; expected historyBytes`])
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) throw scError('SC_ERR_OPTIONS', [`memoryBroker expects the option historyBytes to be a whole number of 0 or more, got ${shown(value)}`])
  }
  return new MemoryBroker(options.historyBytes ?? defaultHistoryBytes)
}

/** A publish that was made during a delivery. */
interface WaitingPublish {
  readonly channel: string
  readonly data: string
  readonly limits: BrokerHistoryLimits | null
  readonly told: Told | undefined
}

/** Called with the position of a message, or with `null` if the broker was stopped before. */
type Told = (position: BrokerPosition | null) => void

class MemoryBroker implements Broker {
  readonly name = 'memory'
  readonly shared = false
  readonly order = 'channel'
  readonly history: BrokerHistory
  readonly store = new MemoryStore()
  readonly #history: MemoryHistory
  readonly #subscribed = new Set<string>()
  #waiting: WaitingPublish[] = []
  #sink: BrokerSink | null = null
  #delivering = false

  constructor (historyBytes: number) {
    this.#history = new MemoryHistory(historyBytes)
    this.history = {
      publish: (channel, data, limits) => { this.#publish(channel, data, limits) },
      publishOnce: (channel, data, limits, key) => {
        // The key is noted now, although the message may have to wait for the delivery of another one.
        const isNew = this.#history.addKey(channel, key, limits)
        if (isNew) this.#publish(channel, data, limits)
        return isNew
      },
      append: (channel, data, limits, key) => {
        if (key !== undefined && !this.#history.addKey(channel, key, limits)) return null
        let told: BrokerPosition | null | undefined
        let tellLater: Told | null = null
        this.#publish(channel, data, limits, (position) => {
          if (tellLater === null) told = position
          else tellLater(position)
        })
        return told !== undefined ? told : new Promise((resolve) => { tellLater = resolve })
      },
      read: (channel, since, limit, limits) => this.#history.read(channel, since, limit, limits),
      follow: (channel, since, limit, limits) => this.#history.follow(channel, since, limit, limits)
    }
  }

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
    if (this.#subscribed.has(channel)) this.#publish(channel, data, null)
  }

  /** @param limits of the history; null when the message is not kept */
  #publish (channel: string, data: string, limits: BrokerHistoryLimits | null, told?: Told): void {
    if (this.#delivering) {
      this.#waiting.push({ channel, data, limits, told })
      return
    }
    this.#delivering = true
    try {
      this.#deliver(channel, data, limits, told)
      if (this.#waiting.length !== 0) this.#deliverWaiting()
    } finally {
      this.#delivering = false
    }
  }

  #deliverWaiting (): void {
    // More may be added meanwhile.
    for (let i = 0; i < this.#waiting.length; i++) {
      const { channel, data, limits, told } = this.#waiting[i]!
      this.#deliver(channel, data, limits, told)
    }
    this.#waiting = []
  }

  /** Adds the message to the history at its delivery, so that a subscriber that joins earlier does not receive it twice. */
  #deliver (channel: string, data: string, limits: BrokerHistoryLimits | null, told?: Told): void {
    if (this.#sink === null) {
      told?.(null)
      return
    }
    const position = limits === null ? undefined : this.#history.add(channel, data, limits)
    told?.(position ?? null)
    if (this.#subscribed.has(channel)) this.#sink.publication(channel, data, undefined, position)
  }

  control (): void {
    // There are no other nodes, and a node never receives its own messages.
  }

  stop (): void {
    this.#sink = null
    this.#subscribed.clear()
    for (const { told } of this.#waiting.splice(0)) told?.(null)
    this.#history.stop()
    this.store.clear()
  }
}
