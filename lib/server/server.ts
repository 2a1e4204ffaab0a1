import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { generateId } from './id.js'
import type { AuthEngine, AuthKey, ScAuthToken } from '../../types/auth.js'
import type { BrokerState } from '../../types/broker.js'
import type { ScCommandResult } from '../../types/cluster.js'
import type { ScExchange, ScStream } from '../../types/exchange.js'
import type { Middleware, MiddlewareLine } from '../../types/hooks.js'
import type { ResolvedOptions } from '../../types/options.js'
import type { CodecEngine } from '../../types/protocol.js'
import type { RevokeFilter, ScCluster, ScServer, ScServerSocket, ServerEventObjects, ServerEvents } from '../../types/server.js'
import type { ScStats } from '../../types/stats.js'
import { checkCallback, checkMethods, checkText } from '../arguments.js'
import { isAuthTokenExpired } from '../auth/is-token-expired.js'
import { type Guarded, follow } from '../barrier.js'
import type { Control } from '../cluster/control.js'
import { ifRejects } from '../promises.js'
import { printAs } from '../printing.js'
import type { Clients } from './clients.js'
import type { Events } from './events.js'
import type { LegacyMiddleware } from './legacy-middleware.js'

/** The part of the core that the public server exposes. */
export interface ServerPort {
  readonly options: ResolvedOptions
  readonly exchange: ScExchange
  readonly connections: { readonly clients: Clients }
  readonly control: Control
  readonly events: Events
  readonly middleware: LegacyMiddleware
  readonly link: { readonly state: BrokerState }
  readonly ready: boolean
  readonly draining: boolean
  readonly tokens: { signatureKey: AuthKey | null, verificationKey: AuthKey | null, engine: AuthEngine }
  readonly host: { codec: CodecEngine }
  readonly monitor: { warn (err: unknown): void }
  drain (): Promise<void>
  stats (): ScStats
}

/** The public server: SocketCluster's API over the core. */
export class Server extends EventEmitter implements ScServer {
  declare readonly MIDDLEWARE_HANDSHAKE_WS: 'handshakeWS'
  declare readonly MIDDLEWARE_HANDSHAKE_SC: 'handshakeSC'
  declare readonly MIDDLEWARE_AUTHENTICATE: 'authenticate'
  declare readonly MIDDLEWARE_SUBSCRIBE: 'subscribe'
  declare readonly MIDDLEWARE_PUBLISH_IN: 'publishIn'
  declare readonly MIDDLEWARE_PUBLISH_OUT: 'publishOut'
  declare readonly MIDDLEWARE_EMIT: 'emit'
  declare readonly MIDDLEWARE_PUBLISH: 'publishIn'

  readonly #core: ServerPort
  readonly #guarded: Guarded = { fault: (err) => this.#core.monitor.warn(err) }

  constructor (core: ServerPort) {
    super()
    this.#core = core
  }

