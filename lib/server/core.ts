import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import type { AuthEngine, AuthKey, ScAuthToken, ScSignOptions } from '../../types/auth.js'
import type { CodecEngine, EventPacket } from '../../types/protocol.js'
import type { ResolvedOptions, SlowConsumerPolicy } from '../../types/options.js'
import type { Checked, ResolvedChannel } from '../../types/routes.js'
import type { ConnectStatus, ServerEvents } from '../../types/server.js'
import type { ScStats } from '../../types/stats.js'
import type { JwtKeys } from '../auth/engine.js'
import { isAuthTokenExpired } from '../auth/expiry.js'
import { brokerKeys } from '../broker/keys.js'
import { BrokerLink } from '../broker/link.js'
import { memoryBroker } from '../broker/memory.js'
import { Control } from '../cluster/control.js'
import { Revocations, claimText, lifeOf } from '../cluster/revocations.js'
import { SocketCommands } from '../cluster/socket-commands.js'
import { Registry } from '../contracts/registry.js'
import { DeadlineSets, type Deadlines, type Timed } from '../deadlines.js'
import { diagnostics } from '../diagnostics.js'
import { type ScError, scError } from '../errors.js'
import { Exchange, type ExchangePort } from '../exchange/exchange.js'
import { type Delivery, Hub, type HubPort, type Subscriber } from '../exchange/hub.js'
import type { ActionCounters, HandlerContext } from '../handlers/context.js'
import { BrokerWaits } from '../handlers/broker-waits.js'
import { deliverThroughHooks } from '../handlers/deliver.js'
import { dispatch } from '../handlers/index.js'
import { revalidate, withhold } from '../handlers/revalidate.js'
import { Scopes } from '../lifecycle/scope.js'
import { type FailureKind, logFailure, logHidden, writeLine } from '../log.js'
import { atOnce } from '../promises.js'
import { printAs } from '../printing.js'
import { closeReasons } from '../protocol/close-codes.js'
import { jsonCodec } from '../protocol/codec.js'
import type { SocketHost } from '../socket/host.js'
import { Inbound, type InboundPort } from '../socket/inbound.js'
import type { Session } from '../socket/session.js'
import { createSession } from '../socket/socket.js'
import { readable } from '../untrusted.js'
import { Deflate } from '../transport/deflate.js'
import { Flusher } from '../transport/flusher.js'
import { Heartbeat } from '../transport/heartbeat.js'
import { type TrafficCounters, WsPort } from '../transport/ws-port.js'
import { Clients } from './clients.js'
import { Admission } from './admission.js'
import { addressKey } from './addresses.js'
import { BufferBudget } from './buffer-budget.js'
import { drainSockets } from './drain.js'
import { Events } from './events.js'
import { ExpiryWheel } from './expiry-wheel.js'
import { generateId } from './id.js'
import { LegacyMiddleware } from './legacy-middleware.js'
import { RateKeys } from './rate-keys.js'
import { Server, type ServerPort } from './server.js'
import { setAuthToken } from './tokens.js'

/** Milliseconds between two looks at how late the event loop is. */
const eventLoopResolution = 20

/** Milliseconds between two looks whether a socket that sent too much may be read again. */
const readingPause = 50

/** False when it threw. */
function attempt (action: () => void): boolean {
  try {
    action()
    return true
  } catch {
    return false
  }
}

