import { STATUS_CODES } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import type { WebSocketServer } from 'ws'
import { follow } from '../barrier.js'
import { ScError, scError } from '../errors.js'
import { runHooks } from '../lifecycle/run.js'
import { isInstance, messageOf } from '../untrusted.js'
import type { ServerCore } from './core.js'
import type { LegacyMiddleware } from './legacy-middleware.js'
import type { Upgrades } from './upgrades.js'

/** Seconds after which a refused client may try again. */
const retryAfter = 10

/**
 * Adds the websocket route, with and without the trailing slash. Fastify's hooks run first, then the origin check, then
 * SocketCluster's `handshakeWS` middleware. A hook or check that rejects sets the HTTP status.
 */
export function addRoutes (fastify: FastifyInstance, core: ServerCore, upgrades: Upgrades, websocketServer: WebSocketServer): void {
  const { path } = core.options

  // Uses a callback: an async hook would create an unneeded promise for every connection.
  function onRequest (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void {
    const { handshakeWS } = core.middleware
    try {
      if (upgrades.asks(request) && !authorize(request, reply)) return
    } catch (err) {
      done(err as Error)
      return
    }
    if (handshakeWS.length === 0 || !upgrades.asks(request)) done()
    else follow({ fault: (err) => core.monitor.warn(err, request.log) }, runMiddleware(core, handshakeWS, request), () => done(), (err) => done(err as Error))
  }

  /** Checks an upgrade request. Returns false when it was refused and already answered. */
  function authorize (request: FastifyRequest, reply: FastifyReply): boolean {
    if (core.draining || !core.ready) {
      reply.header('retry-after', retryAfter)
      throw scError('SC_ERR_CLOSING')
    }
    const refusal = core.connections.admission.ask(request.ip)
    if (refusal !== undefined) {
      core.monitor.refused(request.ip, refusal)
      refuse(reply, refusal)
      return false
    }
    const notAllowed = core.gate.upgradeRefusal(request)
    if (notAllowed !== undefined) throw notAllowed
    return true
  }

  function handler (request: FastifyRequest, reply: FastifyReply): void {
    const upgrade = upgrades.take(request)
    if (upgrade === undefined) {
      // The hooks took too long, and the request was already answered.
      if (reply.sent) return
      reply.header('upgrade', 'websocket')
      throw scError('SC_ERR_UPGRADE_REQUIRED')
    }
    reply.hijack()
    websocketServer.handleUpgrade(upgrade.request, upgrade.socket, upgrade.head, (ws) => {
      try {
        if (core.connections.accept(ws, request)) return
      } catch (err) {
        core.monitor.warn(err, request.log)
        ws.terminate()
      }
      // Without a listener an error would be thrown. ws ends the connection.
      ws.on('error', () => {})
    })
  }

  // An application's own @fastify/websocket wraps the handler of every route. Restore it for this one.
  fastify.addHook('onRoute', (route) => {
    if (route.onRequest === onRequest) route.handler = handler
  })
  for (const url of urlsOf(fastify, path)) {
    upgrades.serves(fastify.prefix + url)
    try {
      fastify.route({
        method: 'GET',
        url,
        schema: { hide: true } as object,
        onRequest,
        handler
      })
    } catch (err) {
      if ((err as { code?: string }).code === 'FST_ERR_DUPLICATED_ROUTE') throw scError('SC_ERR_PATH_TAKEN', [path])
      throw err
    }
  }
}

/** The path within the context: with and without the trailing slash, if Fastify treats them as different. */
function urlsOf ({ prefix, initialConfig }: FastifyInstance, path: string): string[] {
  const url = `/${path.slice(prefix.length).replace(/^\//, '')}`
  const { routerOptions, ignoreTrailingSlash } = initialConfig as { routerOptions?: { ignoreTrailingSlash?: boolean }, ignoreTrailingSlash?: boolean }
  return url === '/' || (routerOptions?.ignoreTrailingSlash ?? ignoreTrailingSlash) === true ? [url] : [url, url.slice(0, -1)]
}

/** Answers like Fastify's error handler but without a log line: there may be thousands of refusals. */
function refuse (reply: FastifyReply, { message, code, statusCode = 503 }: ScError): void {
  reply.code(statusCode).header('retry-after', retryAfter).send({ statusCode, code, error: STATUS_CODES[statusCode], message })
}

/** Runs `handshakeWS` middleware for a request. @throws ServerProtocolError when it blocks */
export async function runMiddleware (core: ServerCore, middleware: LegacyMiddleware['handshakeWS'], request: FastifyRequest): Promise<void> {
  try {
    await runHooks('handshakeWS', middleware, undefined, request.raw, core.deadlines.hooks)
  } catch (thrown) {
    const { shown } = core.monitor.upgradeDenied(request, thrown)
    // The client only gets the id of an internal error.
    if (isInstance(shown, ScError)) throw scError('SC_ERR_HANDSHAKE_BLOCKED', [`Internal error ${String(shown.id)}`])
    throw scError('SC_ERR_HANDSHAKE_BLOCKED', [messageOf(shown)])
  }
}
