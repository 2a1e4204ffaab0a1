import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'
import type { AuthEngine } from '../../types/auth.js'
import type { ResolvedOptions } from '../../types/options.js'
import type { ScServer } from '../../types/server.js'
import type { ScStats } from '../../types/stats.js'
import type { JwtKeys } from '../auth/key-source.js'
import { brokerKeys } from '../broker/keys.js'
import { BrokerLink } from '../broker/link.js'
import { memoryBroker } from '../broker/memory.js'
import { Control } from '../cluster/control.js'
import { SocketCommands } from '../cluster/socket-commands.js'
import { Registry } from '../contracts/registry.js'
import { DeadlineSets } from '../deadlines.js'
import { scError } from '../errors.js'
import { Exchange } from '../exchange/exchange.js'
import { Hub } from '../exchange/hub.js'
import { Pages } from '../exchange/pages.js'
import { BrokerWaits } from '../handlers/broker-waits.js'
import { dispatch } from '../handlers/index.js'
import { Scopes } from '../lifecycle/scope.js'
import { writeLine } from '../log.js'
import { Occupancy } from '../presence/occupancy.js'
import { Presence } from '../presence/presence.js'
import { isTopic } from '../presence/topics.js'
import { printAs } from '../printing.js'
import type { Session } from '../socket/session.js'
import { CallsUnderWay } from './calls-under-way.js'
import { Connections } from './connections.js'
import { EventLoopDelay } from './event-loop-delay.js'
import { Events } from './events.js'
import { Gate } from './gate.js'
import { Host } from './host.js'
import { generateId } from './id.js'
import { LegacyMiddleware } from './legacy-middleware.js'
import { Monitor } from './monitor.js'
import { Server, type ServerPort } from './server.js'
import { SharedRates } from './shared-rates.js'
import { SocketMaker } from './socket-maker.js'
import { Streams } from './streams.js'
import { Tokens } from './tokens.js'

/** Milliseconds between two checks whether a socket that sent too much may be read again. */
const readingPause = 50

/** Minimum time in milliseconds for a broker to stop. `closeTimeout` may be short, but an engine needs time for a goodbye. */
const minStopTimeout = 1_000

const cores = new WeakMap<ScServer, ServerCore>()

/** Returns the core of a server. */
export function coreOf (server: ScServer): ServerCore {
  return cores.get(server)!
}

/** Builds all parts of one registration, starts and drains them, and collects the statistics. */
export class ServerCore implements ServerPort {
  readonly server: Server
  readonly events: Events
  readonly monitor: Monitor
  readonly scopes: Scopes
  readonly contracts: Registry
  readonly middleware: LegacyMiddleware
  readonly deadlines: DeadlineSets
  readonly brokerWaits: BrokerWaits
  readonly link: BrokerLink
  readonly hub: Hub
  readonly exchange: Exchange
  readonly presence: Presence<Session>
  readonly tokens: Tokens
  readonly connections: Connections<WebSocket>
  readonly host: Host
  readonly control: Control
  readonly streams: Streams
  readonly gate: Gate
  /** The rates that sockets with the same key share. */
  readonly rates: SharedRates
  readonly calls = new CallsUnderWay()
  ready = false
  draining = false
  // Private: the options contain keys, and code that lists the object's properties must not find them.
  readonly #options: ResolvedOptions
  readonly #log: FastifyBaseLogger
  readonly #sockets: SocketMaker
  readonly #occupancy: Occupancy
  readonly #eventLoopDelay = new EventLoopDelay()
  #drained: Promise<void> | null = null

