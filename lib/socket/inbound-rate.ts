import type { ResolvedOptions } from '../../types/options.js'
import type { CallId, Packet } from '../../types/protocol.js'
import type { Guarded } from '../barrier.js'
import { type Deadlines, Timed } from '../deadlines.js'
import { scError, withoutStack } from '../errors.js'
import type { Session } from './session.js'
import { TokenBucket } from './token-bucket.js'

/** The part of the server that the rate uses. */
export interface RatePort {
  readonly monitor: {
    rateLimited (session: Session, retryAfter: number): void
  }
  readonly rates: {
    /** Takes a token from the rate that sockets share. @returns 0, or the milliseconds to wait */
    take (session: Session, now: number): number
  }
  /** Deadlines after which a pause of reading is checked again. */
  readonly pauses: Deadlines
}

/** The channels that a client may subscribe to at once when `socketChannelLimit` is 0. */
const atOnceWithoutLimit = 10_000

/** The number of channels that a client may subscribe to at once after a reconnect. */
export function channelsAtOnce ({ socketChannelLimit }: Pick<ResolvedOptions, 'socketChannelLimit'>): number {
  return socketChannelLimit === 0 ? atOnceWithoutLimit : socketChannelLimit
}

/** Milliseconds that a client may exceed its message rate before it is disconnected. */
const patience = 1_000

/** Bytes that a message, a ping or a pong counts beside its own: even an empty one costs some microseconds. */
const messageBytes = 64
/** Like `messageBytes` on a compressed connection: inflating costs that much more, however small the message. */
const compressedMessageBytes = 1_024

/** The deadline after which a pause of reading is checked again. */
class ReadingPause extends Timed {
  constructor (readonly rate: InboundRate) {
    super()
  }

  expire (): void {
    this.rate.goOnReading(this)
  }

  fault (err: unknown): void {
    this.rate.fault(err)
  }
}

/**
 * Limits what a client may send. Above the byte rate reading pauses; above the message rate messages are refused. It has no
 * clock: bytes are counted by their arrival time, messages by the session's `lastSeen`.
 */
export class InboundRate implements Guarded {
  readonly #session: Session
  readonly #port: RatePort
  readonly #bucket: TokenBucket | null
  /** Time when the client exceeded the message rate; 0 while it is within the rate. */
  #overSince = 0
  /** Bytes that may arrive now; negative while reading pauses. */
  #bytesLeft: number
  #bytesAt: number
  /** Subscribes that still do not count as messages. */
  #freeSubscribes: number

  constructor (session: Session, port: RatePort) {
    this.#session = session
    this.#port = port
    const { inboundRate, inboundBurst, inboundByteBurst } = session.host.options
    this.#freeSubscribes = channelsAtOnce(session.host.options)
    this.#bytesLeft = inboundByteBurst
    this.#bytesAt = session.lastSeen
    this.#bucket = inboundRate === 0 ? null : new TokenBucket(inboundRate, inboundBurst, session.lastSeen)
  }

  // Bytes

  /**
   * Counts the bytes of a message, a ping or a pong. Above the rate, reading pauses.
   * @returns false when the excess is too large for a pause of reading to make up for
   */
  takeBytes (bytes: number, now: number): boolean {
    return this.#take(bytes + (this.#session.connection.compressed ? compressedMessageBytes : messageBytes), now)
  }

  #take (bytes: number, now: number): boolean {
    const { inboundByteRate: rate, inboundByteBurst: burst, maxPayload } = this.#session.host.options
    if (rate === 0) return true
    const left = this.#bytesLeft + Math.max(0, now - this.#bytesAt) * rate / 1000
    this.#bytesAt = now
    this.#bytesLeft = (left < burst ? left : burst) - bytes
    if (this.#bytesLeft < 0 && !this.#session.activity.overRate) {
      this.#session.activity.overRate = true
      this.#port.pauses.add(new ReadingPause(this))
    }
    // A single message may be larger than a burst.
    return left >= -Math.max(burst, maxPayload)
  }

  /** @internal Resumes reading if the socket is within its rate again; otherwise extends the pause. */
  goOnReading (pause: ReadingPause): void {
    this.#take(0, performance.now())
    if (this.#bytesLeft < 0) this.#port.pauses.add(pause)
    else this.#session.activity.overRate = false
  }

  fault (err: unknown): void {
    this.#session.fault(err)
  }

  /** Ends a connection whose excess is too large for a pause of reading, with close code 4429. */
  endForBytes (): void {
    this.#port.monitor.rateLimited(this.#session, Math.ceil(-this.#bytesLeft * 1000 / this.#session.host.options.inboundByteRate))
    this.#session.end(4429)
  }

  // Messages

  /** Counts a packet. @returns false when the packet is refused; the refusal is counted, and answered if the packet is a call */
  takePacket (packet: Packet): boolean {
    return this.#isFree(packet) || this.takeMessage(packet.kind === 'event' || packet.kind === 'invalid' ? packet.cid : undefined)
  }

  /**
   * Counts a message without any allowance for subscribes.
   * @param cid id of the call, if the message is one
   * @returns false when the message is refused, as with `takePacket`
   */
  takeMessage (cid: CallId | undefined): boolean {
    const bucket = this.#bucket
    const session = this.#session
    const now = session.lastSeen
    // A socket without its own rate may still have a shared one.
    const retryAfter = (bucket === null ? 0 : bucket.take(now)) || this.#port.rates.take(session, now)
    if (retryAfter === 0) {
      if (this.#overSince !== 0 && (bucket === null ? now - this.#overSince >= 2 * patience : bucket.recovered)) this.#overSince = 0
      return true
    }
    this.#port.monitor.rateLimited(session, retryAfter)
    if (this.#overSince === 0) {
      this.#overSince = now
    } else if (now - this.#overSince >= patience) {
      session.end(4429)
      return false
    }
    if (cid !== undefined) session.outbound.errorAck(cid, withoutStack(() => scError('SC_ERR_RATE', [retryAfter], { retryAfter })))
    return false
  }

  /**
   * After a reconnect, clients subscribe to all their channels at once and give up those that are refused. Therefore the first
   * `socketChannelLimit` subscribes of a socket do not count as messages. A client that keeps subscribing and unsubscribing still
   * meets the rate.
   */
  #isFree (packet: Packet): boolean {
    if (packet.kind !== 'event' || packet.event !== '#subscribe' || this.#freeSubscribes === 0 || this.#session.state !== 'open') return false
    this.#freeSubscribes--
    return true
  }

  /** Returns how many packets of an array count as messages. */
  countOf (packets: unknown[]): number {
    let subscribes = 0
    for (const packet of packets) if (typeof packet === 'object' && packet !== null && (packet as { event?: unknown }).event === '#subscribe') subscribes++
    return packets.length - Math.min(subscribes, this.#freeSubscribes)
  }
}
