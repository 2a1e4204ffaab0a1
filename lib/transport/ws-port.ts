import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { SlowConsumerPolicy } from '../../types/options.js'
import { truncateReason } from '../protocol/close-codes.js'
import type { Deflate } from './deflate.js'
import type { Flushable, Flusher } from './flusher.js'
import { SharedMessage, frameOf, headerLength, writeFrame } from './frames.js'
import type { Holdings } from './holdings.js'
import type { PortListener, SocketPort } from './port.js'

/** The largest write that is worth copying together; beyond it one vectored write is cheaper. */
const joinLimit = 65536
/** Answers are never left out, but a client that reads none of them cannot keep the server's memory. */
const hardLimitFactor = 1.5
/** A character takes two bytes where a text has one that is not of Latin-1; nobody knows without looking. */
const bytesPerCharacter = 2

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
 * Its frames are built here, and compressed where that was negotiated, and written straight to the stream below `ws`, many at
 * a time: `ws` writes whole frames to the same stream synchronously, so the order between both is kept. Where another
 * extension was negotiated, or the stream is not a real one, `ws` sends.
 */
export class WsPort implements SocketPort, Flushable {
  readonly compressed: boolean
  readonly #ws: WebSocket
  /** The stream below, when frames may be written to it directly. */
  readonly #stream: Duplex | null
  /** Compresses, when the client can read that. */
  readonly #deflate: Deflate | null
  readonly #flusher: Flusher
  readonly #counters: TrafficCounters
  readonly holdings: Holdings
  readonly #maxBufferedBytes: number
  #listener: PortListener | null = null
  /** What is to be written: one item, which is the usual case, and more than one. */
  #single: Item | null = null
  #queue: Item[] | null = null
  #queuedBytes = 0
  /** What is held for it before it is queued, the last publications among it. */
  #heldBytes = 0
  /** How much of `holdings` is this connection's. */
  #counted = 0
  #urgent = false
  /** Its backlog went over the budget and has not halved since. */
  #slow = false
  /** The last publication of each channel, where the policy keeps that one. */
  #latest: Map<string, SharedMessage> | null = null
  #awaitingDrain = false
  /** It failed or ended: whatever its receiver still makes of what came before is dropped. */
  #broken = false

  constructor (ws: WebSocket, stream: Duplex | undefined, flusher: Flusher, counters: TrafficCounters, holdings: Holdings, maxBufferedBytes: number, deflate: Deflate | null = null) {
    this.#ws = ws
    this.compressed = ws.extensions !== ''
    this.#deflate = ws.extensions === 'permessage-deflate' ? deflate : null
    this.#stream = (!this.compressed || this.#deflate !== null) && stream !== undefined && typeof stream.cork === 'function' ? stream : null
    this.#flusher = flusher
    this.#counters = counters
    this.holdings = holdings
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
      this.#letGo()
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
    return this.#queuedBytes + this.#heldBytes + this.#backlog()
  }

  get queuedMessages (): number {
    return this.#single === null ? 0 : this.#queue === null ? 1 : this.#queue.length
  }

  send (data: string | Buffer): void {
    if (!this.open) return
    // What waited before counts: an answer alone may be as large as the application likes.
    if (this.bufferedBytes > this.#maxBufferedBytes * hardLimitFactor && !this.#relieved(hardLimitFactor)) {
      this.#listener?.onBacklog(this.bufferedBytes, 'disconnect')
      if (!this.open) return
    }
    const bytes = typeof data === 'string' ? data.length * bytesPerCharacter : data.length
    this.#enqueue(data, bytes)
    if (!this.#urgent) {
      this.#urgent = true
      this.#flusher.add(this, true)
    }
    this.#count(bytes)
  }

