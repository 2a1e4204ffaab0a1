import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { HookName } from '../types/hooks.js'
import type { ScPluginOptions } from '../types/options.js'
import type { EventRoute } from '../types/routes.js'
import '../types/fastify.js'
import { createJwtEngine } from './auth/engine.js'
import { EventDeclaration } from './contracts/declarations.js'
import { fillPattern } from './contracts/fill-pattern.js'
import { scError, typeName } from './errors.js'
import { EventRoutes } from './http/event-routes.js'
import type { AnyHook } from './lifecycle/run.js'
import { hookNames } from './lifecycle/scope.js'
import { writeLine } from './log.js'
import { resolveOptions } from './options.js'
import { ServerCore } from './server/core.js'
import { addRoutes } from './server/routes.js'
import { Upgrades } from './server/upgrades.js'
import { createWebSocketServer } from './transport/websocket-server.js'

/** Hooks that run before there is an event or a channel. Only the context that registers the plugin can have them. */
const rootHooks: readonly HookName[] = ['handshakeSC', 'authenticate']

async function scPluginFn (fastify: FastifyInstance, rawOptions: ScPluginOptions): Promise<void> {
  if (fastify.hasDecorator('scServer')) throw scError('SC_ERR_ALREADY_REGISTERED')
  if (!speaksHttp1(fastify)) throw scError('SC_ERR_HTTP2')
  const { options, warnings } = resolveOptions(rawOptions, fastify.prefix)
  for (const warning of warnings) writeLine(fastify.log, 'warn', warning)

  const engine = await createJwtEngine(fastify, options)
  const core = new ServerCore(fastify, options, options.authEngine ?? engine)
  const { scopes, contracts } = core
  const overHttp = new EventRoutes(core)
  let ready = false

  fastify.decorate('scServer', core.server)
  fastify.decorate('scChannelOf', ((_channels: unknown, pattern: string, params?: Record<string, string>) =>
    core.exchange.channel(fillPattern(pattern, params, (reason) => scError('SC_ERR_CONTRACT', [pattern, reason])))) as FastifyInstance['scChannelOf'])
  fastify.decorate('scEvent', function (this: FastifyInstance, name: string, contract: unknown, handler: EventRoute['handler']) {
    const event = contracts.declareEvent(scopes.of(this), this, name, contract, handler)
    if (event instanceof EventDeclaration) overHttp.add(event)
    return this
  } as FastifyInstance['scEvent'])
  fastify.decorate('scChannel', function (this: FastifyInstance, pattern: string, contract: unknown) {
    contracts.declareChannel(scopes.of(this), this, pattern, contract)
    return this
  } as FastifyInstance['scChannel'])
  fastify.decorate('scDeclarations', () => ({ events: contracts.declaredEvents(), channels: contracts.declaredChannels() }))
  fastify.decorate('scHook', function (this: FastifyInstance, name: HookName, hook: AnyHook) {
    if (ready) throw scError('SC_ERR_AFTER_READY', ['scHook'])
    if (!hookNames.includes(name)) throw scError('SC_ERR_HOOK_NAME', [name, hookNames.join(', ')])
    if (typeof hook !== 'function') throw scError('SC_ERR_HOOK_FUNCTION', [name, typeName(hook)])
    const scope = scopes.of(this)
    if (scope !== scopes.root && rootHooks.includes(name)) throw scError('SC_ERR_HOOK_SCOPE', [name])
    // Fastify adds its own hooks in `after` too, so the order is the same. An error of a plugin goes to the next handler.
    this.after(() => { scope.add(name, hook) })
    return this
  } as FastifyInstance['scHook'])

  // `this` is the parent context. The code of the child context has not run yet.
  fastify.addHook('onRegister', function (child) {
    scopes.addChild(child, this)
  })

  const upgrades = Upgrades.join(fastify, options.handshakeTimeout)
  const websocketServer = createWebSocketServer(options)
  addRoutes(fastify, core, upgrades, websocketServer)

  fastify.addHook('preClose', async () => {
    upgrades.closing()
    await core.drain()
    upgrades.giveUp()
    await new Promise((resolve) => websocketServer.close(resolve))
  })
  fastify.addHook('onReady', async () => {
    ready = true
    const keys = engine.resolve()
    if (keys.source === 'application' && options.authAudience === undefined && options.authEngine === undefined) {
      writeLine(fastify.log, 'warn', 'Every token of this application\'s @fastify/jwt opens sockets, whatever it was made for, and a socket\'s token passes for one of a route; set the option authAudience, or to false if that is meant')
    }
    await core.start(keys)
  })
  fastify.addHook('onClose', async () => {
    // A server that never became ready was not drained before.
    await core.drain()
    upgrades.leave()
  })
}

/** Whether a server accepts websockets over HTTP/1.1. Neither Fastify nor ws supports websockets over HTTP/2. */
function speaksHttp1 ({ server, initialConfig: { https } }: FastifyInstance): boolean {
  // Only HTTP/2 servers have this method, also those that the application created itself.
  if (typeof (server as { updateSettings?: unknown }).updateSettings !== 'function') return true
  return typeof https === 'object' && https.allowHTTP1 === true
}

/** The plugin: `fastify.register(scPlugin, options)`. */
export const scPlugin = fp(scPluginFn, { fastify: '>=5.8.1 <6', name: 'fastify-socketcluster' })
