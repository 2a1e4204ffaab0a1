import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { SlowConsumerPolicy } from '../../types/options.js'
import { truncateReason } from '../protocol/close-codes.js'
import type { Deflate } from './deflate.js'
import type { Flusher } from './flusher.js'
import { frameOf, headerLength, writeFrame } from './frames.js'
import { MessageSeries, SharedMessage, joinFrames } from './shared-message.js'
import type { Holdings } from './holdings.js'
import { type Item, OutgoingQueue } from './outgoing-queue.js'
import type { ConnectionListener, Connection } from './connection.js'

/** Largest write in bytes that is copied into one buffer; above it one vectored write is cheaper. */
const joinLimit = 65536

/** Traffic of all connections of a server. */
export interface TrafficCounters {
  inboundMessages: number
  inboundBytes: number
  outboundMessages: number
  outboundBytes: number
}

/** The property of a websocket that has its connection. */
const owner = Symbol('connection')

interface OwnedWebSocket extends WebSocket {
  [owner]?: WsConnection
}

/**
 * A connection of `ws`.
 *
 * This class builds the frames, compresses them where that was negotiated, and writes many at a time straight to the stream
 * below `ws`. `ws` writes whole frames to the same stream synchronously, so the order is kept. When another extension was
 * negotiated, or the stream is not a real one, the messages are sent through `ws`.
 */
export class WsConnection extends OutgoingQueue implements Connection {
  readonly compressed: boolean
  readonly #ws: WebSocket
  /** The stream below `ws`; `null` when frames cannot be written to it directly. */
  readonly #stream: Duplex | null
  /** Compresses messages; `null` when the client cannot read compressed ones. */
  readonly #deflate: Deflate | null
  readonly #counters: TrafficCounters
  readonly #endTimeout: number
  #listener: ConnectionListener | null = null
  /** The connection failed or ended: messages that `ws` still emits are dropped. */
  #broken = false
  /** The connection is dropped soon. */
  #dropping = false

  /** @param endTimeout milliseconds until a connection is dropped whose client ended its side */
  constructor (ws: WebSocket, stream: Duplex | undefined, flusher: Flusher, counters: TrafficCounters, holdings: Holdings, maxBufferedBytes: number, endTimeout: number, deflate: Deflate | null = null) {
    super(flusher, holdings, maxBufferedBytes)
    this.#ws = ws
    this.compressed = ws.extensions !== ''
    this.#deflate = ws.extensions === 'permessage-deflate' ? deflate : null
    this.#stream = (!this.compressed || this.#deflate !== null) && stream !== undefined && typeof stream.cork === 'function' ? stream : null
    this.#counters = counters
    this.#endTimeout = endTimeout
  }

