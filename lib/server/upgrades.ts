import type { IncomingMessage, Server } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { Pipelining } from './pipelining.js'

export interface UpgradeGuard {
  /** Fastify closes: an upgrade that nobody answers any more is refused. */
  closing (): void
  /** Takes the guard off the HTTP server. */
  stop (): void
}

/**
 * Frees the connection of every upgrade that is answered without being upgraded. Left alone it would stay open, unread, and
 * hold up `fastify.close()`.
 */
export function guardUpgrades (fastify: FastifyInstance): UpgradeGuard {
  // A hook that rejects before @fastify/websocket's own hook ran: it takes the request for an ordinary one.
  fastify.addHook('onResponse', (request, _reply, done) => {
    if ((request.raw as { upgrade?: boolean }).upgrade === true && request.ws !== true) destroySoon(request.raw.socket)
    done()
  })
  // Fastify answers 503 itself while it closes, without any hook, in the very turn of the upgrade. So whatever was answered in
  // that turn, and not by an upgrade, is over.
  let upgraded: IncomingMessage | undefined
  let written: number | undefined
  const onHeaders = (_headers: string[], request: IncomingMessage): void => { upgraded = request }
  const before = (_request: IncomingMessage, socket: Duplex): void => { written = (socket as Socket).bytesWritten }
  let closing = false
  const after = (request: IncomingMessage, socket: Duplex): void => {
    if (upgraded === request || pipelining.refuses(socket)) return
    const answered = (socket as Socket).bytesWritten !== written
    // An application's own @fastify/websocket stops listening when Fastify begins to close.
    if (closing && !answered) socket.write('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    if (closing || answered) destroySoon(socket)
  }
  const { server, websocketServer } = fastify
  websocketServer.on('headers', onHeaders)
  server.prependListener('upgrade', before)
  server.on('upgrade', after)
  const pipelining = new Pipelining(server as Server)
  return {
    closing () { closing = true },
    stop () {
      pipelining.stop()
      websocketServer.removeListener('headers', onHeaders)
      server.removeListener('upgrade', before)
      server.removeListener('upgrade', after)
    }
  }
}

/** Lets what is written reach the client first. */
function destroySoon (socket: Duplex | undefined): void {
  if (socket instanceof Socket) socket.destroySoon()
  else socket?.destroy()
}
