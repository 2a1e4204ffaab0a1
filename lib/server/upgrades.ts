import { type IncomingMessage, STATUS_CODES, type Server, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Deadlines } from '../deadlines.js'
import { scError } from '../errors.js'
import { writeLine } from '../log.js'
import { Pipelining } from './pipelining.js'
import { Undecided, Watch, tracesOf, written } from './undecided.js'

/** An upgrade that was asked for and not yet made. */
export interface Upgrade {
  readonly request: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
  /** What could be seen of the connection when nobody had touched it yet. */
  readonly traces: number
  /** Since nobody answered at once. */
  watch: Undecided | null
}

/** Every HTTP server has one, however many registrations share it: two would answer the same upgrade twice. */
const ofServer = new WeakMap<object, Upgrades>()

/**
 * Takes the upgrades of an HTTP server to Fastify's routes, and frees the connection of every upgrade that is answered without
 * being made. Left alone it would stay open, unread, and hold up `fastify.close()`.
 *
 * Others may take upgrades too: an application's own @fastify/websocket, a proxy, a websocket server beside Fastify. All see an
 * upgrade before this one acts, and what one of them took is theirs. If they take it to Fastify's routes and it ends at a route
 * of this plugin, that route makes the upgrade.
 */
export class Upgrades {
  readonly #fastify: FastifyInstance
  readonly #waiting = new WeakMap<Duplex, Upgrade>()
  #pipelining: Pipelining | null = null
  /** Of those that were not decided at once. */
  #undecided = new Deadlines(1)
  /** Where the plugin has routes. */
  readonly #paths = new Set<string>()
  #users = 0
  #closing = false

  /**
   * The upgrades of an application's HTTP server; `leave()` must follow.
   * @param timeout milliseconds that hooks may take to decide; among several registrations the longest counts
   */
  static join (fastify: FastifyInstance, timeout: number): Upgrades {
    let upgrades = ofServer.get(fastify.server)
    if (upgrades === undefined) ofServer.set(fastify.server, upgrades = new Upgrades(fastify))
    if (timeout > upgrades.#undecided.duration) upgrades.#undecided = new Deadlines(timeout)
    if (upgrades.#users++ === 0) {
      fastify.server.prependListener('upgrade', upgrades.#onUpgrade)
      // It looks first.
      upgrades.#pipelining = new Pipelining(fastify.server as Server)
    }
    // A hook that refuses an upgrade which somebody else brought: @fastify/websocket may take it for an ordinary request.
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

  /** The plugin has a route there. */
  serves (path: string): void {
    this.#paths.add(path)
  }

  /** Fastify closes: it answers upgrades itself, and others no longer listen. */
  closing (): void {
    this.#closing = true
  }

  /** Nothing is upgraded any more: hooks that have not decided hold nobody up. */
  giveUp (): void {
    this.#undecided.expireAll()
  }

  /** Whether a request asks for an upgrade. */
  asks (request: FastifyRequest): boolean {
    // By the connection, because `request.raw` may have been wrapped.
    return this.#waiting.has(request.raw.socket)
  }

  /** The upgrade that a request asks for. Who takes it has to make it. */
  take (request: FastifyRequest): Upgrade | undefined {
    const { socket } = request.raw
    const upgrade = this.#waiting.get(socket)
    if (upgrade !== undefined) {
      this.#waiting.delete(socket)
      socket.removeListener('error', onError)
      const early = upgrade.watch?.stop() ?? []
      if (early.length > 0) return { ...upgrade, head: Buffer.concat([upgrade.head, ...early]) }
    }
    return upgrade
  }

  /** Somebody else took it to a route of this plugin. */
  #giveUpOthers (socket: Duplex): void {
    if (!this.#waiting.delete(socket) || written(socket) > 0) return
    refuse(socket, '503 Service Unavailable')
  }

  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (this.#pipelining?.refuses(socket) === true) return
    // Node.js took its own listener away: without one, a connection that breaks while hooks run would end the process.
    socket.on('error', onError)
    this.#waiting.set(socket, { request, socket, head, traces: tracesOf(socket), watch: null })
    process.nextTick(settle, this, socket)
  }

  /** Everybody who listens to upgrades has seen this one. */
  settle (socket: Duplex): void {
    const upgrade = this.#waiting.get(socket)
    if (upgrade === undefined || socket.destroyed) return
    if (upgrade.traces === tracesOf(socket)) this.#route(upgrade)
    // Fastify answers 503 itself while it closes, without any hook.
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
      // An answer before this one is still being written.
      destroySoon(socket)
      return
    }
    response.once('finish', onAnswered)
    this.#fastify.routing(request, response)
    if (!this.#waiting.has(socket) || response.writableEnded) return
    upgrade.watch = new Watch(socket, () => this.#giveUp(upgrade, response))
    // Others, such as HTTP/2's, are ordinary requests here and may take as long as their routes let them.
    if (request.headers.upgrade?.toLowerCase() === 'websocket') this.#undecided.add(upgrade.watch)
  }

  /** No hook decided in time, or before the end. Should one do so later, there is no upgrade any more. */
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
    // What an application has Fastify call before its hooks threw: `trustProxy`, `genReqId`, a constraint.
    socket.destroy()
  }
}

function onAnswered (this: ServerResponse): void {
  destroySoon(this.socket)
}

function onError (this: Duplex): void {
  this.destroy()
}

/** Without the query, which may hold a token. */
function pathOf ({ url = '' }: IncomingMessage): string {
  return url.split('?', 1)[0]!
}

function refuse (socket: Duplex, status: string): void {
  socket.write(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
  destroySoon(socket)
}

/** Lets what is written reach the client first. */
function destroySoon (socket: Duplex | null | undefined): void {
  if (socket instanceof Socket) socket.destroySoon()
  else socket?.destroy()
}