  get options (): Readonly<ResolvedOptions> { return this.#core.options }
  get exchange (): ScExchange { return this.#core.exchange }
  get clients (): Readonly<Record<string, ScServerSocket>> { return this.#core.connections.clients.open }
  get clientsCount (): number { return this.#core.connections.clients.openCount }
  get pendingClients (): Readonly<Record<string, ScServerSocket>> { return this.#core.connections.clients.pending }
  get pendingClientsCount (): number { return this.#core.connections.clients.pendingCount }
  get isReady (): boolean { return this.#core.ready }
  get draining (): boolean { return this.#core.draining }
  get brokerState (): BrokerState { return this.#core.link.state }

  get signatureKey (): AuthKey | null { return this.#core.tokens.signatureKey }
  set signatureKey (key: AuthKey | null) { this.#core.tokens.signatureKey = key }
  get verificationKey (): AuthKey | null { return this.#core.tokens.verificationKey }
  set verificationKey (key: AuthKey | null) { this.#core.tokens.verificationKey = key }

  get auth (): AuthEngine { return this.#core.tokens.engine }
  get codec (): CodecEngine { return this.#core.host.codec }

  setAuthEngine (engine: AuthEngine): void {
    checkMethods('setAuthEngine', 'engine', engine, ['verifyToken', 'signToken'])
    this.#core.tokens.engine = engine
  }

  setCodecEngine (codec: CodecEngine): void {
    checkMethods('setCodecEngine', 'codec', codec, ['encode', 'decode'])
    this.#core.host.codec = codec
  }

  addMiddleware<L extends MiddlewareLine> (line: L, fn: Middleware<L, ScServerSocket, IncomingMessage>): void {
    this.#core.middleware.add(line, fn)
  }

  removeMiddleware<L extends MiddlewareLine> (line: L, fn: Middleware<L, ScServerSocket, IncomingMessage>): void {
    this.#core.middleware.remove(line, fn)
  }

  close (callback?: () => void): Promise<void> {
    return this.#promise(() => {
      checkCallback('close', callback)
      const closed = this.#core.drain()
      if (callback !== undefined && callback !== null) follow(this.#guarded, closed, () => callback(), () => callback())
      return closed
    })
  }

  revoke (filter: RevokeFilter): Promise<number> {
    return this.#promise(() => socketsOf(this.#core.control.revoke(filter)))
  }

  disconnectSockets (filter: RevokeFilter, code?: number, reason?: string): Promise<number> {
    return this.#promise(() => socketsOf(this.#core.control.disconnectSockets(filter, code, reason)))
  }

  kickOut (filter: RevokeFilter, channel: string, message?: string): Promise<number> {
    return this.#promise(() => socketsOf(this.#core.control.kickOut(filter, channel, message)))
  }

  /** Runs a method and returns its promise. The caller may ignore a rejection: it becomes a warning and is never unhandled. */
  #promise<T> (act: () => Promise<T>): Promise<T> {
    let promise: Promise<T>
    try {
      promise = act()
    } catch (err) {
      promise = Promise.reject(err)
    }
    ifRejects(promise, (err) => this.#core.monitor.warn(err))
    return promise
  }

  get cluster (): ScCluster { return this.#core.control }

  getPath (): string { return this.#core.options.path }
  generateId (): string { return generateId() }
  isAuthTokenExpired (token: ScAuthToken | null): boolean { return isAuthTokenExpired(token) }
  stats (): ScStats { return this.#core.stats() }

  listener<E extends keyof ServerEvents> (event: E): ScStream<ServerEventObjects[E]> {
    checkText('listener', 'event', event)
    return this.#core.events.stream(event)
  }

  getListenerBackpressure (event: keyof ServerEvents): number { return this.#core.events.streams.backpressure(event) }
  getAllListenersBackpressure (): number { return this.#core.events.streams.backpressure() }
}

async function socketsOf (result: Promise<ScCommandResult>): Promise<number> {
  return (await result).sockets
}

printAs(Server, 'ScServer', (server) => ({
  path: server.getPath(),
  isReady: server.isReady,
  draining: server.draining,
  brokerState: server.brokerState,
  clientsCount: server.clientsCount,
  pendingClientsCount: server.pendingClientsCount
}))

const lines = {
  MIDDLEWARE_HANDSHAKE_WS: 'handshakeWS',
  MIDDLEWARE_HANDSHAKE_SC: 'handshakeSC',
  MIDDLEWARE_AUTHENTICATE: 'authenticate',
  MIDDLEWARE_SUBSCRIBE: 'subscribe',
  MIDDLEWARE_PUBLISH_IN: 'publishIn',
  MIDDLEWARE_PUBLISH_OUT: 'publishOut',
  MIDDLEWARE_EMIT: 'emit',
  MIDDLEWARE_PUBLISH: 'publishIn'
}
for (const [name, value] of Object.entries(lines)) Object.defineProperty(Server.prototype, name, { value, enumerable: true })
