import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { scPlugin, type ScPluginOptions, type ScServer, type ScServerSocket } from '../../lib/index.js'
import type { Cleanup } from './raw.js'

export interface Served {
  app: FastifyInstance
  sc: ScServer
  port: number
  /** What the server warned of so far. */
  warnings: any[]
  /** The server's side of the connection that is made next, when its handshake is done. */
  nextSocket (): Promise<ScServerSocket>
}

export const authKey = 'a secret of tests that has more than thirty-two bytes'

/** An application with the plugin, on a free port. */
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
