import type { IncomingMessage } from 'node:http'
import { Server as TlsServer } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import { WebSocket } from 'ws'
import { scError } from '../errors.js'
import { createWire } from './wire.js'

export interface UpgradeOptions {
  path: string
  headers: Record<string, string>
  remoteAddress: string
  /** Milliseconds to wait for the upgrade. */
  timeout: number
  /** Called before the server can send anything. */
  onSocket: (ws: WebSocket) => void
}

/** The maximum size of the response body that an error contains when the server refuses the upgrade. */
const maxBody = 65_536

/**
 * Opens a websocket through the application's own HTTP server, which accepts any stream as a connection. The HTTP parser,
 * Fastify's routing and hooks, and the upgrade are the real ones.
 *
 * @throws SC_ERR_UPGRADE_REFUSED with `statusCode`, `headers` and `body` when the server answers with anything but an upgrade
 */
export async function upgrade (app: FastifyInstance, { path, headers, remoteAddress, timeout, onSocket }: UpgradeOptions): Promise<WebSocket> {
  const wire = createWire(app.server, { remoteAddress, remotePort: 49_152, remoteFamily: remoteAddress.includes(':') ? 'IPv6' : 'IPv4' })
  // A TLS server passes the decrypted connection to its HTTP part through this event.
  app.server.emit((app.server as unknown) instanceof TlsServer ? 'secureConnection' : 'connection', wire.server)
  // The `Host` is `localhost`, as from clients on this machine, so that `origins: 'same-host'` works as usual.
  const ws = new WebSocket(`ws://localhost${path.startsWith('/') ? path : `/${path}`}`, {
    createConnection: () => wire.client as never,
    headers,
    perMessageDeflate: false
  })
  onSocket(ws)
  let timer: NodeJS.Timeout | undefined
  try {
    return await new Promise<WebSocket>((resolve, reject) => {
      timer = setTimeout(() => reject(scError('SC_ERR_NOTHING_CAME', ['answer to the upgrade', timeout])), timeout)
      ws.once('open', () => resolve(ws))
      ws.once('unexpected-response', (_request, response) => { refusal(response).then(reject, reject) })
      // The listener stays, so that a later error does not throw; the `close` event reports the end.
      ws.on('error', reject)
    })
  } catch (err) {
    wire.client.destroy()
    throw err
  } finally {
    clearTimeout(timer)
  }
}

async function refusal (response: IncomingMessage): Promise<Error> {
  let text = ''
  response.setEncoding('utf8')
  for await (const chunk of response) {
    text += chunk
    if (text.length > maxBody) break
  }
  let body: unknown = text
  try {
    body = JSON.parse(text)
  } catch {}
  const { statusCode, headers } = response
  return scError('SC_ERR_UPGRADE_REFUSED', [statusCode, text], { statusCode, headers, body })
}