  /** Must be called in the same turn as the upgrade: the first message may be in the same TCP segment. */
  attach (listener: ConnectionListener): void {
    this.#listener = listener
    const ws: OwnedWebSocket = this.#ws
    ws[owner] = this
    ws.on('message', WsConnection.#onMessage)
    ws.on('ping', WsConnection.#onControl)
    ws.on('pong', WsConnection.#onControl)
    ws.on('close', WsConnection.#onClose)
    ws.on('error', WsConnection.#onError)
  }

  // All connections share these listeners, because listeners of its own would be a large part of what a connection takes.

  static #onMessage (this: OwnedWebSocket, data: Buffer, isBinary: boolean): void {
    const connection = this[owner]!
    const counters = connection.#counters
    counters.inboundMessages++
    counters.inboundBytes += data.length
    if (connection.#broken) return
    const listener = connection.#listener!
    try {
      if (listener.onArrival(data.length)) listener.onMessage(isBinary ? data : data.toString(), data.length)
    } catch (err) {
      listener.fault(err)
    }
  }

  static #onControl (this: OwnedWebSocket, data: Buffer): void {
    const connection = this[owner]!
    if (connection.#broken) return
    const listener = connection.#listener!
    try {
      listener.onControl(data.length)
    } catch (err) {
      listener.fault(err)
    }
  }

  static #onClose (this: OwnedWebSocket, code: number, reason: Buffer): void {
    const connection = this[owner]!
    const listener = connection.#listener!
    connection.#broken = true
    connection.letGo()
    try {
      listener.onClose(code, reason.toString())
    } catch (err) {
      listener.fault(err)
    }
  }

  static #onError (this: OwnedWebSocket, err: Error): void {
    const connection = this[owner]!
    const listener = connection.#listener!
    connection.#broken = true
    // ws has sent a close frame and ended its side. It discards what the client still sends, for `closeTimeout` at most: dropping the
    // connection while the client writes would hide the close code from it.
    try {
      connection.flushLast()
      listener.onError(err)
    } catch (thrown) {
      listener.fault(thrown)
    }
  }

  /**
   * Drops the connection after `endTimeout` when the client ended its side of it: ws has a timeout only after a close frame. Called
   * when something is to be sent, pings included, because a listener for each connection takes memory.
   */
  protected override onUnsent (): void {
    const ws = this.#ws
    if (ws.readyState !== ws.CLOSING || this.#dropping) return
    this.#dropping = true
    const timer = setTimeout(() => { this.terminate() }, this.#endTimeout).unref()
    ws.once('close', () => { clearTimeout(timer) })
  }

  fault (err: unknown): void {
    this.#listener?.fault(err)
  }

  get transport (): 'websocket' { return 'websocket' }

  get open (): boolean {
    return this.#ws.readyState === this.#ws.OPEN
  }

  get closed (): Promise<void> {
    const ws = this.#ws
    return ws.readyState === ws.CLOSED ? Promise.resolve() : new Promise((resolve) => ws.once('close', () => resolve()))
  }

  protected get backlog (): number {
    return this.#stream !== null ? this.#stream.writableLength : this.#ws.bufferedAmount
  }

  protected onDrained (drained: () => void): void {
    // ws calls back when all data sent before the ping is written.
    if (this.#stream === null) this.#ws.ping(undefined, undefined, drained)
    else if (this.#stream.writableNeedDrain) this.#stream.once('drain', drained)
    // Without a full buffer there is no event; an empty write calls back when everything before it is written.
    else this.#stream.write('', () => { drained() })
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

  protected write (single: Item, queue: Item[] | null, flusher: Flusher): void {
    this.#counters.outboundMessages += queue === null ? countOf(single) : queue.reduce((sum, item) => sum + countOf(item), 0)
    if (this.#stream === null) this.#sendEach(queue ?? [single])
    else if (queue === null) this.#writeOne(this.#stream, single)
    else if (this.#deflate === null) this.#writeAll(this.#stream, queue, flusher)
    else this.#writeDeflated(this.#stream, queue, flusher)
  }

  #sendEach (queue: Item[]): void {
    for (const item of queue) {
      if (item instanceof MessageSeries) {
        this.#sendEach([...item.messages])
      } else if (item instanceof SharedMessage) {
        this.#counters.outboundBytes += item.bytes
        this.#ws.send(item.payload, { binary: item.binary })
      } else {
        this.#counters.outboundBytes += typeof item === 'string' ? Buffer.byteLength(item) : item.length
        this.#ws.send(item)
      }
    }
  }

  #writeOne (stream: Duplex, item: Item): void {
    const frame = this.#frameOf(item)
    this.#counters.outboundBytes += frame.length
    stream.write(frame)
  }

  #frameOf (item: Item): Buffer {
    if (!(item instanceof SharedMessage)) return frameOf(item, this.#deflate)
    return this.#deflate === null ? item.frame : item.deflatedFrame(this.#deflate)
  }

  #writeDeflated (stream: Duplex, queue: Item[], flusher: Flusher): void {
    const frames = queue.map((item) => this.#frameOf(item))
    const total = frames.reduce((sum, { length }) => sum + length, 0)
    this.#counters.outboundBytes += total
    if (total > joinLimit) {
      stream.cork()
      for (const frame of frames) stream.write(frame)
      stream.uncork()
    } else {
      stream.write(flusher.joined(frames, Buffer.concat))
    }
  }

  #writeAll (stream: Duplex, queue: Item[], flusher: Flusher): void {
    let onlyShared = true
    let total = 0
    const lengths = new Array<number>(queue.length)
    for (let i = 0; i < queue.length; i++) {
      const item = queue[i]!
      if (item instanceof SharedMessage) {
        total += item.frameBytes
      } else {
        onlyShared = false
        const length = typeof item === 'string' ? Buffer.byteLength(item) : item.length
        lengths[i] = length
        total += headerLength(length) + length
      }
    }
    this.#counters.outboundBytes += total
    if (total > joinLimit) {
      stream.cork()
      for (const item of queue) stream.write(this.#frameOf(item))
      stream.uncork()
      return
    }
    if (onlyShared) {
      stream.write(flusher.joined(queue as SharedMessage[], joinFrames))
      return
    }
    const joined = Buffer.allocUnsafe(total)
    let at = 0
    for (let i = 0; i < queue.length; i++) {
      const item = queue[i]!
      at = item instanceof SharedMessage ? item.writeFrame(joined, at) : writeFrame(joined, at, item, lengths[i]!)
    }
    stream.write(joined)
  }

  close (code: number, reason: string): void {
    if (!this.open) {
      this.onUnsent()
      return
    }
    this.flushLast()
    this.#ws.close(code, truncateReason(reason))
  }

  terminate (): void {
    // The receiver of ws may hold more messages of the same segment.
    this.#broken = true
    this.#ws.terminate()
    this.letGo()
  }

  pause (): void {
    this.#ws.pause()
  }

  resume (): void {
    this.#ws.resume()
  }
}

/** The number of messages of an item. */
function countOf (item: Item): number {
  return item instanceof SharedMessage ? item.count : 1
}
