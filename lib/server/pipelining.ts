import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/**
 * Refuses upgrades that a client sends before its earlier requests are answered. No route could make such an upgrade, and since
 * Node.js stops reading from the connection, the server would not notice when the client leaves.
 */
export class Pipelining {
  readonly #server: Server
  /** The latest response started on each connection, finished or not. */
  readonly #last = new WeakMap<Duplex, ServerResponse>()
  readonly #refused = new WeakSet<Duplex>()

  constructor (server: Server) {
    this.#server = server
    server.prependListener('request', this.#onRequest)
    server.prependListener('upgrade', this.#onUpgrade)
  }

  /** Whether the upgrade on this connection will be refused once the earlier responses are written. */
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
    // Read and listen, to notice when the client is gone: by an error or by the end of its data.
    socket.on('error', () => socket.destroy())
    socket.on('end', () => socket.destroy())
    socket.resume()
  }
}
