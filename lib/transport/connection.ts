import type { SlowConsumerPolicy } from '../../types/options.js'
import type { Guarded } from '../barrier.js'
import type { SharedMessage } from './shared-message.js'
import type { Holdings } from './holdings.js'

/** What a socket needs of its connection. Nothing above this folder knows which library carries it. */
export interface Connection {
  /** False as soon as either side began to close. */
  readonly open: boolean
  /** Whether messages may come compressed. */
  readonly compressed: boolean
  /** Settles when the connection is gone. */
  readonly closed: Promise<void>
  /** Bytes accepted and not yet given to the operating system, and what is held for this client before that. */
  readonly bufferedBytes: number
  /** Messages that are not handed to the operating system yet. */
  readonly queuedMessages: number
  /** What all connections hold. What a socket holds beside its backlog is counted there. */
  readonly holdings: Holdings
  /** Whether the backlog has room for so many bytes. */
  hasRoom (bytes: number): boolean
  /** Counts bytes that are held for this client before they are queued. */
  hold (bytes: number): void
  /** What was held is queued now, or let go. */
  release (bytes: number): void
  /** Counts again what the operating system has not taken: it takes it without a word. */
  recount (): void
  /** Queues a message of this socket's own: an answer, an event, a ping. It never waits behind a fan-out to others. */
  send (data: string | Buffer): void
  /** Queues a publication of a channel. False when it was not, because the backlog is over its budget; `policy` says what happens then. */
  publish (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean
  /** Takes back the last publication of a channel that is kept until there is room. */
  takeLatest (channel: string): SharedMessage | undefined
  /** Writes what is queued, then closes. The reason is cut to what a close frame holds. */
  close (code: number, reason: string): void
  /** Drops the connection, and what came of it and was not yet handed on. */
  terminate (): void
  /** Stops and continues reading: the sender's own TCP window fills up meanwhile. */
  pause (): void
  resume (): void
}

/** What a connection tells its socket. What these throw, or the connection's own code, is a fault of the socket. */
export interface ConnectionListener extends Guarded {
  /**
   * A message arrived. It is not looked at any further when this is false: the socket is closed, or sends too much.
   * @param bytes of its payload, after inflation
   */
  onArrival (bytes: number): boolean
  /** A ping or pong of the websocket protocol arrived. */
  onControl (bytes: number): void
  /** A text message as a string, a binary one as a Buffer. Only after `onArrival` was true. */
  onMessage (data: string | Buffer, bytes: number): void
  onClose (code: number, reason: string): void
  onError (err: Error): void
  /** The backlog went over its budget. */
  onBacklog (bufferedBytes: number, policy: SlowConsumerPolicy): void
  /** The operating system did not take everything. */
  onCongested (): void
}
