import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { truncateReason } from '../protocol/close-codes.js'
import type { Flushable, Flusher } from './flusher.js'
import { SharedMessage, headerLength, writeHeader } from './frames.js'
import type { PortListener, SocketPort } from './port.js'

/** The largest write that is worth copying together; beyond it one vectored write is cheaper. */
const joinLimit = 65536
/** Answers are never left out, but a client that reads none of them cannot keep the server's memory. */
const hardLimitFactor = 2

/** Counts what all connections of a server carry. */
export interface TrafficCounters {
  inboundMessages: number
  inboundBytes: number
  outboundMessages: number
  outboundBytes: number
}

/**
 * A connection of `ws`.
 *
 * Without extensions its frames are built here and written straight to the stream below `ws`, many at a time: `ws` writes
 * whole frames to the same stream synchronously, so the order between both is kept. Where an extension was negotiated, or
 * the stream is not a real one, `ws` sends.
 */
export class WsPort implements SocketPort, Flushable {
  readonly #ws: WebSocket
  /** The stream below, when frames may be written to it directly. */
  readonly #stream: Duplex | null
  readonly #flusher: Flusher
  readonly #counters: TrafficCounters
  readonly #maxBufferedBytes: number
  #listener: PortListener | null = null
  #queue: Array<string | Buffer | SharedMessage> = []
  #queuedBytes = 0
  #urgent = false

  constructor (ws: WebSocket, stream: Duplex | undefined, flusher: Flusher, counters: TrafficCounters, maxBufferedBytes: number) {
    this.#ws = ws
    this.#stream = ws.extensions === '' && stream !== undefined && typeof stream.cork === 'function' ? stream : null
    this.#flusher = flusher
    this.#counters = counters
    this.#maxBufferedBytes = maxBufferedBytes === 0 ? Infinity : maxBufferedBytes
  }

  /** Must be called in the turn of the upgrade: the first message may be in the same segment. */
  attach (listener: PortListener): void {
    this.#listener = listener
    const ws = this.#ws
    ws.on('message', (data: Buffer, isBinary: boolean) => {
      const counters = this.#counters
      counters.inboundMessages++
      counters.inboundBytes += data.length
      listener.onMessage(isBinary ? data : data.toString(), data.length)
    })
    ws.on('close', (code: number, reason: Buffer) => {
      this.#queue = []
      this.#queuedBytes = 0
      listener.onClose(code, reason.toString())
    })
    ws.on('error', (err: Error) => listener.onError(err))
  }

  get open (): boolean {
    return this.#ws.readyState === this.#ws.OPEN
  }

  get closed (): Promise<void> {
    const ws = this.#ws
    return ws.readyState === ws.CLOSED ? Promise.resolve() : new Promise((resolve) => ws.once('close', () => resolve()))
  }

  get bufferedBytes (): number {
    return this.#queuedBytes + this.#ws.bufferedAmount
  }

  send (data: string | Buffer): void {
    if (!this.open) return
    this.#enqueue(data, data.length)
    if (this.#urgent) return
    this.#urgent = true
    this.#flusher.add(this, true)
    if (this.#queuedBytes + this.#backlog() > this.#maxBufferedBytes * hardLimitFactor) this.#listener?.onBacklog(this.bufferedBytes)
  }

  publish (message: SharedMessage): boolean {
    if (!this.open) return false
    const bytes = message.data.length
    if (this.#queuedBytes + bytes + this.#backlog() > this.#maxBufferedBytes) {
      this.#listener?.onBacklog(this.bufferedBytes)
      return false
    }
    const first = this.#queue.length === 0
    this.#enqueue(message, bytes)
    if (first) this.#flusher.add(this, false)
    return true
  }

  #backlog (): number {
    return this.#stream !== null ? this.#stream.writableLength : this.#ws.bufferedAmount
  }

  #enqueue (item: string | Buffer | SharedMessage, bytes: number): void {
    this.#queue.push(item)
    this.#queuedBytes += bytes
  }

  flush (flusher: Flusher): void {
    this.#urgent = false
    const queue = this.#queue
    if (queue.length === 0) return
    this.#queue = []
    const bytes = this.#queuedBytes
    this.#queuedBytes = 0
    if (!this.open) return
    this.#counters.outboundMessages += queue.length
    this.#counters.outboundBytes += bytes
    if (this.#stream === null) this.#sendEach(queue)
    else this.#write(this.#stream, queue, flusher)
  }

  #sendEach (queue: Array<string | Buffer | SharedMessage>): void {
    for (const item of queue) {
      if (item instanceof SharedMessage) this.#ws.send(item.payload, { binary: item.binary })
      else this.#ws.send(item)
    }
  }

  #write (stream: Duplex, queue: Array<string | Buffer | SharedMessage>, flusher: Flusher): void {
    if (queue.length === 1) {
      const item = queue[0]!
      stream.write(item instanceof SharedMessage ? item.frame : frameOf(item))
      return
    }
    let onlyShared = true
    let total = 0
    const lengths = new Array<number>(queue.length)
    for (let i = 0; i < queue.length; i++) {
      const item = queue[i]!
      if (item instanceof SharedMessage) {
        total += lengths[i] = item.frame.length
      } else {
        onlyShared = false
        const length = typeof item === 'string' ? Buffer.byteLength(item) : item.length
        lengths[i] = length
        total += headerLength(length) + length
      }
    }
    if (total > joinLimit) {
      stream.cork()
      for (const item of queue) stream.write(item instanceof SharedMessage ? item.frame : frameOf(item))
      stream.uncork()
    } else if (onlyShared) {
      stream.write(flusher.join((queue as SharedMessage[]).map((item) => item.frame)))
    } else {
      const joined = Buffer.allocUnsafe(total)
      let at = 0
      for (let i = 0; i < queue.length; i++) {
        const item = queue[i]!
        if (item instanceof SharedMessage) at += item.frame.copy(joined, at)
        else at = writeFrame(joined, at, item, lengths[i]!)
      }
      stream.write(joined)
    }
  }

  close (code: number, reason: string): void {
    if (!this.open) return
    this.flush(this.#flusher)
    this.#ws.close(code, truncateReason(reason))
  }

  terminate (): void {
    this.#ws.terminate()
  }

  pause (): void {
    this.#ws.pause()
  }

  resume (): void {
    this.#ws.resume()
  }
}

function writeFrame (target: Buffer, offset: number, data: string | Buffer, length: number): number {
  const start = writeHeader(target, offset, length, typeof data !== 'string')
  if (typeof data === 'string') target.write(data, start, 'utf8')
  else data.copy(target, start)
  return start + length
}

function frameOf (data: string | Buffer): Buffer {
  const length = typeof data === 'string' ? Buffer.byteLength(data) : data.length
  const frame = Buffer.allocUnsafe(headerLength(length) + length)
  writeFrame(frame, 0, data, length)
  return frame
}
