import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { ScAuthToken } from '../../types/auth.js'
import type { ScRecoveryStatus } from '../../types/history.js'
import { SentCursor, StreamCursor, cursorPositionOf, left } from '../protocol/stream-cursor.js'
import { retryText, streamEventText } from '../protocol/stream-events.js'
import type { Session } from '../socket/session.js'
import { StreamClient, type StreamClientHost, StreamRefusal } from '../socket/stream-client.js'
import { Heartbeat } from '../transport/heartbeat.js'
import type { StreamConnection } from '../transport/stream-connection.js'
import type { Connections } from './connections.js'
import type { SocketMaker } from './socket-maker.js'

/** What the client of a stream asks for. */
export interface StreamWish {
  /** The names of channels, each once. */
  readonly channels: readonly string[]
  /** The cursor of the last event that the client has. */
  readonly cursor: string | undefined
  /** A signed token. */
  readonly token: string | undefined
  /** The claims of a user that was verified by other means; `null` for those that a hook of the request verified, if any. */
  readonly user: ScAuthToken | null
}

/** A stream whose subscriptions were accepted. */
export interface AcceptedStream {
  /** Why the stream ended before it started; null if it did not. */
  readonly failure: Error | null
  /** Begins to write. The response must have its status and headers. */
  start (): void
}

/** What became of one channel of a stream. */
interface Subscribed extends Pick<ScRecoveryStatus, 'recovered' | 'reason' | 'count'> {
  readonly channel: string
}

/**
 * Event streams: HTTP responses that are sockets of the server. Handshake and subscriptions are those of a client over a websocket,
 * with its hooks, policies and limits, and all of them succeed before anything is sent.
 */
export class Streams {
  readonly #connections: Pick<Connections, 'acceptStream'>
  readonly #sockets: SocketMaker
  readonly #host: StreamClientHost

  constructor (connections: Pick<Connections, 'acceptStream'>, sockets: SocketMaker, host: StreamClientHost) {
    this.#connections = connections
    this.#sockets = sockets
    this.#host = host
  }

  /**
   * Makes a stream. Resolves with `null` for a client that was removed from all of its channels before, and has to stop.
   * @param heartbeat keeps the stream alive
   * @param admit called when it is known who the client is; throws to refuse it
   * @throws StreamRefusal when the server refuses the client or a channel
   * @throws ScError when there is no room, or the stream ends meanwhile
   */
  async open (request: FastifyRequest, response: ServerResponse, wish: StreamWish, heartbeat: Heartbeat, admit: (session: Session) => void): Promise<AcceptedStream | null> {
    const sent = wish.cursor === undefined ? null : new SentCursor(wish.cursor)
    const wanted = wish.channels.filter((channel) => sent?.of(channel) !== 'left')
    if (wanted.length === 0) return null
    const cursor = new StreamCursor(wish.channels)
    for (const channel of wish.channels) if (!wanted.includes(channel)) cursor.move(channel, left)
    const client = new StreamClient(this.#host)
    let connection!: StreamConnection
    const session = this.#connections.acceptStream(request, (holdings) => {
      const made = this.#sockets.makeStream(response, request, holdings, cursor, client)
      connection = made.connection
      return made.session
    })
    try {
      await this.#shakeHands(session, client, wish)
      admit(session)
      const wasAuthenticated = session.authToken !== null
      const subscribed = await this.#subscribe(client, wanted, cursor, sent)
      return {
        get failure () { return client.ended },
        start: () => {
          connection.start(headOf(session, cursor, subscribed))
          heartbeat.add(connection)
          response.once('close', () => { heartbeat.remove(connection) })
          // The rights may be gone since they were checked.
          if (wasAuthenticated && session.authToken === null) client.deauthenticated()
          else client.kicked()
        }
      }
    } catch (err) {
      session.end(1000)
      throw err
    }
  }

  async #shakeHands (session: Session, client: StreamClient, { token, user }: StreamWish): Promise<void> {
    if (session.handshake !== null) session.handshake.user = user
    const { authError } = await client.ask('#handshake', { authToken: token }) as { authError?: unknown }
    // A client whose token is bad would get less than it expects.
    if (authError !== undefined) throw new StreamRefusal(authError, 401)
  }

  async #subscribe (client: StreamClient, channels: readonly string[], cursor: StreamCursor, sent: SentCursor | null): Promise<Subscribed[]> {
    return await Promise.all(channels.map(async (channel) => {
      const entry = sent?.of(channel)
      const status = await client.ask('#subscribe', { channel, ...(entry === undefined ? {} : { since: entry ?? '' }) }) as ScRecoveryStatus | undefined
      if (status?.pos !== undefined) cursor.move(channel, cursorPositionOf(status.pos))
      const { recovered, reason, count } = status ?? {}
      // Nobody knows what a client missed of a channel that keeps nothing.
      if (entry !== undefined && recovered === undefined) return { channel, recovered: false, reason: 'unknown' as const }
      return { channel, ...(recovered === undefined ? {} : { recovered }), ...(reason === undefined ? {} : { reason }), ...(count === undefined ? {} : { count }) }
    }))
  }
}

/**
 * The first events of a stream. Losses come first, and the id last: a client that is cut off between them has the old id, and is told
 * again.
 */
function headOf (session: Session, cursor: StreamCursor, subscribed: readonly Subscribed[]): string {
  const gaps = subscribed.filter(({ recovered }) => recovered === false).map(({ channel, reason }) => streamEventText('gap', JSON.stringify({ channel, recovered: false, reason })))
  return `${retryText()}\n${gaps.join('')}id: ${cursor.text}\n${streamEventText('subscribed', JSON.stringify({ id: session.id, channels: subscribed }))}`
}
