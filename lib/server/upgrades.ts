import { type IncomingMessage, STATUS_CODES, type Server, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Deadlines } from '../deadlines.js'
import { scError } from '../errors.js'
import { writeLine } from '../log.js'
import { Pipelining } from './pipelining.js'
import { Undecided, Watch, tracesOf, written } from './undecided.js'

/** A requested upgrade that was not made yet. */
export interface Upgrade {
  readonly request: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
  /** The `tracesOf` the connection before any other code touched it. */
  readonly traces: number
  /** Watches the connection when the upgrade was not answered synchronously. */
  watch: Undecided | null
  /** The response that an upgrade gets when it is not made; null when other code routed it. */
  response: ServerResponse | null
}

/** One instance for each HTTP server, shared by all registrations: two would answer the same upgrade twice. */
const ofServer = new WeakMap<object, Upgrades>()

/**
 * Routes the upgrades of an HTTP server through Fastify, and frees the connection of every upgrade that is answered without
 * being made. Otherwise the connection would stay open, unread, and delay `fastify.close()`.
 *
 * Other code may handle upgrades too: an application's own @fastify/websocket, a proxy, a websocket server next to Fastify. All
 * listeners see an upgrade before this class acts, and it leaves alone what another listener took. If that listener routes the
 * upgrade through Fastify to a route of this plugin, the route makes the upgrade.
 */
export class Upgrades {
  readonly #fastify: FastifyInstance
  readonly #waiting = new WeakMap<Duplex, Upgrade>()
  #pipelining: Pipelining | null = null
  /** Deadlines of the upgrades that were not decided synchronously. */
  #undecided = new Deadlines(1)
  /** The paths of the plugin's routes. */
  readonly #paths = new Set<string>()
  #users = 0
  #closing = false