/** Everything of one registration, put together: what the layers below ask of the server, they ask of this. */
export class ServerCore implements SocketHost<Session>, HandlerContext, InboundPort, HubPort, ExchangePort, ServerPort {
  // What has keys is no property of the object itself.
  readonly #options: ResolvedOptions
  readonly server: Server
  readonly events: Events
  readonly scopes: Scopes
  readonly contracts: Registry
  readonly middleware: LegacyMiddleware
  readonly deadlines: DeadlineSets
  readonly brokerWaits: BrokerWaits
  readonly clients = new Clients()
  readonly hub: Hub
  readonly exchange: Exchange
  readonly link: BrokerLink
  readonly counters: ActionCounters = { blocked: 0, invalid: 0, rateLimited: 0, faults: 0 }
  readonly admission: Admission
  readonly control: Control
  readonly revocations: Revocations
  userProperty = 'user'
  ready = false
  draining = false
  // No properties of the object itself: whoever walks through those finds no key.
  #auth: AuthEngine
  #signatureKey: AuthKey | null = null
  #verificationKey: AuthKey | null = null
  #codec: CodecEngine
  #drained: Promise<void> | null = null
  readonly #log: FastifyBaseLogger
  readonly #traffic: TrafficCounters = { inboundMessages: 0, inboundBytes: 0, outboundMessages: 0, outboundBytes: 0 }
  readonly #flusher = new Flusher()
  readonly #deflate: Deflate | null
  readonly #heartbeat: Heartbeat
  readonly #closes = new Map<number, number>()
  readonly #expiries = new ExpiryWheel<Session>((socket) => { this.dropExpiredToken(socket) })
  readonly #budget: BufferBudget
  readonly #rateKeys: RateKeys
  #eventLoop: IntervalHistogram | null = null
  #connects = 0
  #slowConsumers = 0
  #refusedLogged = -Infinity

