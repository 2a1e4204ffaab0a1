import type { Broker, BrokerCounters, BrokerHistory, BrokerHistoryLimits, BrokerNode, BrokerOrder, BrokerPosition, BrokerSink, BrokerStore } from '../../../types/broker.js'
import { scError } from '../../errors.js'
import { downError } from '../errors.js'
import { Connection } from './connection.js'
import type { Engine } from './engine.js'
import { Envelope } from './envelope.js'
import { idPattern } from './frames.js'
import { RemoteHistory } from './history/remote-history.js'
import { Inbox } from './inbox.js'
import { Liveness } from './liveness.js'
import type { ResolvedRemoteOptions } from './options.js'
import { Outbox } from './outbox.js'
import { RemoteStore } from './remote-store.js'
import { Seal } from './seal.js'
import { Topics } from './topics.js'

/**
 * A broker over an engine between processes, with everything that is the same for all engines. The connection opens one session
 * after the other. Topics and outbox use the current session. The inbox reads frames, and liveness detects a silent engine.
 */
export class RemoteBroker implements Broker {
  readonly name: string
  readonly shared = true
  readonly signs = true
  readonly order: BrokerOrder
  readonly history?: BrokerHistory
  readonly store?: BrokerStore
  readonly #history: RemoteHistory
  readonly #store: RemoteStore
  readonly #engine: Engine
  readonly #counters: BrokerCounters = { framesOut: 0, framesIn: 0, messagesOut: 0, messagesIn: 0, framesDropped: 0, reconnects: 0, gaps: 0 }
  readonly #connection: Connection
  readonly #topics: Topics
  readonly #outbox: Outbox
  readonly #liveness: Liveness
  // Set by `start`.
  #node: BrokerNode | null = null
  #sink!: BrokerSink
  #envelope!: Envelope
  #storeSeal: Seal | null = null
  #inbox!: Inbox
  #ownTopic = ''
  #allTopic = ''

