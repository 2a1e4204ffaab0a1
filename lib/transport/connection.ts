import type { SlowConsumerPolicy } from '../../types/options.js'
import type { Guarded } from '../barrier.js'
import type { SharedMessage } from './shared-message.js'
import type { Holdings } from './holdings.js'

/** What carries a connection. */
export type ScConnectionTransport = 'websocket' | 'sse'

/** The connection under a socket. No code outside this folder knows which websocket library is used. */
export interface Connection {
  /** `websocket`, or `sse` for an event stream: its client cannot send anything, so it answers neither calls nor pings. */
  readonly transport: ScConnectionTransport
  /** False as soon as either side starts to close. */
  readonly open: boolean
  /** Whether incoming messages may be compressed. */
  readonly compressed: boolean
  /** Resolves when the connection is closed. */
  readonly closed: Promise<void>
  /** Bytes accepted but not yet handed to the operating system, including bytes held for this client before they are queued. */
  readonly bufferedBytes: number
  /** Messages not yet handed to the operating system. */
  readonly queuedMessages: number
  /** The memory held for all connections of the server. The socket also counts there the data it holds besides its backlog. */
  readonly holdings: Holdings
  /** Whether the backlog has room for this many bytes. */
  hasRoom (bytes: number): boolean
  /** Counts bytes held for this client before they are queued. */
  hold (bytes: number): void
  /** Ends the count of held bytes, because they were queued or discarded. */
  release (bytes: number): void
  /** Counts again the bytes the operating system has not taken: it takes them without an event. */
  recount (): void
  /** Queues a message for this socket alone: an answer, an event or a ping. It never waits for a fan-out to other sockets. */
  send (data: string | Buffer): void
  /** Queues a publication. Returns false when the backlog is over its budget; `policy` decides what happens then. */
  publish (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean
  /** Calls `onRoom` of the listener once, when there may be room in the backlog. Call when `publish` returned false. */
  awaitRoom (): void
  /** Removes and returns the last publication of a channel that waits for room in the backlog. */
  takeLatest (channel: string): SharedMessage | undefined
  /** Writes the queued messages, then closes. The reason is cut to the size of a close frame. */
  close (code: number, reason: string): void
  /** Drops the connection, with received data that was not delivered yet. */
  terminate (): void
  /** Stops reading; `resume` continues. Meanwhile the TCP window of the sender fills up. */
  pause (): void
  resume (): void
}

/** The socket, as its connection calls it. Errors thrown by these methods or by the connection itself are passed to `fault()`. */
export interface ConnectionListener extends Guarded {
  /**
   * A message arrived.
   * @param bytes size of the payload after inflation
   * @returns false to discard the message, because the socket is closed or the client sends too much
   */
  onArrival (bytes: number): boolean
  /** A ping or pong of the websocket protocol arrived. */
  onControl (bytes: number): void
  /** A message to process: a string for text, a Buffer for binary. Called only when `onArrival` returned true. */
  onMessage (data: string | Buffer, bytes: number): void
  onClose (code: number, reason: string): void
  onError (err: Error): void
  /** The backlog exceeded its budget. */
  onBacklog (bufferedBytes: number, policy: SlowConsumerPolicy): void
  /** The operating system did not take all written bytes. */
  onCongested (): void
  /** There may be room in the backlog, after `awaitRoom`. */
  onRoom (): void
}