  constructor (fastify: FastifyInstance, options: ResolvedOptions, auth: AuthEngine) {
    this.#options = options
    this.#auth = auth
    this.#log = fastify.log
    this.#codec = options.codecEngine ?? jsonCodec
    this.#deflate = options.perMessageDeflate === false ? null : new Deflate(options.perMessageDeflate)
    this.server = new Server(this)
    this.events = new Events(this.server, (err, event) => this.#listenerFailed(err, event))
    this.scopes = new Scopes(fastify)
    this.contracts = new Registry(this.scopes.root, options)
    this.middleware = new LegacyMiddleware(this.scopes.root, (err) => this.warn(err))
    this.deadlines = new DeadlineSets(options)
    this.brokerWaits = new BrokerWaits(this.deadlines.of(options.subscribeTimeout))
    this.#heartbeat = new Heartbeat(options.pingInterval, options.pingTimeout)
    const broker = options.broker ?? memoryBroker()
    const keys = options.brokerKey === undefined || !broker.shared ? undefined : brokerKeys(options.brokerKey)
    if (keys !== undefined && broker.signs !== true) throw scError('SC_ERR_BROKER_KEY', [broker.name])
    this.link = new BrokerLink(broker, { node: { id: generateId(), prefix: options.brokerPrefix, keys } }, {
      publication: (channel, data) => this.hub.deliver(channel, data),
      state: (state, cause) => this.#brokerChanged(state, cause),
      gap: (channel) => {
        this.fire('gap', channel)
        this.exchange.dropOut(channel)
        if (options.gapEvent !== false) this.hub.announceGap(options.gapEvent, channel)
      },
      control: (message, fromNode) => this.control.handle(message, fromNode),
      warning: (err) => this.warn(err)
    })
    this.hub = new Hub(this.link, this)
    this.exchange = new Exchange(this.link, this.hub, this)
    this.admission = new Admission(options)
    this.revocations = new Revocations(Math.max(options.authDefaultExpiry, 86_400), options.revokeTolerance)
    this.control = new Control(this.link, {
      commands: new SocketCommands<Session>({ sockets: this.clients.all, revocations: this.revocations, supersede: (socket) => { socket.auth.supersede() } }),
      revocations: this.revocations,
      stats: () => this.stats(),
      warn: (err) => this.warn(err)
    })
    this.#rateKeys = new RateKeys(options.inboundKeyRate, options.inboundKeyBurst)
    this.#budget = new BufferBudget(options.maxTotalBufferedBytes, this.clients.all, (socket, bufferedBytes) => {
      this.backlog(socket, bufferedBytes, 'disconnect')
    })
  }

  // Life

  /** The application is ready: nothing can be declared any more. */
  async start (keys: JwtKeys): Promise<void> {
    this.signatureKey = keys.signatureKey
    this.verificationKey = keys.verificationKey
    this.userProperty = keys.userProperty
    this.contracts.compile()
    await this.link.start()
    this.ready = true
    this.fire('ready')
  }

  /** A connection was upgraded. Must be called in the same turn, or its first message is lost. */
  accept (ws: WebSocket, request: FastifyRequest): void {
    if (this.draining) {
      ws.close(this.options.closeCode, this.options.closeReason)
      return
    }
    // Hooks of the upgrade may have taken their time since it was asked.
    if (this.admission.refusal(request.ip) !== undefined) {
      ws.close(1013, closeReasons[1013])
      return
    }
    const crowds = this.admission.crowded(request.ip)
    if (crowds !== undefined) this.clients.oldestPending((socket) => crowds(socket.remoteAddress))?.end(1013)
    const deflate = this.#deflate?.serves(request.raw) === true ? this.#deflate : null
    const port = new WsPort(ws, request.raw.socket, this.#flusher, this.#traffic, this.#budget.holdings, this.options.maxBufferedBytes, deflate)
    const socket = createSession(generateId(), this, port, request)
    port.attach(new Inbound(socket, this))
    try {
      this.clients.addPending(socket)
      this.admission.connected(socket.remoteAddress)
      if (socket.handshake !== null) this.deadlines.handshakes.add(socket.handshake)
      this.fire('handshake', socket.socket)
    } catch (err) {
      this.fault(socket, err)
    }
  }

  /** A connection was refused by a limit. Under an attack that is often: the log gets a line a second. */
  refused (address: string, error: ScError): void {
    if (diagnostics.refused.hasSubscribers) diagnostics.refused.publish({ address, error })
    const now = performance.now()
    if (now - this.#refusedLogged < 1_000) return
    this.#refusedLogged = now
    writeLine(this.#log, 'warn', 'connections are refused', { address, reason: error.message, refused: this.admission.refused })
  }

  /** Closes every connection; settles when all are gone, after `closeTimeout` at the latest. */
  drain (): Promise<void> {
    this.#drained ??= this.#drain()
    return this.#drained
  }

  async #drain (): Promise<void> {
    this.draining = true
    this.ready = false
    writeLine(this.#log, 'debug', 'closing all sockets', { clients: this.clients.openCount, pending: this.clients.pendingCount })
    await drainSockets([...this.clients.all], this.options)
    this.#heartbeat.stop()
    this.#expiries.stop()
    this.#budget.stop()
    this.#eventLoop?.disable()
    this.deadlines.clear()
    this.control.stop()
    this.exchange.end()
    await this.link.stop()
    this.events.end()
  }

  stats (): ScStats {
    this.#budget.recount()
    let bufferedBytes = 0
    let subscriptions = 0
    for (const socket of this.clients.all) {
      bufferedBytes += socket.bufferedAmount
      subscriptions += socket.subscriptions.size
    }
    return {
      clients: this.clients.openCount,
      pendingClients: this.clients.pendingCount,
      channels: this.hub.channelCount,
      subscriptions,
      bufferedBytes,
      heldBytes: this.#budget.holdings.total,
      connects: this.#connects,
      refusedConnections: this.admission.refused,
      closes: Object.fromEntries(this.#closes),
      ...this.#traffic,
      publishes: this.exchange.publishes,
      deliveries: this.hub.deliveries,
      blocked: this.counters.blocked,
      invalid: this.counters.invalid,
      rateLimited: this.counters.rateLimited,
      faults: this.counters.faults,
      dropped: this.hub.dropped,
      slowConsumers: this.#slowConsumers,
      broker: { state: this.link.state, inFlight: this.link.inFlight, refused: this.link.refused, ...this.link.stats() },
      eventLoopDelay: this.#eventLoopDelay()
    }
  }

  /** Measured from the first time somebody asks: it costs a timer. */
  #eventLoopDelay (): ScStats['eventLoopDelay'] {
    if (this.#eventLoop === null) {
      if (this.draining) return { mean: 0, p99: 0, max: 0 }
      this.#eventLoop = monitorEventLoopDelay({ resolution: eventLoopResolution })
      this.#eventLoop.enable()
      return { mean: 0, p99: 0, max: 0 }
    }
    // The histogram counts the whole interval between two runs of its timer, in nanoseconds.
    const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - eventLoopResolution)
    const { mean, max } = this.#eventLoop
    const delay = this.#eventLoop.count === 0 ? { mean: 0, p99: 0, max: 0 } : { mean: late(mean), p99: late(this.#eventLoop.percentile(99)), max: late(max) }
    this.#eventLoop.reset()
    return delay
  }

  #brokerChanged (state: 'up' | 'down', cause: Error | undefined): void {
    if (state === 'down') writeLine(this.#log, 'warn', 'broker is down', { err: cause, broker: this.link.broker.name })
    else if (this.link.broker.shared) writeLine(this.#log, 'info', 'broker is up', { broker: this.link.broker.name })
    this.control.brokerState(state)
    if (state === 'up') {
      this.exchange.retryPending()
      this.brokerWaits.up()
    }
    if (diagnostics.broker.hasSubscribers) diagnostics.broker.publish({ state, cause })
    this.fire('brokerState', state, cause)
  }

  // What sockets and handlers ask for

  get host (): SocketHost<Session> { return this }
  get options (): ResolvedOptions { return this.#options }
  get root () { return this.scopes.root }
  get auth (): AuthEngine { return this.#auth }
  set auth (engine: AuthEngine) { this.#auth = engine }
  get signatureKey (): AuthKey | null { return this.#signatureKey }
  set signatureKey (key: AuthKey | null) { this.#signatureKey = key }
  get verificationKey (): AuthKey | null { return this.#verificationKey }
  set verificationKey (key: AuthKey | null) { this.#verificationKey = key }
  get codec (): CodecEngine { return this.#codec }
  set codec (codec: CodecEngine) { this.#codec = codec }
  get plainJson (): boolean { return this.#codec === jsonCodec }
  get ackDeadlines (): Deadlines { return this.deadlines.acks }
  get verifyAlgorithms (): string[] | undefined { return this.options.authVerifyAlgorithms }
  get slowConsumerPolicy () { return this.options.slowConsumerPolicy }
  get maxChannelNameLength (): number { return this.options.maxChannelNameLength }

  fire<E extends keyof ServerEvents> (event: E, ...args: ServerEvents[E]): void {
    this.events.fire(event, args)
  }

  /** The barrier: whatever enters a socket's code from the event loop, and throws, ends here. Never throws itself. */
  fault (socket: Session, err: unknown): void {
    this.counters.faults++
    attempt(() => writeLine(socket.log, 'error', 'a fault ends the socket', { err }))
    attempt(() => { if (diagnostics.fault.hasSubscribers) diagnostics.fault.publish({ socket: socket.socket, error: readable(err) }) })
    if (!attempt(() => socket.end(1011))) attempt(() => socket.terminate())
  }

  warn (err: unknown, log: FastifyBaseLogger = this.#log, kind?: FailureKind): void {
    logFailure(log, err, kind)
    this.fire('warning', readable(err))
  }

  warnHidden (err: unknown, log: FastifyBaseLogger): string {
    const errorId = logHidden(log, err)
    this.fire('warning', readable(err))
    return errorId
  }

  #listenerFailed (err: unknown, event: string): void {
    // A listener of warnings that throws must not be told of its own error for ever.
    if (event === 'warning') logFailure(this.#log, err)
    else this.warn(err)
  }

  dispatch (socket: Session, packet: EventPacket): void | Promise<void> {
    return dispatch(this, socket, packet, this.dropExpiredToken(socket))
  }

  dropExpiredToken (socket: Session): Error | undefined {
    const { authToken } = socket
    if (authToken === null || !isAuthTokenExpired(authToken)) return
    const error = scError('SC_ERR_TOKEN_EXPIRED', ['The socket auth token has expired'], { expiry: authToken.exp })
    socket.auth.expire()
    if (socket.authToken === null) socket.outbound.event('#removeAuthToken')
    return error
  }

  countInvalid (): void {
    this.counters.invalid++
  }

  /** @returns 0, or the milliseconds until the sockets that share a rate with this one may send again */
  takeShared (socket: Session, now: number): number {
    const { inboundRateKey } = this.options
    if (inboundRateKey === null) return 0
    let key: string | undefined
    if (inboundRateKey === 'ip') {
      key = socket.remoteAddress === undefined ? undefined : addressKey(socket.remoteAddress)
    } else if (inboundRateKey === 'user') {
      key = claimText(socket.authToken?.sub)
    } else {
      try {
        key = atOnce('inboundRateKey', inboundRateKey(socket.socket))
      } catch (err) {
        this.warn(err, socket.log)
      }
    }
    return typeof key === 'string' ? this.#rateKeys.take(key, now) : 0
  }

  rateLimited (socket: Session, retryAfter: number): void {
    this.counters.rateLimited++
    if (diagnostics.rateLimited.hasSubscribers) diagnostics.rateLimited.publish({ socket: socket.socket, retryAfter })
  }

  pausedReading (pause: Timed): void {
    this.deadlines.of(readingPause).add(pause)
  }

  message (socket: Session, bytes: number): void {
    diagnostics.message.publish({ socket: socket.socket, bytes })
  }

  congested (socket: Session): void {
    this.#budget.add(socket)
  }

  overrun (socket: Session, policy: SlowConsumerPolicy): void {
    if (policy === 'disconnect' && socket.state === 'open') this.backlog(socket, socket.bufferedAmount, policy)
  }

  tokenChanged (socket: Session): void {
    const exp = socket.authToken?.exp
    if (typeof exp === 'number' && socket.state !== 'closed') this.#expiries.add(socket, exp * 1000)
    else this.#expiries.remove(socket)
    if (socket.auth.signedToken !== null) this.revocations.outlive(lifeOf(socket.authToken!))
  }

  issuableFrom (sub: unknown): number | undefined {
    return this.revocations.issuableFrom(sub)
  }

  isRevoked (token: ScAuthToken): boolean {
    return this.revocations.has(token)
  }

  backlog (socket: Session, bufferedBytes: number, policy: SlowConsumerPolicy): void {
    this.#slowConsumers++
    writeLine(socket.log, 'warn', 'slow consumer', { bufferedBytes, policy })
    if (diagnostics.slowConsumer.hasSubscribers) diagnostics.slowConsumer.publish({ socket: socket.socket, bufferedBytes, policy })
    this.fire('slowConsumer', socket.socket, { bufferedBytes, policy })
    // A close frame could not pass the backlog.
    if (policy === 'disconnect') socket.terminate()
  }

  opened (socket: Session, status: ConnectStatus): void {
    this.clients.moveToOpen(socket)
    this.admission.shookHands(socket.remoteAddress)
    this.#connects++
    socket.opened()
    if (!this.options.pingTimeoutDisabled) this.#heartbeat.add(socket)
    if (diagnostics.connect.hasSubscribers) diagnostics.connect.publish({ socket: socket.socket })
    // Not by the socket's own logger: it is made when first needed, and most sockets never log.
    writeLine(socket.fastifyRequest.log, 'debug', 'socket connected', { socketId: socket.id, isAuthenticated: status.isAuthenticated })
    socket.fireLocal('connect', status)
    this.fire('connection', socket.socket, status)
  }

  release (socket: Session, code: number): void {
    this.#heartbeat.remove(socket)
    this.#expiries.remove(socket)
    this.#budget.remove(socket)
    if (this.clients.isPending(socket)) this.admission.shookHands(socket.remoteAddress)
    this.brokerWaits.closed(socket)
    if (diagnostics.close.hasSubscribers) diagnostics.close.publish({ socket: socket.socket, code })
    this.clients.remove(socket)
    this.#closes.set(code, (this.#closes.get(code) ?? 0) + 1)
    socket.subscriptions.leaveAll()
    writeLine(socket.fastifyRequest.log, 'debug', 'socket closed', { socketId: socket.id, code })
  }

  gone (socket: Session): void {
    this.admission.gone(socket.remoteAddress, false)
  }

  setAuthToken (socket: Session, claims: object, options: ScSignOptions): Promise<Error | null> {
    return setAuthToken(this, socket, claims, options)
  }

  withhold (socket: Session): void {
    withhold(this, socket)
  }

  revalidate (socket: Session): void {
    revalidate(this, socket)
  }

  // What the exchange asks for

  resolve (channel: string): ResolvedChannel {
    return this.contracts.channel(channel)
  }

  check (channel: string, data: unknown): Checked | Promise<Checked> | null {
    const { route } = this.contracts.channel(channel)
    return route.validateMessage === null ? null : route.validateMessage(data)
  }

  deliverThroughHooks (subscriber: Subscriber, delivery: Delivery): void {
    deliverThroughHooks(this, subscriber, delivery)
  }
}

printAs(ServerCore, 'ServerCore', ({ server }) => ({ server }))
