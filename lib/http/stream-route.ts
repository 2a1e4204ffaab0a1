import type { FastifyReply, FastifyRequest } from 'fastify'
import { scError, typeName } from '../errors.js'
import type { ServerCore } from '../server/core.js'
import { runMiddleware } from '../server/routes.js'
import type { AcceptedStream } from '../server/streams.js'
import { StreamRefusal } from '../socket/stream-client.js'
import { Heartbeat } from '../transport/heartbeat.js'
import { type ErrorResponse, errorResponse, httpError } from './error-response.js'
import { isGone } from './gone.js'
import { type StreamLimitOptions, StreamLimits } from './stream-limits.js'
import { bearerToken, requestUser } from './request-user.js'
import type { StreamTickets } from './stream-tickets.js'

/** The most channels of one stream. */
export const maxStreamChannels = 20

const streamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  // A proxy must neither keep the stream nor gather it to compress it.
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no'
}

/** Options of streams. */
export interface StreamOptions extends StreamLimitOptions {
  /** Milliseconds between two comments. */
  readonly heartbeat: number
}

interface StreamQuery {
  readonly channels: readonly string[]
  readonly cursor: string | undefined
  readonly ticket: string | undefined
}

/** `GET /stream`: the response is a stream of what is published to channels. */
export class StreamRoute {
  readonly limits: StreamLimits
  readonly #core: ServerCore
  readonly #tickets: StreamTickets
  readonly #heartbeat: Heartbeat

  constructor (core: ServerCore, tickets: StreamTickets, options: StreamOptions) {
    this.#core = core
    this.#tickets = tickets
    this.limits = new StreamLimits(options)
    this.#heartbeat = new Heartbeat(options.heartbeat, Infinity)
  }

  /** @param authorize asks the application about the channels; throws to refuse */
  async answer (request: FastifyRequest, reply: FastifyReply, authorize: (channels: readonly string[]) => unknown): Promise<FastifyReply> {
    let stream: AcceptedStream | null
    try {
      stream = await this.#open(request, reply, authorize)
      // It may have ended since it was accepted.
      if (stream !== null && stream.failure !== null) throw stream.failure
    } catch (err) {
      return refuse(reply, err instanceof StreamRefusal ? errorResponse(err.shown, err.byDefault) : httpError(err, request.log, { denied: true }))
    }
    // The answer that stops an EventSource.
    if (stream === null) return reply.code(204).send()
    reply.hijack()
    const { raw } = reply
    for (const [name, value] of Object.entries({ ...reply.getHeaders(), ...streamHeaders })) if (value !== undefined) raw.setHeader(name, value)
    if (request.raw.httpVersionMajor === 1) {
      // The end of the connection is that of the stream: without chunks, all streams share the bytes of a publication.
      raw.setHeader('connection', 'close')
      raw.removeHeader('transfer-encoding')
    }
    raw.writeHead(200)
    stream.start()
    return reply
  }

  async #open (request: FastifyRequest, reply: FastifyReply, authorize: (channels: readonly string[]) => unknown): Promise<AcceptedStream | null> {
    const { draining, ready, gate, middleware: { handshakeWS }, streams } = this.#core
    if (draining || !ready) throw scError('SC_ERR_CLOSING')
    const refusal = gate.requestRefusal(request)
    if (refusal !== undefined) throw refusal
    const { channels, cursor, ticket } = readQuery(request)
    // Of a response that is closed already, nobody would hear the end.
    stay(reply)
    this.limits.take(reply.raw)
    if (handshakeWS.length > 0) await runMiddleware(this.#core, handshakeWS, request)
    await authorize(channels)
    const user = ticket === undefined ? requestUser(this.#core, request) : await this.#tickets.redeem(ticket)
    const token = user === null ? bearerToken(request) : undefined
    stay(reply)
    return await streams.open(request, reply.raw, { channels, cursor, token, user }, this.#heartbeat, (session) => { this.limits.takeKey(reply.raw, session) })
  }
}

/** @throws BadConnectionError for a client that left while hooks or `authorize` ran */
function stay ({ raw }: FastifyReply): void {
  if (isGone(raw)) throw scError('SC_ERR_SSE_GONE')
}

/** @throws InvalidArgumentsError for a query of another form */
function readQuery (request: FastifyRequest): StreamQuery {
  const { channel, lastEventId, ticket } = request.query as Record<string, unknown>
  const channels = [...new Set(Array.isArray(channel) ? channel as unknown[] : channel === undefined ? [] : [channel])]
  if (channels.length === 0 || channels.length > maxStreamChannels || !channels.every((name) => typeof name === 'string')) {
    throw scError('SC_ERR_HTTP_QUERY', ['channel', `1 to ${maxStreamChannels} names`, channels.length])
  }
  // The header is that of a client that connects again by itself, so it is newer than the query.
  const cursor = request.headers['last-event-id'] ?? lastEventId
  return { channels: channels as string[], cursor: textOf('lastEventId', cursor), ticket: textOf('ticket', ticket) }
}

function textOf (name: string, value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined
  if (typeof value !== 'string') throw scError('SC_ERR_HTTP_QUERY', [name, 'one text', typeName(value)])
  return value
}

function refuse (reply: FastifyReply, { statusCode, headers, body }: ErrorResponse): FastifyReply {
  return reply.code(statusCode).headers(headers).send(body)
}
