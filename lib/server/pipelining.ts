import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/**
 * Refuses upgrades that a client sent before it had the answers to its requests before them. Nobody could make such an upgrade,
 * and since Node.js no longer reads from its connection the client could go and nobody would see it.
 */
export class Pipelining {
  readonly #server: Server
  /** The last answer of each connection that began, finished or not. */
  readonly #last = new WeakMap<Duplex, ServerResponse>()
  readonly #refused = new WeakSet<Duplex>()

  constructor (server: Server) {
    this.#server = server
    server.prependListener('request', this.#onRequest)
    server.prependListener('upgrade', this.#onUpgrade)
  }

  /** Whether the upgrade of this connection is refused as soon as the answers before it are written. */
  refuses (socket: Duplex): boolean {
    return this.#refused.has(socket)
  }

  stop (): void {
    this.#server.removeListener('request', this.#onRequest)
    this.#server.removeListener('upgrade', this.#onUpgrade)
  }

  readonly #onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    this.#last.set(request.socket, response)
  }

  readonly #onUpgrade = (_request: IncomingMessage, socket: Duplex): void => {
    const last = this.#last.get(socket)
    if (last === undefined || last.closed) return
    this.#refused.add(socket)
    last.once('close', () => {
      if (!socket.destroyed) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', () => (socket as Socket).destroySoon())
    })
    // Otherwise nobody would learn that the client is gone: by an error, or by the end of what it sends.
    socket.on('error', () => socket.destroy())
    socket.on('end', () => socket.destroy())
    socket.resume()
  }
}