  publish (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean {
    if (!this.open) return false
    const { bytes } = message
    const waiting = this.bufferedBytes
    const total = waiting + bytes
    // One that is larger than the budget may go when nothing waits.
    if (total > this.#maxBufferedBytes && waiting !== 0 && !this.#relieved(1, bytes)) {
      this.#overBudget(message, channel, policy)
      return false
    }
    if (this.#slow && total * 2 < this.#maxBufferedBytes) this.#slow = false
    // A newer message must not be followed by an older one.
    if (this.#latest !== null) this.takeLatest(channel)
    const first = this.#single === null
    this.#enqueue(message, bytes)
    if (first) this.#flusher.add(this, false)
    return true
  }

  hasRoom (bytes: number): boolean {
    const waiting = this.bufferedBytes
    return waiting === 0 || waiting + bytes <= this.#maxBufferedBytes || this.#relieved(1, bytes)
  }

  hold (bytes: number): void {
    if (this.open) this.#hold(bytes)
  }

  release (bytes: number): void {
    if (this.open) this.#hold(-bytes)
  }

  recount (): void {
    this.#count(this.#heldBytes + this.#backlog() - this.#counted)
  }

  #hold (bytes: number): void {
    this.#heldBytes += bytes
    this.#count(bytes)
  }

  /** What many connections share is counted when the operating system did not take it: until then it is in memory once. */
  #count (bytes: number): void {
    this.#counted += bytes
    this.holdings.add(bytes)
  }

  /** What the operating system takes at once does not wait. @returns whether there is room now */
  #relieved (factor: number, bytes = 0): boolean {
    if (this.#single === null || this.#backlog() !== 0) return false
    this.flush(this.#flusher)
    const waiting = this.bufferedBytes
    return waiting === 0 || waiting + bytes <= this.#maxBufferedBytes * factor
  }

  #overBudget (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): void {
    if (policy === 'latest') {
      this.#latest ??= new Map()
      this.takeLatest(channel)
      this.#latest.set(channel, message)
      this.#hold(message.bytes)
      this.#awaitDrain()
      // There is no room even for the last of each channel.
      if (this.open && this.bufferedBytes > this.#maxBufferedBytes * hardLimitFactor) {
        this.#listener?.onBacklog(this.bufferedBytes, 'disconnect')
        return
      }
    }
    if (this.#slow) return
    this.#slow = true
    this.#listener?.onBacklog(this.bufferedBytes, policy)
  }

  takeLatest (channel: string): SharedMessage | undefined {
    const message = this.#latest?.get(channel)
    if (message === undefined) return undefined
    this.#latest!.delete(channel)
    this.#hold(-message.bytes)
    return message
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
      this.#hold(-message.bytes)
      this.#enqueue(message, message.bytes)
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
    this.#queuedBytes = 0
    if (!this.open) return
    this.#counters.outboundMessages += queue === null ? 1 : queue.length
    if (this.#stream === null) this.#sendEach(queue ?? [single])
    else if (queue === null) this.#writeOne(this.#stream, single)
    else if (this.#deflate === null) this.#write(this.#stream, queue, flusher)
    else this.#writeDeflated(this.#stream, queue, flusher)
    const waiting = this.#heldBytes + this.#backlog()
    if (waiting !== this.#counted) this.#count(waiting - this.#counted)
    if (waiting !== 0) this.#listener?.onCongested()
  }

  #sendEach (queue: Item[]): void {
    for (const item of queue) {
      if (item instanceof SharedMessage) {
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
      stream.write(flusher.join(frames))
    }
  }

  #write (stream: Duplex, queue: Item[], flusher: Flusher): void {
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
    this.#counters.outboundBytes += total
    if (total > joinLimit) {
      stream.cork()
      for (const item of queue) stream.write(this.#frameOf(item))
      stream.uncork()
      return
    }
    if (onlyShared) {
      stream.write(flusher.join((queue as SharedMessage[]).map((item) => item.frame)))
      return
    }
    const joined = Buffer.allocUnsafe(total)
    let at = 0
    for (let i = 0; i < queue.length; i++) {
      const item = queue[i]!
      if (item instanceof SharedMessage) at += item.frame.copy(joined, at)
      else at = writeFrame(joined, at, item, lengths[i]!)
    }
    stream.write(joined)
  }

  close (code: number, reason: string): void {
    if (!this.open) return
    this.flush(this.#flusher)
    this.#latest = null
    this.#heldBytes = 0
    this.recount()
    this.#ws.close(code, truncateReason(reason))
  }

  terminate (): void {
    // Its receiver may have more of the same segment.
    this.#broken = true
    this.#ws.terminate()
    this.#letGo()
  }

  #letGo (): void {
    this.#single = this.#queue = this.#latest = null
    this.#queuedBytes = this.#heldBytes = 0
    this.#count(-this.#counted)
  }

  pause (): void {
    this.#ws.pause()
  }

  resume (): void {
    this.#ws.resume()
  }
}