  constructor (fastify: FastifyInstance, options: ResolvedOptions, engine: AuthEngine) {
    this.#options = options
    this.#log = fastify.log
    this.server = new Server(this)
    cores.set(this.server, this)
    this.events = new Events(this.server, (err, event) => this.monitor.listenerFailed(err, event))
    this.monitor = new Monitor(fastify.log, this.events, options)
    this.gate = new Gate(options, this.monitor)
    const warn = (err: unknown): void => this.monitor.warn(err)
    this.scopes = new Scopes(fastify)
    this.contracts = new Registry(this.scopes.root, options)
    this.middleware = new LegacyMiddleware(this.scopes.root, warn)
    this.deadlines = new DeadlineSets(options)
    this.brokerWaits = new BrokerWaits(this.deadlines.of(options.subscribeTimeout))
    this.link = this.#makeLink(warn)
    this.hub = this.#makeHub()
    this.exchange = new Exchange(this.link, this.hub, {
      maxChannelNameLength: options.maxChannelNameLength,
      resolve: (channel) => this.contracts.channel(channel),
      presence: (channel) => this.presence.read(channel),
      occupancy: (channel) => this.#occupancy.count(channel),
      warn
    })
    this.presence = this.#makePresence()
    this.#occupancy = new Occupancy({ link: this.link, cluster: this.#cluster, memberCount: (channel) => this.hub.memberCount(channel), warn })
    this.tokens = new Tokens(options, engine, warn)
    this.connections = new Connections(options, this.deadlines.handshakes, this.monitor, this.events, (ws, request, holdings) => this.#sockets.make(ws, request, holdings))
    const { brokerWaits, connections, contracts, deadlines, events, exchange, hub, monitor, presence, tokens } = this
    this.host = new Host(this.server, { brokerWaits, connections, contracts, deadlines, events, exchange, hub, monitor, options, pages: new Pages(this.link), presence, root: this.scopes.root, tokens })
    const { context } = this.host
    this.rates = new SharedRates(options, monitor)
    this.#sockets = new SocketMaker(this.host, {
      dispatch: (session, packet) => dispatch(context, session, packet, tokens.dropExpired(session)),
      connections,
      monitor,
      pauses: deadlines.of(readingPause),
      rates: this.rates,
      tokens
    }, options)
    this.streams = new Streams(connections, this.#sockets, this.host)
    const { revocations } = tokens
    this.control = new Control(this.link, {
      commands: new SocketCommands<Session>({ sockets: connections.clients, revocations, supersede: (session) => { session.auth.supersede() } }),
      revocations,
      listed: {
        sockets: connections.clients,
        channels: () => hub.channels(),
        memberCount: (channel) => hub.memberCount(channel),
        counts: () => {
          const { clients, pendingClients, subscriptions, bufferedBytes } = connections.gauges()
          return { clients, pendingClients, channels: hub.channelCount, subscriptions, bufferedBytes }
        }
      },
      stats: () => this.stats(),
      answer: (query) => presence.answer(query) ?? this.#occupancy.answer(query),
      nodes: () => presence.nodes(),
      gone: (node, silence) => presence.nodeGone(node, silence),
      warn
    })
  }

  get options (): ResolvedOptions { return this.#options }

  #makeLink (warning: (err: unknown) => void): BrokerLink {
    const { broker = memoryBroker(), brokerKey, brokerPrefix, closeTimeout, gapEvent } = this.#options
    const keys = brokerKey === undefined || !broker.shared ? undefined : brokerKeys(brokerKey)
    if (keys !== undefined && broker.signs !== true) throw scError('SC_ERR_BROKER_KEY', [broker.name])
    return new BrokerLink(broker, { node: { id: generateId(), prefix: brokerPrefix, keys }, stopTimeout: Math.max(closeTimeout, minStopTimeout) }, {
      publication: (channel, data, position) => {
        if (this.contracts.hasPresence && isTopic(channel)) this.presence.publication(channel, data)
        else this.hub.deliver(channel, data, position)
      },
      state: (state, cause) => {
        this.control.brokerState(state)
        this.presence.brokerState(state)
        if (state === 'up') {
          this.exchange.retryPending()
          this.brokerWaits.up()
          for (const session of this.connections.clients) session.subscriptions.catchUp()
        }
        this.monitor.brokerState(state, cause, broker)
      },
      gap: (channel, position) => {
        if (channel === null || isTopic(channel)) this.presence.gap(channel)
        if (channel !== null && isTopic(channel)) return
        this.events.fire('gap', [channel])
        this.exchange.dropOut(channel, position)
        if (channel !== null && position !== undefined) this.hub.announceLoss(channel, position)
        if (gapEvent !== false) this.hub.announceGap(gapEvent, channel)
      },
      control: (message, fromNode) => this.control.handle(message, fromNode),
      warning
    })
  }

