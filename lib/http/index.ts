import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { ScHttpOptions } from '../../types/http.js'
import '../../types/fastify.js'
import { scError } from '../errors.js'
import { coreOf } from '../server/core.js'
import { prepareContext } from './operation-context.js'
import { checkOperationOptions } from './operation-options.js'
import { schemaOf } from './operation-schemas.js'
import { handle, methodOf } from './operations.js'
import { checkStreamOptions } from './stream-options.js'
import type { StreamOptions } from './stream-route.js'
import { addStreamRoutes, streamQuery } from './stream-routes.js'

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
  const streams = checkStreamOptions(options.streams)
  if (streams !== null) addStreams(instance, options, streams, count)
}

function addStreams (instance: FastifyInstance, { authorize, openapi: { hide, tags = ['SocketCluster'], security } = {} }: ScHttpOptions, options: StreamOptions, count: number): void {
  addStreamRoutes(instance, {
    core: coreOf(instance.scServer),
    options,
    async authorize (request, channels) {
      const operation = channels === null ? { operation: 'streamTicket' as const } : { operation: 'stream' as const, channels }
      if (await authorize.call(instance, request, operation) !== true) throw scError('SC_ERR_NOT_ALLOWED', [operation.operation])
    },
    schema: (route) => ({
      summary: route === 'stream' ? 'Receive what is published to channels as server-sent events' : 'Get a ticket that opens one stream',
      operationId: `sc${route === 'stream' ? 'Stream' : 'StreamTicket'}${count === 1 ? '' : count}`,
      tags,
      ...(hide === undefined ? {} : { hide }),
      ...(security === undefined ? {} : { security }),
      ...(route === 'stream' ? { querystring: streamQuery } : {})
    })
  })
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
