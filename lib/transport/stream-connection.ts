import type { ServerResponse } from 'node:http'
import type { SlowConsumerPolicy } from '../../types/options.js'
import type { CallId, CodecEngine } from '../../types/protocol.js'
import { scError } from '../errors.js'
import { isFinalClose } from '../protocol/close-codes.js'
import { toJson } from '../protocol/codec.js'
import { commentText, isStreamEventName, readPublishText, readStreamPacket, retryText, streamEventText, type StreamPacket } from '../protocol/stream-events.js'
import { cursorPosition, cursorPositionOf, left, type StreamCursor } from '../protocol/stream-cursor.js'
import type { Connection, ConnectionListener } from './connection.js'
import type { Flusher } from './flusher.js'
import type { HeartbeatTarget } from './heartbeat.js'
import type { Holdings } from './holdings.js'
import { type Item, OutgoingQueue } from './outgoing-queue.js'
import { type MessagePlace, MessageSeries, SharedMessage } from './shared-message.js'
import { StreamBlock } from './stream-block.js'
import { type Sink, sinkOf } from './stream-sink.js'
import type { TrafficCounters } from './ws-connection.js'

/** The close code when the client ends a stream. Its end by a lost network looks the same. */
const clientGone = 1001
/** The close code of a stream that the server dropped. */
const lostCode = 1006
/** Largest write in bytes that is copied into one buffer. */
const joinLimit = 65_536

/** What a stream asks of those who made it. */
export interface StreamPort {
  /** The codec that encodes the packets of the server. */
  readonly codec: CodecEngine
  readonly plainJson: boolean
  /** The name of the event about lost publications (option `gapEvent`). */
  readonly gapEvent: string | false
  /** An answer of the server: before the stream starts, to what was asked in the name of its client. */
  answered (id: CallId, error: unknown, data: unknown): void
  /** The socket lost its token. */
  deauthenticated (): void
  /** The client was removed from a channel. */
  kicked (): void
  /** What the application sends cannot be sent on a stream. */
  unsendable (err: Error): void
  /** The stream ended before it started. @param code `null` when the client is gone */
  aborted (code: number | null, reason: string): void
}

/** What is counted and limited for a stream. */
export interface StreamParts {
  readonly flusher: Flusher
  readonly counters: TrafficCounters
  readonly holdings: Holdings
  /** Limit of the backlog in bytes. */
  readonly maxBufferedBytes: number
  /** Milliseconds for a client to read the rest of a stream that ended. */
  readonly endTimeout: number
}

/**
 * The response of an HTTP request as a connection: server-sent events, over HTTP/1.1 or HTTP/2. Packets for the client become events;
 * what was queued before `start` waits for it.
 */
export class StreamConnection extends OutgoingQueue implements Connection, HeartbeatTarget {
  readonly transport = 'sse'
  readonly compressed = false
  /** For the heartbeat: a client of a stream is never silent for too long, since it cannot speak. */
  readonly lastSeen = Infinity
  heartbeatSlot = -1
  readonly #response: ServerResponse
  readonly #cursor: StreamCursor
  readonly #port: StreamPort
  readonly #flusher: Flusher
  readonly #counters: TrafficCounters
  readonly #endTimeout: number
  readonly #block = (message: SharedMessage): StreamBlock => this.#blockOf(message)
  #listener: ConnectionListener | null = null
  #state: 'held' | 'started' | 'ended' | 'gone' = 'held'
  /** The code with which the server ends the stream. */
  #code = clientGone
  #reason = ''
  #sink: Sink
  /** Waits for the start. */
  #drained: (() => void) | null = null
  readonly #onClosed: Array<() => void> = []

  constructor (response: ServerResponse, cursor: StreamCursor, port: StreamPort, parts: StreamParts) {
    super(parts.flusher, parts.holdings, parts.maxBufferedBytes)
    this.#response = this.#sink = response
    this.#cursor = cursor
    this.#port = port
    this.#flusher = parts.flusher
    this.#counters = parts.counters
    this.#endTimeout = parts.endTimeout
  }