  /**
   * Returns the upgrades of an application's HTTP server. The caller must call `leave()` later.
   * @param timeout milliseconds for hooks to decide; the longest of all registrations applies
   */
  static join (fastify: FastifyInstance, timeout: number): Upgrades {
    let upgrades = ofServer.get(fastify.server)
    if (upgrades === undefined) ofServer.set(fastify.server, upgrades = new Upgrades(fastify))
    if (timeout > upgrades.#undecided.duration) upgrades.#undecided = new Deadlines(timeout)
    if (upgrades.#users++ === 0) {
      fastify.server.prependListener('upgrade', upgrades.#onUpgrade)
      // Created last, so that its listener runs first.
      upgrades.#pipelining = new Pipelining(fastify.server as Server)
    }
    // A hook may refuse an upgrade routed by other code: @fastify/websocket may treat that as an ordinary request.
    fastify.addHook('onResponse', (request, _reply, done) => {
      if ((request.raw as { upgrade?: boolean }).upgrade === true && upgrades.#waiting.has(request.raw.socket)) destroySoon(request.raw.socket)
      done()
    })
    return upgrades
  }

  private constructor (fastify: FastifyInstance) {
    this.#fastify = fastify
  }

  leave (): void {
    if (--this.#users > 0) return
    this.#fastify.server.removeListener('upgrade', this.#onUpgrade)
    this.#pipelining?.stop()
  }

  /** Registers the path of a route of this plugin. */
  serves (path: string): void {
    this.#paths.add(path)
  }

  /** Call when Fastify starts to close: it answers upgrades itself, and other listeners are gone. */
  closing (): void {
    this.#closing = true
  }

  /** Answers all undecided upgrades, so that slow hooks do not delay the close. */
  giveUp (): void {
    this.#undecided.expireAll()
  }

  /** Whether a request asks for an upgrade. */
  asks (request: FastifyRequest): boolean {
    // Looked up by connection, because `request.raw` may have been wrapped.
    return this.#waiting.has(request.raw.socket)
  }

  /** Removes and returns the upgrade that a request asks for. The caller must make it. */
  take (request: FastifyRequest): Upgrade | undefined {
    const { socket } = request.raw
    const upgrade = this.#waiting.get(socket)
    if (upgrade !== undefined) {
      this.#waiting.delete(socket)
      socket.removeListener('error', onError)
      detach(upgrade)
      const early = upgrade.watch?.stop() ?? []
      if (early.length > 0) return { ...upgrade, head: Buffer.concat([upgrade.head, ...early]) }
    }
    return upgrade
  }

  /** Refuses an upgrade that other code took to a route of this plugin and that was not decided in time. */
  #giveUpOthers (socket: Duplex): void {
    if (!this.#waiting.delete(socket) || written(socket) > 0) return
    refuse(socket, '503 Service Unavailable')
  }

  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (this.#pipelining?.refuses(socket) === true) return
    // Node.js removed its own listener: without one, a connection that breaks while hooks run would end the process.
    socket.on('error', onError)
    this.#waiting.set(socket, { request, socket, head, traces: tracesOf(socket), watch: null, response: null })
    process.nextTick(settle, this, socket)
  }

  /** Called when all listeners have seen the upgrade. */
  settle (socket: Duplex): void {
    const upgrade = this.#waiting.get(socket)
    if (upgrade === undefined || socket.destroyed) return
    if (upgrade.traces === tracesOf(socket)) this.#route(upgrade)
    // While it closes, Fastify answers 503 itself, without any hook.
    else if (this.#closing && written(socket) > 0 && socket.listenerCount('data') === 0) destroySoon(socket)
    else if (this.#paths.has(pathOf(upgrade.request))) this.#undecided.add(upgrade.watch = new Undecided(socket, () => this.#giveUpOthers(socket)))
  }

  #route (upgrade: Upgrade): void {
    const { request, socket } = upgrade
    if (request.method !== 'GET') {
      refuse(socket, '405 Method Not Allowed\r\nAllow: GET')
      return
    }
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    try {
      response.assignSocket(socket as Socket)
    } catch {
      // An earlier response is still being written.
      destroySoon(socket)
      return
    }
    upgrade.response = response
    response.on('finish', onAnswered)
    this.#fastify.routing(request, response)
    if (!this.#waiting.has(socket) || response.writableEnded) return
    upgrade.watch = new Watch(socket, () => this.#giveUp(upgrade, response))
    // Other upgrades, such as to HTTP/2, are ordinary requests here and may take as long as their routes allow.
    if (request.headers.upgrade?.toLowerCase() === 'websocket') this.#undecided.add(upgrade.watch)
  }

  /** Answers an upgrade that no hook decided in time or before the close. A later decision finds no upgrade. */
  #giveUp ({ request, socket }: Upgrade, response: ServerResponse): void {
    this.#waiting.delete(socket)
    const { statusCode, code, message } = this.#closing ? scError('SC_ERR_CLOSING') : scError('SC_ERR_UPGRADE_TIMEOUT', [this.#undecided.duration])
    if (!this.#closing) writeLine(this.#fastify.log, 'warn', 'hooks did not decide about an upgrade in time', { path: pathOf(request), timeout: this.#undecided.duration })
    response.writeHead(statusCode!, { 'content-type': 'application/json; charset=utf-8', connection: 'close' })
    response.end(JSON.stringify({ statusCode, code, error: STATUS_CODES[statusCode!], message }))
  }
}

function settle (upgrades: Upgrades, socket: Duplex): void {
  try {
    upgrades.settle(socket)
  } catch {
    // A function that Fastify calls before its hooks threw: `trustProxy`, `genReqId`, a constraint.
    socket.destroy()
  }
}

/** Frees the response of an upgrade that is made, which would otherwise live as long as the websocket. */
function detach ({ response, socket }: Upgrade): void {
  // Whoever listens to the response waits for the end of the connection.
  if (response?.socket !== socket || response.listenerCount('close') !== 0) return
  response.detachSocket(socket as Socket)
}

function onAnswered (this: ServerResponse): void {
  destroySoon(this.socket)
}

function onError (this: Duplex): void {
  this.destroy()
}

/** The path without the query, which may contain a token. */
function pathOf ({ url = '' }: IncomingMessage): string {
  return url.split('?', 1)[0]!
}

function refuse (socket: Duplex, status: string): void {
  socket.write(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
  destroySoon(socket)
}

/** Closes a connection after the written data has reached the client. */
function destroySoon (socket: Duplex | null | undefined): void {
  if (socket instanceof Socket) socket.destroySoon()
  else socket?.destroy()
}