  #makeHub (): Hub {
    const codecOf = (): Host => this.host
    return new Hub(this.link, {
      slowConsumerPolicy: this.#options.slowConsumerPolicy,
      // A getter, because the codec can be replaced at any time.
      get codec () { return codecOf().codec },
      get plainJson () { return codecOf().plainJson },
      hookDeadlines: this.deadlines.hooks,
      // Leaving out recipients is the purpose of these hooks and happens often, so the log level is `debug`.
      leftOut: (session: Session, channel, thrown) => { this.monitor.denied(session, { line: 'publishOut', thrown, channel, level: 'debug', text: 'publication blocked' }) },
      lost: ({ socket }, channel) => { this.monitor.lost(socket, channel, 'unknown') },
      warn: (err) => { this.monitor.warn(err) },
      presence: {
        hold: (companion) => this.presence.hold(companion),
        release: (companion) => this.presence.release(companion),
        // Only sessions are members of the hub.
        left: (subscriber, channel, resolved) => this.presence.left(subscriber as Session, channel, resolved)
      }
    })
  }

  /** The nodes that share the broker, as presence and occupancy use them. */
  get #cluster (): { readonly nodes: readonly string[], query (node: string, body: unknown): Promise<unknown> } {
    const control = (): Control => this.control
    return {
      get nodes () { return control().nodes },
      query: (node, body) => control().query(node, body)
    }
  }

  #makePresence (): Presence<Session> {
    const { contracts, events, exchange, hub, link, monitor } = this
    const host = (): Host => this.host
    return new Presence<Session>({
      link,
      cluster: this.#cluster,
      get codec () { return host().codec },
      resolve: (channel) => contracts.channel(channel),
      encode: (companion, json) => hub.encode(companion, json),
      send: (companion, json) => hub.deliver(companion, json),
      deliver: (session, companion, message) => hub.deliverTo(session, companion, message),
      isObserved: (companion) => exchange.isSubscribed(companion),
      tell: (change, channel, member) => events.fire(change, [channel, member]),
      warn: (err, session) => monitor.warn(err, session?.log)
    })
  }

  /** Starts the server when the application is ready. Nothing can be declared after this. */
  async start (keys: JwtKeys): Promise<void> {
    this.tokens.useKeys(keys)
    this.contracts.compile()
    this.#checkHistory()
    await this.link.start()
    this.ready = true
    this.events.fire('ready', [])
  }

  /** @throws ScError for a channel whose declaration asks for more than the broker offers */
  #checkHistory (): void {
    const { broker } = this.link
    for (const { pattern, history, recover } of this.contracts.declaredChannels()) {
      if (history !== null && broker.history === undefined) throw scError('SC_ERR_HISTORY', [broker.name, 'history', pattern])
      if (recover !== null && broker.history?.follow === undefined) throw scError('SC_ERR_HISTORY', [broker.name, 'recover', pattern])
    }
  }

  /** Closes every connection; settles when all are gone, after `closeTimeout` at the latest. */
  drain (): Promise<void> {
    this.#drained ??= this.#drain()
    return this.#drained
  }

  async #drain (): Promise<void> {
    this.draining = true
    this.presence.drain()
    this.ready = false
    const { clients } = this.connections
    writeLine(this.#log, 'debug', 'closing all sockets', { clients: clients.openCount, pending: clients.pendingCount })
    await Promise.all([this.connections.drain(), this.calls.drain(this.#options.closeTimeout)])
    this.tokens.stop()
    this.#eventLoopDelay.stop()
    this.deadlines.clear()
    this.presence.stop()
    this.control.stop()
    this.exchange.end()
    await this.link.stop()
    this.events.end()
  }

  stats (): ScStats {
    return {
      ...this.connections.gauges(),
      channels: this.hub.channelCount,
      ...this.#sockets.traffic,
      ...this.monitor.counters,
      closes: Object.fromEntries(this.monitor.closes),
      publishes: this.exchange.publishes,
      deliveries: this.hub.deliveries,
      dropped: this.hub.dropped,
      recovery: { ...this.monitor.recoveries },
      presence: this.presence.stats(),
      broker: { state: this.link.state, inFlight: this.link.inFlight, refused: this.link.refused, ...this.link.stats() },
      eventLoopDelay: this.#eventLoopDelay.read()
    }
  }
}

printAs(ServerCore, 'ServerCore', ({ server }) => ({ server }))
