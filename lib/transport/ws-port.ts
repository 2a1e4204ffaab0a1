import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { SlowConsumerPolicy } from '../../types/options.js'
import { truncateReason } from '../protocol/close-codes.js'
import type { Flushable, Flusher } from './flusher.js'
import { SharedMessage, headerLength, writeHeader } from './frames.js'
import type { PortListener, SocketPort } from './port.js'

/** The largest write that is worth copying together; beyond it one vectored write is cheaper. */
const joinLimit = 65536
/** Answers are never left out, but a client that reads none of them cannot keep the server's memory. */
const hardLimitFactor = 2

type Item = string | Buffer | SharedMessage

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
  /** What is to be written: one item, which is the usual case, and more than one. */
  #single: Item | null = null
  #queue: Item[] | null = null
  #queuedBytes = 0
  #urgent = false
  /** Its backlog went over the budget and has not halved since. */
  #slow = false
  /** The last publication of each channel, where the policy keeps that one. */
  #latest: Map<string, SharedMessage> | null = null
  #awaitingDrain = false
  /** It failed or ended: whatever its receiver still makes of what came before is dropped. */
  #broken = false

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
      if (this.#broken) return
      try {
        if (listener.onArrival(data.length)) listener.onMessage(isBinary ? data : data.toString(), data.length)
      } catch (err) {
        listener.fault(err)
      }
    })
    const onControl = (data: Buffer): void => {
      if (this.#broken) return
      try {
        listener.onControl(data.length)
      } catch (err) {
        listener.fault(err)
      }
    }
    ws.on('ping', onControl)
    ws.on('pong', onControl)
    ws.on('close', (code: number, reason: Buffer) => {
      this.#broken = true
      this.#single = this.#queue = this.#latest = null
      this.#queuedBytes = 0
      try {
        listener.onClose(code, reason.toString())
      } catch (err) {
        listener.fault(err)
      }
    })
    ws.on('error', (err: Error) => {
      this.#broken = true
      try {
        listener.onError(err)
      } catch (thrown) {
        listener.fault(thrown)
      }
    })
  }

  fault (err: unknown): void {
    this.#listener?.fault(err)
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
    if (this.#queuedBytes + this.#backlog() > this.#maxBufferedBytes * hardLimitFactor) this.#listener?.onBacklog(this.bufferedBytes, 'disconnect')
  }

  publish (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean {
    if (!this.open) return false
    const bytes = message.data.length
    const total = this.#queuedBytes + bytes + this.#backlog()
    if (total > this.#maxBufferedBytes) {
      this.#overBudget(message, channel, policy)
      return false
    }
    if (this.#slow && total * 2 < this.#maxBufferedBytes) this.#slow = false
    // A newer message must not be followed by an older one.
    if (this.#latest !== null) this.#latest.delete(channel)
    const first = this.#single === null
    this.#enqueue(message, bytes)
    if (first) this.#flusher.add(this, false)
    return true
  }

  #overBudget (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): void {
    if (policy === 'latest') {
      this.#latest ??= new Map()
      this.#latest.delete(channel)
      this.#latest.set(channel, message)
      this.#awaitDrain()
    }
    if (this.#slow) return
    this.#slow = true
    this.#listener?.onBacklog(this.bufferedBytes, policy)
  }

  #awaitDrain (): void {
    if (this.#awaitingDrain) return
    this.#awaitingDrain = true
    const drained = (): void => {
      this.#awaitingDrain = false
      try {
        this.#sendLatest()
      } catch (err) {
        this.fault(err)
      }
    }
    if (this.#stream !== null) this.#stream.once('drain', drained)
    // Told when what was sent before it is written.
    else this.#ws.ping(undefined, undefined, drained)
  }

  #sendLatest (): void {
    const latest = this.#latest
    this.#latest = null
    if (latest === null || !this.open) return
    for (const message of latest.values()) {
      if (this.#single === null) this.#flusher.add(this, false)
      this.#enqueue(message, message.data.length)
    }
  }

  #backlog (): number {
    return this.#stream !== null ? this.#stream.writableLength : this.#ws.bufferedAmount
  }

  #enqueue (item: Item, bytes: number): void {
    if (this.#single === null) this.#single = item
    else if (this.#queue === null) this.#queue = [this.#single, item]
    else this.#queue.push(item)
    this.#queuedBytes += bytes
  }

  flush (flusher: Flusher): void {
    this.#urgent = false
    const single = this.#single
    if (single === null) return
    const queue = this.#queue
    this.#single = this.#queue = null
    const bytes = this.#queuedBytes
    this.#queuedBytes = 0
    if (!this.open) return
    this.#counters.outboundMessages += queue === null ? 1 : queue.length
    this.#counters.outboundBytes += bytes
    if (this.#stream === null) {
      this.#sendEach(queue ?? [single])
      return
    }
    const more = queue === null
      ? this.#stream.write(single instanceof SharedMessage ? single.frame : frameOf(single))
      : this.#write(this.#stream, queue, flusher)
    if (!more) this.#listener?.onCongested()
  }

  #sendEach (queue: Item[]): void {
    for (const item of queue) {
      if (item instanceof SharedMessage) this.#ws.send(item.payload, { binary: item.binary })
      else this.#ws.send(item)
    }
    if (this.#ws.bufferedAmount > joinLimit) this.#listener?.onCongested()
  }

  /** False when the stream takes no more for now. */
  #write (stream: Duplex, queue: Item[], flusher: Flusher): boolean {
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
      return !stream.writableNeedDrain
    }
    if (onlyShared) return stream.write(flusher.join((queue as SharedMessage[]).map((item) => item.frame)))
    const joined = Buffer.allocUnsafe(total)
    let at = 0
    for (let i = 0; i < queue.length; i++) {
      const item = queue[i]!
      if (item instanceof SharedMessage) at += item.frame.copy(joined, at)
      else at = writeFrame(joined, at, item, lengths[i]!)
    }
    return stream.write(joined)
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
