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
  /** Milliseconds. */
  timeout: number
  /** Called before anything can come. */
  onSocket: (ws: WebSocket) => void
}

/** Of an answer that is no upgrade, so much is read for the error. */
const maxBody = 65_536

/**
 * A websocket through the application's own HTTP server, which takes any stream for a connection: its parser, Fastify's routing
 * and hooks, and the upgrade are the real ones.
 *
 * @throws SC_ERR_UPGRADE_REFUSED with `statusCode`, `headers` and `body` when the server answers with anything but an upgrade
 */
export async function upgrade (app: FastifyInstance, { path, headers, remoteAddress, timeout, onSocket }: UpgradeOptions): Promise<WebSocket> {
  const wire = createWire(app.server, { remoteAddress, remotePort: 49_152, remoteFamily: remoteAddress.includes(':') ? 'IPv6' : 'IPv4' })
  // A TLS server hands the decrypted connection to its HTTP part by this event.
  app.server.emit((app.server as unknown) instanceof TlsServer ? 'secureConnection' : 'connection', wire.server)
  // `Host` is the one that clients of this machine send, so that `origins: 'same-host'` counts as usual.
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
      // It stays: what ends the connection later is told by its close.
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
