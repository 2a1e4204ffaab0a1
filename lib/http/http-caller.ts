import type { IncomingMessage } from 'node:http'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { ScAuthToken } from '../../types/auth.js'
import type { ScExchange } from '../../types/exchange.js'
import type { AuthState, ScCaller, ScServer, ScServerSocket, SocketState } from '../../types/server.js'
import { scError } from '../errors.js'
import { printAs } from '../printing.js'
import { ServerSocket } from '../socket/socket.js'

/** The call of a caller. */
export interface CallPort {
  readonly id: string
  readonly state: SocketState
  readonly log: FastifyBaseLogger
  readonly server: ScServer
  readonly exchange: ScExchange
  readonly fastifyRequest: FastifyRequest
  readonly remoteAddress: string | undefined
  readonly authToken: ScAuthToken | null
  readonly signedAuthToken: string | null
}

/**
 * What hooks and handlers get as `socket` for a call over HTTP. It can be read like a socket without subscriptions; methods that
 * need a connection throw an InvalidActionError.
 */
export class HttpCaller implements ScCaller {
  readonly #call: CallPort
  data: unknown = undefined

  constructor (call: CallPort) {
    this.#call = call
  }

  get id (): string { return this.#call.id }
  get transport (): 'http' { return 'http' }
  get state (): SocketState { return this.#call.state }
  get active (): boolean { return true }
  get authState (): AuthState { return this.#call.authToken === null ? 'unauthenticated' : 'authenticated' }
  get authToken (): ScAuthToken | null { return this.#call.authToken }
  get signedAuthToken (): string | null { return this.#call.signedAuthToken }
  get log (): FastifyBaseLogger { return this.#call.log }
  get server (): ScServer { return this.#call.server }
  get exchange (): ScExchange { return this.#call.exchange }
  get fastifyRequest (): FastifyRequest { return this.#call.fastifyRequest }
  get request (): IncomingMessage { return this.#call.fastifyRequest.raw }
  get remoteAddress (): string | undefined { return this.#call.remoteAddress }
  get protocolVersion (): null { return null }
  get bufferedAmount (): number { return 0 }
  get channelSubscriptions (): Readonly<Record<string, true>> { return Object.create(null) as Record<string, true> }
  get channelSubscriptionsCount (): number { return 0 }

  getState (): SocketState { return this.state }
  getAuthToken (): ScAuthToken | null { return this.authToken }
  subscriptions (): string[] { return [] }
  isSubscribed (_channel: string): boolean { return false }
  listeners (_event: string): [] { return [] }
  hasListeners (_event: string): boolean { return false }

  declare readonly remoteFamily: string | undefined
  declare readonly remotePort: number | undefined
  declare readonly forwardedForAddress: string | undefined
}

printAs(HttpCaller, 'ScCaller', (caller) => ({
  id: caller.id,
  transport: caller.transport,
  authState: caller.authState,
  user: caller.authToken?.sub,
  remoteAddress: caller.remoteAddress
}))

/** What a socket has and a caller has not. These only read what both have. */
const shared = new Set<PropertyKey>(['remoteFamily', 'remotePort', 'forwardedForAddress', 'CONNECTING', 'OPEN', 'CLOSED', 'AUTHENTICATED', 'UNAUTHENTICATED'])

// Generated from the class of sockets, so that no method of a socket is missing here.
for (const prototype of [ServerSocket.prototype, Object.getPrototypeOf(ServerSocket.prototype) as object]) {
  for (const name of Reflect.ownKeys(prototype)) {
    if (name in HttpCaller.prototype) continue
    const property = Object.getOwnPropertyDescriptor(prototype, name)!
    if (shared.has(name)) Object.defineProperty(HttpCaller.prototype, name, property)
    else if (typeof property.value === 'function') Object.defineProperty(HttpCaller.prototype, name, { value: withoutConnection(String(name)), configurable: true, writable: true })
  }
}

function withoutConnection (name: string): () => never {
  return () => { throw scError('SC_ERR_NO_CONNECTION', [name]) }
}

/** Creates the caller of a call. Hooks get it where they expect a socket: it has all members of one. */
export function createCaller (call: CallPort): ScServerSocket {
  const caller: object = new HttpCaller(call)
  return caller as ScServerSocket
}
