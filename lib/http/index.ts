import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { ScHttpOptions } from '../../types/http.js'
import '../../types/fastify.js'
import { prepareContext } from './operation-context.js'
import { checkOperationOptions } from './operation-options.js'
import { schemaOf } from './operation-schemas.js'
import { handle, methodOf } from './operations.js'

export type * from '../../types/http.js'

/** How many registrations each server has: an `operationId` may occur once in a document. */
const registrations = new WeakMap<object, number>()

async function httpFn (instance: FastifyInstance, rawOptions: ScHttpOptions): Promise<void> {
  const options = checkOperationOptions(rawOptions)
  const count = (registrations.get(instance.scServer) ?? 0) + 1
  registrations.set(instance.scServer, count)
  prepareContext(instance)
  for (const name of new Set(options.operations)) {
    instance.route({
      method: methodOf(name),
      url: `/${name}`,
      config: { sc: { operation: name } },
      schema: schemaOf(name, `sc${name[0]!.toUpperCase()}${name.slice(1)}${count === 1 ? '' : count}`, options.openapi ?? {}),
      handler: (request, reply) => handle(name, instance, options, request, reply)
    })
  }
}

/**
 * A plugin with the routes of operations: publish, kick out, disconnect and revoke, lists of channels, sockets and nodes, and the
 * history and the presence of channels. Register it after `fastify-socketcluster`. The routes are in a context of their own, in which
 * the hooks of the contexts around it run.
 *
 * ```ts
 * await app.register(scPlugin)
 * await app.register(scHttp, { prefix: '/realtime', authorize: (request) => request.headers.authorization === `Bearer ${key}` })
 * ```
 */
export const scHttp = fp(httpFn, { fastify: '>=5.8.1 <6', name: 'fastify-socketcluster-http', dependencies: ['fastify-socketcluster'], encapsulate: true })

export { scHttp as default, scHttp as 'module.exports' }
