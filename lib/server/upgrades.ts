import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'

/**
 * Frees the connection of every upgrade that is answered without being upgraded. Left alone it would stay open, unread, and
 * hold up `fastify.close()`.
 *
 * @returns takes the guard off the HTTP server again
 */
export function guardUpgrades (fastify: FastifyInstance): () => void {
  // A hook that rejects before @fastify/websocket's own hook ran: it takes the request for an ordinary one.
  fastify.addHook('onResponse', (request, _reply, done) => {
    if ((request.raw as { upgrade?: boolean }).upgrade === true && request.ws !== true) destroySoon(request.raw.socket)
    done()
  })
  // Fastify answers 503 itself while it closes, without any hook. That answer is written by the time this listener runs.
  let closing = false
  fastify.addHook('preClose', (done) => {
    closing = true
    done()
  })
  const onUpgrade = (_request: IncomingMessage, socket: Duplex): void => {
    if (closing) destroySoon(socket)
  }
  fastify.server.on('upgrade', onUpgrade)
  return () => fastify.server.removeListener('upgrade', onUpgrade)
}

/** Lets what is written reach the client first. */
function destroySoon (socket: Duplex | undefined): void {
  if (socket instanceof Socket) socket.destroySoon()
  else socket?.destroy()
}
