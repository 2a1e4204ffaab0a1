import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ServerCore } from '../server/core.js'
import { httpError } from './error-response.js'
import { type StreamOptions, StreamRoute, maxStreamChannels } from './stream-route.js'
import { StreamTickets } from './stream-tickets.js'

/** What the routes of streams ask of the plugin. */
export interface StreamRoutesPort {
  readonly core: ServerCore
  readonly options: StreamOptions
  /** Asks the application; throws to refuse. `channels` are those of a stream, none for a ticket. */
  authorize (request: FastifyRequest, channels: readonly string[] | null): unknown
  /** The schema of a route. */
  schema (route: 'stream' | 'streamTicket'): object
}

/** What a query of a stream looks like, for documents. */
export const streamQuery = {
  type: 'object',
  required: ['channel'],
  properties: {
    channel: { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: maxStreamChannels, description: 'The names of channels.' },
    lastEventId: { type: 'string', description: 'The id of the last event that the client has; the header Last-Event-ID wins.' },
    ticket: { type: 'string', description: 'A ticket of POST /stream/ticket, for clients that cannot send a token.' }
  }
}

/** Adds `GET /stream` and `POST /stream/ticket` to a context. */
export function addStreamRoutes (instance: FastifyInstance, { core, options, authorize, schema }: StreamRoutesPort): void {
  const tickets = new StreamTickets(core)
  const streams = new StreamRoute(core, tickets, options)
  instance.route({
    method: 'GET',
    url: '/stream',
    // A HEAD request would have no end.
    exposeHeadRoute: false,
    config: { sc: { operation: 'stream' } },
    schema: schema('stream'),
    // The query may have one channel or several; `StreamRoute` reads it.
    validatorCompiler: () => () => true,
    handler: (request, reply) => streams.answer(request, reply, (channels) => authorize(request, channels))
  })
  instance.route({
    method: 'POST',
    url: '/stream/ticket',
    config: { sc: { operation: 'streamTicket' } },
    schema: schema('streamTicket'),
    handler: async (request, reply) => {
      try {
        const refusal = core.gate.requestRefusal(request)
        if (refusal !== undefined) throw refusal
        await authorize(request, null)
        const ticket = await tickets.issue(await tickets.identify(request))
        return await reply.header('cache-control', 'no-store').send(ticket)
      } catch (err) {
        const { statusCode, headers, body } = httpError(err, request.log, { denied: true })
        return reply.code(statusCode).headers(headers).send(body)
      }
    }
  })
}