  constructor (engine: Engine, options: ResolvedRemoteOptions) {
    this.name = engine.name
    this.order = engine.order
    this.#engine = engine
    const topicOf = (channel: string): string => engine.channelTopic(this.#node!.prefix, channel)
    const connection: Connection = this.#connection = new Connection(engine, options, {
      message: (topic, frame) => this.#inbox.receive(topic, frame),
      prepare: (session, progress) => topics.subscribeAll(session, [this.#ownTopic, this.#allTopic], progress),
      up: () => {
        liveness.start()
        history.up()
        this.#sink.state('up')
      },
      again: () => {
        this.#counters.reconnects++
        this.#counters.gaps++
        this.#sink.gap(null)
      },
      gone: () => this.#gone(),
      down: (cause) => this.#sink.state('down', cause),
      finish: () => outbox.finish(Math.min(1000, options.timeout))
    })
    const topics: Topics = this.#topics = new Topics({ topicOf, get session () { return connection.session } })
    const outbox: Outbox = this.#outbox = new Outbox({
      topicOf,
      close: (topic, kind, messages) => this.#envelope.close(topic, kind, messages, kind === 'm' && topics.has(topic)),
      send: (frames) => connection.session!.publish(frames)
    }, this.#counters)
    const sinkOf = (): BrokerSink => this.#sink
    const history: RemoteHistory = this.#history = new RemoteHistory({
      get session () { return connection.stopped ? null : connection.session },
      get sink () { return sinkOf() },
      topicOf,
      publish: (channel, data, limits) => this.#publish(channel, data, limits),
      publishOnce: engine.keepsKeys === true ? (channel, data, limits, key) => this.#publishOnce(channel, data, limits, key) : undefined,
      append: (channel, data, limits, key) => this.#append(channel, data, limits, key),
      open: (topic, text) => this.#inbox.openKept(topic, text),
      dropped: (reason) => {
        this.#counters.framesDropped++
        this.#sink.dropped?.(reason)
      },
      downError: () => this.#downError()
    })
    if (engine.keepsHistory === true) this.history = history
    const storeSeal = (): Seal | null => this.#storeSeal
    const store: RemoteStore = this.#store = new RemoteStore({
      get engine () { return connection.stopped ? null : connection.session?.store ?? null },
      get seal () { return storeSeal() },
      topicOf: (key) => engine.storeTopic!(this.#node!.prefix, key),
      downError: () => this.#downError()
    })
    if (engine.hasStore === true) this.store = store
    const liveness: Liveness = this.#liveness = new Liveness(options, {
      get waitingSince () { return Math.min(outbox.waitingSince, topics.waitingSince, history.waitingSince, store.waitingSince) },
      probe: () => { outbox.send(this.#ownTopic, 'p', '').catch(() => {}) },
      lost: (cause) => connection.lost(cause)
    })
  }

  async start (sink: BrokerSink, node: BrokerNode): Promise<void> {
    if (this.#node !== null) throw scError('SC_ERR_BROKER', ['expected a broker of its own for each server, got one that is already in use'])
    if (!idPattern.test(node.id) || !idPattern.test(node.prefix)) {
      throw scError('SC_ERR_OPTIONS', [`expected the node id and the option brokerPrefix to be 1 to 64 of A-Z a-z 0-9 _ -, got "${node.id}" and "${node.prefix}"`])
    }
    this.#node = node
    this.#sink = sink
    this.#engine.use?.(node.prefix)
    this.#envelope = new Envelope(node)
    if (node.keys !== undefined) this.#storeSeal = new Seal(node.keys)
    this.#ownTopic = this.#engine.nodeTopic(node.prefix, node.id)
    this.#allTopic = this.#engine.nodeTopic(node.prefix)
    this.#inbox = new Inbox({
      nodeId: node.id,
      ownTopic: this.#ownTopic,
      allTopic: this.#allTopic,
      envelope: this.#envelope,
      topics: this.#topics,
      history: this.history === undefined ? null : this.#history,
      sink,
      probeReturned: () => this.#liveness.returned()
    }, this.#counters)
    await this.#connection.start()
  }

  subscribe (channels: readonly string[]): Promise<void> {
    const { session } = this.#connection
    return session === null ? Promise.reject(this.#downError()) : this.#topics.subscribe(session, channels)
  }

  unsubscribe (channels: readonly string[]): Promise<void> {
    this.#history.forget(channels)
    return this.#topics.unsubscribe(channels)
  }

  publish (channel: string, data: string): Promise<void> {
    return this.#publish(channel, data, null)
  }

  #publish (channel: string, data: string, limits: BrokerHistoryLimits | null): Promise<void> {
    if (this.#connection.session === null || this.#connection.stopped) return Promise.reject(this.#downError())
    return this.#outbox.publish(channel, data, limits)
  }

  #publishOnce (channel: string, data: string, limits: BrokerHistoryLimits, key: string): Promise<boolean> {
    if (this.#connection.session === null || this.#connection.stopped) return Promise.reject(this.#downError())
    return this.#outbox.publishOnce(channel, data, limits, key)
  }

  #append (channel: string, data: string, limits: BrokerHistoryLimits, key: string | undefined): Promise<BrokerPosition | null> {
    if (this.#connection.session === null || this.#connection.stopped) return Promise.reject(this.#downError())
    return this.#outbox.append(channel, data, limits, key)
  }

  control (message: string, toNode?: string): Promise<void> {
    if (this.#connection.session === null) return Promise.reject(this.#downError())
    if (toNode === this.#node!.id) return Promise.resolve()
    if (toNode !== undefined && !idPattern.test(toNode)) return Promise.reject(scError('SC_ERR_BROKER', [`expected a node id, got "${toNode}"`]))
    return this.#outbox.send(toNode === undefined ? this.#allTopic : this.#engine.nodeTopic(this.#node!.prefix, toNode), 'c', message)
  }

  stats (): BrokerCounters {
    if (this.history === undefined) return { ...this.#counters }
    return { ...this.#counters, historyReads: this.#history.reads, historyRepairs: this.#history.repairs }
  }

  async stop (): Promise<void> {
    await this.#connection.stop()
  }

  /** Fails everything that waits for the session. */
  #gone (): void {
    this.#liveness.stop()
    const error = this.#downError()
    this.#outbox.fail(error)
    this.#topics.fail(error)
    this.#history.gone(error)
    this.#store.gone(error)
    this.#envelope?.forget()
  }

  #downError (): Error {
    return downError(this.name, this.#connection.cause)
  }
}