  attach (listener: ConnectionListener): void {
    this.#listener = listener
    this.#response.on('close', () => this.#gone())
    // Without a listener, an error of the response would end the process. `close` follows.
    this.#response.on('error', () => {})
  }

  /**
   * Begins to write: `head`, then what waits. The response must have its status and headers.
   * @param head text of events
   */
  start (head: string): void {
    if (this.#state !== 'held') return
    this.#state = 'started'
    this.#response.write(head)
    this.#sink = sinkOf(this.#response)
    this.#counters.outboundBytes += Buffer.byteLength(head)
    this.flush(this.#flusher)
    const drained = this.#drained
    this.#drained = null
    if (drained !== null) this.onDrained(drained)
  }

  get open (): boolean { return this.#state === 'held' || this.#state === 'started' }

  get closed (): Promise<void> {
    return this.#state === 'gone' ? Promise.resolve() : new Promise((resolve) => { this.#onClosed.push(resolve) })
  }

  fault (err: unknown): void {
    this.#listener?.fault(err)
  }

  // Packets of the server

  override send (data: string | Buffer): void {
    if (!this.open) return
    try {
      this.#take(data)
    } catch (err) {
      this.#port.unsendable(err as Error)
    }
  }

  #take (data: string | Buffer): void {
    const packet = readStreamPacket(this.#port.codec, data)
    if (packet.kind === 'answer') {
      this.#port.answered(packet.id, packet.error, packet.data)
      return
    }
    if (packet.kind === 'event' && packet.event === '#removeAuthToken') {
      // Until the stream starts, the answer to the handshake says so.
      if (this.#state === 'started') this.#port.deauthenticated()
      return
    }
    // A client of a stream cannot keep a token, and learns of the end by the last event.
    if (packet.kind === 'event' && (packet.event === '#setAuthToken' || packet.event === '#disconnect')) return
    const block = this.#toBlock(packet, null)
    const message = new SharedMessage(data)
    message.streamBlock(() => block)
    this.sendItem(message, message.bytes)
    if (packet.kind === 'event' && packet.event === '#kickOut' && this.#state === 'started') this.#port.kicked()
  }

  #blockOf (message: SharedMessage): StreamBlock {
    const { codec, plainJson } = this.#port
    const { data, place } = message
    const packet = (plainJson && typeof data === 'string' ? readPublishText(data, place !== null) : null) ?? readStreamPacket(codec, data)
    return this.#toBlock(packet, place === null ? null : place.position)
  }

  /** @throws InvalidActionError for what has no form on a stream */
  #toBlock (packet: StreamPacket, position: MessagePlace['position'] | null): StreamBlock {
    if (packet.kind === 'publication') {
      return new StreamBlock(streamEventText(null, packet.json), position === null ? null : { channel: packet.channel, to: cursorPosition(position) })
    }
    if (packet.kind !== 'event') throw scError('SC_ERR_SSE_RAW')
    const { event, data } = packet
    if (event === '#kickOut') return new StreamBlock(streamEventText('kick', toJson(data)!), { channel: (data as { channel: string }).channel, to: left })
    if (event === '#recovery') {
      const { pos, ...told } = data as { channel: string, pos?: string }
      return new StreamBlock(streamEventText('gap', toJson(told)!), pos === undefined ? null : { channel: told.channel, to: cursorPositionOf(pos) })
    }
    if (event === this.#port.gapEvent) return new StreamBlock(streamEventText('gap', toJson({ ...data as object, recovered: false, reason: 'unknown' })!), null)
    if (!isStreamEventName(event)) throw scError('SC_ERR_SSE_EVENT', [JSON.stringify(event)])
    return new StreamBlock(streamEventText(event, toJson(data) ?? 'null'), null)
  }

  // Writing

  override flush (flusher: Flusher): void {
    if (this.#state !== 'held') super.flush(flusher)
  }

  protected get backlog (): number {
    return this.#state === 'started' || this.#state === 'ended' ? this.#sink.writableLength : 0
  }

  protected write (single: Item, queue: Item[] | null, flusher: Flusher): void {
    const chunks: Buffer[] = []
    if (queue === null) this.#add(single as SharedMessage, chunks)
    else for (const item of queue) this.#add(item as SharedMessage, chunks)
    if (chunks.length === 1) this.#sink.write(chunks[0])
    else if (chunks.reduce((sum, { length }) => sum + length, 0) <= joinLimit) this.#sink.write(this.#cursor.isShared ? flusher.joined(chunks, (parts) => Buffer.concat(parts)) : Buffer.concat(chunks))
    else for (const chunk of chunks) this.#sink.write(chunk)
    for (const { length } of chunks) this.#counters.outboundBytes += length
  }

  #add (message: SharedMessage, chunks: Buffer[]): void {
    if (message instanceof MessageSeries) {
      for (const each of message.messages) this.#add(each, chunks)
      return
    }
    this.#counters.outboundMessages++
    message.streamBlock(this.#block).addTo(chunks, this.#cursor)
  }

  /** Writes a comment, so that proxies do not take the stream for a dead one. A client that does not read needs none. */
  ping (): void {
    if (this.#state === 'started' && !this.#sink.writableNeedDrain) this.#sink.write(commentText)
  }

  pingTimedOut (): void {}

  protected onDrained (drained: () => void): void {
    if (this.#state === 'held') this.#drained = drained
    else if (this.#sink.writableNeedDrain) this.#sink.once('drain', drained)
    // Without a full buffer there is no event; an empty write calls back when everything before it is written.
    else this.#sink.write('', () => { drained() })
  }

  protected onBacklog (bufferedBytes: number, policy: SlowConsumerPolicy): void {
    this.#listener?.onBacklog(bufferedBytes, policy)
  }

  protected onCongested (): void {
    this.#listener?.onCongested()
  }

  protected onRoom (): void {
    this.#listener?.onRoom()
  }

  // The end

  close (code: number, reason: string): void {
    if (!this.open) return
    this.#code = code
    this.#reason = reason
    if (this.#state === 'held') {
      this.#abort(code)
      return
    }
    this.flushLast()
    this.#state = 'ended'
    if (isFinalClose(code)) this.#cursor.leaveAll()
    this.#response.end(`${retryText()}id: ${this.#cursor.text}\n${streamEventText('disconnect', JSON.stringify({ code, reason }))}`)
    // A client that does not read would keep the rest of the stream in memory.
    const timer = setTimeout(() => { this.#response.destroy() }, this.#endTimeout).unref()
    this.#onClosed.push(() => { clearTimeout(timer) })
  }

  terminate (): void {
    if (this.#state === 'held') {
      this.#abort(lostCode)
    } else if (this.#state !== 'gone') {
      this.#code = this.#state === 'started' ? lostCode : this.#code
      this.#state = 'ended'
      this.letGo()
      this.#response.destroy()
    }
  }

  /** Ends a stream that did not start. Its response is still to be given. */
  #abort (code: number): void {
    this.#state = 'ended'
    this.letGo()
    this.#port.aborted(code, this.#reason)
  }

  #gone (): void {
    if (this.#state === 'gone') return
    const wasHeld = this.#state === 'held'
    this.#state = 'gone'
    this.letGo()
    if (wasHeld) this.#port.aborted(null, '')
    for (const closed of this.#onClosed.splice(0)) closed()
    const listener = this.#listener!
    try {
      listener.onClose(this.#code, this.#reason)
    } catch (err) {
      listener.fault(err)
    }
  }

  /** Nothing comes from the client of a stream. */
  pause (): void {}
  resume (): void {}
}
