import websocket, { type WebsocketPluginOptions } from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { WebSocket } from 'ws'
import type { Hook, HookName } from '../types/hooks.js'
import type { ResolvedOptions, ScPluginOptions } from '../types/options.js'
import type { ScServerSocket } from '../types/server.js'
import '../types/fastify.js'
import { createJwtEngine } from './auth/engine.js'
import { fillPattern } from './contracts/fill-pattern.js'
import { scError, typeName } from './errors.js'
import { hookNames } from './lifecycle/scope.js'
import { writeLine } from './log.js'
import { resolveOptions } from './options.js'
import { ServerCore } from './server/core.js'
import { addRoutes } from './server/routes.js'
import { guardUpgrades } from './server/upgrades.js'

/** Hooks that run before there is an event or a channel, so that only one context can have them. */
const rootHooks: readonly HookName[] = ['handshakeSC', 'authenticate']

async function scPluginFn (fastify: FastifyInstance, rawOptions: ScPluginOptions): Promise<void> {
  if (fastify.hasDecorator('scServer')) throw scError('SC_ERR_ALREADY_REGISTERED')
  const { options, warnings } = resolveOptions(rawOptions)
  for (const warning of warnings) writeLine(fastify.log, 'warn', warning)

  const engine = await createJwtEngine(fastify, options)
  const core = new ServerCore(fastify, options, options.authEngine ?? engine)
  const { scopes, contracts } = core
  let ready = false

  fastify.decorate('scServer', core.server)
  fastify.decorate('scChannelOf', ((_channels: unknown, pattern: string, params?: Record<string, string>) =>
    core.exchange.channel(fillPattern(pattern, params, (reason) => scError('SC_ERR_CONTRACT', [pattern, reason])))) as FastifyInstance['scChannelOf'])
  fastify.decorate('scEvent', function (this: FastifyInstance, name: string, contract: unknown, handler: any) {
    contracts.declareEvent(scopes.of(this), this, name, contract, handler)
    return this
  } as FastifyInstance['scEvent'])
  fastify.decorate('scChannel', function (this: FastifyInstance, pattern: string, contract: unknown) {
    contracts.declareChannel(scopes.of(this), this, pattern, contract)
    return this
  } as FastifyInstance['scChannel'])
  fastify.decorate('scDeclarations', () => ({ events: contracts.declaredEvents(), channels: contracts.declaredChannels() }))
  fastify.decorate('scHook', function (this: FastifyInstance, name: HookName, hook: Hook<any, ScServerSocket, FastifyInstance>) {
    if (ready) throw scError('SC_ERR_AFTER_READY', ['scHook'])
    if (!hookNames.includes(name)) throw scError('SC_ERR_HOOK_NAME', [name, hookNames.join(', ')])
    if (typeof hook !== 'function') throw scError('SC_ERR_HOOK_FUNCTION', [name, typeName(hook)])
    const scope = scopes.of(this)
    if (scope !== scopes.root && rootHooks.includes(name)) throw scError('SC_ERR_HOOK_SCOPE', [name])
    // As late as Fastify adds hooks of its own, which makes the order the same. An error of a plugin goes on to the next handler.
    this.after(() => { scope.add(name, hook) })
    return this
  } as FastifyInstance['scHook'])

  // `this` is the parent, and the child's own code has not run yet.
  fastify.addHook('onRegister', function (child) {
    scopes.addChild(child, this)
  })

  const ownsWebsocket = !fastify.hasDecorator('websocketServer')
  if (ownsWebsocket) {
    await fastify.register(websocket, {
      options: websocketOptions(options),
      errorHandler: (err: Error, socket: WebSocket, request: FastifyRequest) => {
        writeLine(request.log, 'debug', 'websocket failed', { err })
        socket.terminate()
      },
      preClose: drain
    })
  } else {
    writeLine(fastify.log, 'debug', 'using the @fastify/websocket of the application: its own maxPayload and perMessageDeflate count')
    fastify.addHook('preClose', drain)
  }
  const guard = guardUpgrades(fastify)

  async function drain (this: FastifyInstance): Promise<void> {
    guard.closing()
    await core.drain()
    if (ownsWebsocket) {
      // Connections of the application's own websocket routes.
      for (const client of fastify.websocketServer.clients) client.close(options.closeCode, options.closeReason)
      await new Promise((resolve) => fastify.websocketServer.close(resolve))
    }
  }

  addRoutes(fastify, core, (ws: WebSocket, request: FastifyRequest) => {
    try {
      core.accept(ws, request)
    } catch (err) {
      core.warn(err, request.log)
      ws.terminate()
    }
  })

  fastify.addHook('onReady', async () => {
    ready = true
    await core.start(engine.resolve())
  })
  fastify.addHook('onClose', async () => {
    // A server that never got ready was not drained.
    await core.drain()
    guard.stop()
  })
}

/** The options of the websocket server. Some are newer than its type declarations. */
function websocketOptions ({ maxPayload, perMessageDeflate, closeTimeout }: ResolvedOptions): WebsocketPluginOptions['options'] {
  const options = {
    maxPayload,
    perMessageDeflate: perMessageDeflate === true ? safeDeflate : perMessageDeflate,
    // A client that does not answer a close frame is dropped no later than by the drain.
    closeTimeout: Math.min(closeTimeout, 2_000),
    maxFragments: 256,
    maxBufferedChunks: 4_096
  }
  return options as WebsocketPluginOptions['options']
}

/** Compression that cannot be made to hold much memory: no context is kept, and few messages are compressed at once. */
const safeDeflate = { threshold: 1_024, serverNoContextTakeover: true, clientNoContextTakeover: true, concurrencyLimit: 4 }

/** The plugin: `fastify.register(scPlugin, options)`. */
export const scPlugin = fp(scPluginFn, { fastify: '5.x', name: 'fastify-socketcluster' })
