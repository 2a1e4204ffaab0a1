import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import type { ResolvedOptions } from '../../types/options.js'
import type { SocketHost } from '../socket/host.js'
import { Inbound, type InboundPort } from '../socket/inbound.js'
import type { Session } from '../socket/session.js'
import { createSession } from '../socket/socket.js'
import type { StreamCursor } from '../protocol/stream-cursor.js'
import type { StreamClient } from '../socket/stream-client.js'
import { Deflate } from '../transport/deflate.js'
import { Flusher } from '../transport/flusher.js'
import type { Holdings } from '../transport/holdings.js'
import { StreamConnection } from '../transport/stream-connection.js'
import { endTimeout } from '../transport/websocket-server.js'
import { type TrafficCounters, WsConnection } from '../transport/ws-connection.js'
import { generateId } from './id.js'

/** Creates sessions with their connection and inbound path. They share the write queue, compression and traffic counters. */
export class SocketMaker {
  readonly traffic: TrafficCounters = { inboundMessages: 0, inboundBytes: 0, outboundMessages: 0, outboundBytes: 0 }
  readonly #host: SocketHost<Session>
  readonly #inbound: InboundPort
  readonly #flusher = new Flusher()
  /** Of its own, because it keeps what it joined last: that of websockets is no use to streams. */
  readonly #streamFlusher = new Flusher()
  readonly #deflate: Deflate | null
  readonly #maxBufferedBytes: number
  readonly #endTimeout: number

  constructor (host: SocketHost<Session>, inbound: InboundPort, options: ResolvedOptions) {
    const { perMessageDeflate, maxBufferedBytes } = options
    this.#host = host
    this.#inbound = inbound
    this.#deflate = perMessageDeflate === false ? null : new Deflate(perMessageDeflate)
    this.#maxBufferedBytes = maxBufferedBytes
    this.#endTimeout = endTimeout(options)
  }

  make (ws: WebSocket, request: FastifyRequest, holdings: Holdings): Session {
    const deflate = this.#deflate?.serves(request.raw) === true ? this.#deflate : null
    const connection = new WsConnection(ws, request.raw.socket, this.#flusher, this.traffic, holdings, this.#maxBufferedBytes, this.#endTimeout, deflate)
    const session = createSession(generateId(), this.#host, connection, request)
    connection.attach(new Inbound(session, this.#inbound))
    return session
  }

  /** @param client asks for what the stream is to have */
  makeStream (response: ServerResponse, request: FastifyRequest, holdings: Holdings, cursor: StreamCursor, client: StreamClient): { session: Session, connection: StreamConnection } {
    const connection = new StreamConnection(response, cursor, client, { flusher: this.#streamFlusher, counters: this.traffic, holdings, maxBufferedBytes: this.#maxBufferedBytes, endTimeout: this.#endTimeout })
    const session = createSession(generateId(), this.#host, connection, request)
    const inbound = new Inbound(session, this.#inbound)
    client.use(session, inbound)
    connection.attach(inbound)
    return { session, connection }
  }
}
