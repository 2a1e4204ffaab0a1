import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { scPlugin, type ScPluginOptions, type ScServer, type ScServerSocket } from '../../lib/index.js'
import type { Cleanup } from './raw.js'

export interface Served {
  app: FastifyInstance
  sc: ScServer
  port: number
  /** The warnings that the server emitted so far. */
  warnings: any[]
  /** Resolves with the server's socket of the next connection, when its handshake is complete. */
  nextSocket (): Promise<ScServerSocket>
}

export const authKey = 'a secret of tests that has more than thirty-two bytes'

/** Starts an application with the plugin on a free port. */
export async function serve (t: Cleanup | null, options: ScPluginOptions = {}, setUp?: (app: FastifyInstance) => unknown, fastifyOptions: FastifyServerOptions = {}): Promise<Served> {
  const app = Fastify(fastifyOptions)
  await app.register(scPlugin, { authKey, ...options })
  await setUp?.(app)
  const sc = app.scServer
  const warnings: any[] = []
  sc.on('warning', (err) => warnings.push(err))
  await app.listen({ port: 0, host: '127.0.0.1' })
  t?.teardown(() => app.close())
  return {
    app,
    sc,
    warnings,
    port: (app.server.address() as AddressInfo).port,
    nextSocket: async () => (await once(sc, 'connection'))[0] as ScServerSocket
  }
}
