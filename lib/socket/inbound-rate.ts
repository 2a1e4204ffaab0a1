import type { CallId, Packet } from '../../types/protocol.js'
import type { Guarded } from '../barrier.js'
import { type Deadlines, Timed } from '../deadlines.js'
import { scError, withoutStack } from '../errors.js'
import type { Session } from './session.js'
import { TokenBucket } from './token-bucket.js'

/** What the rate needs of the server. */
export interface RatePort {
  readonly monitor: {
    rateLimited (session: Session, retryAfter: number): void
  }
  readonly rates: {
    /** Takes from the rate that sockets share. @returns 0, or milliseconds to wait */
    take (session: Session, now: number): number
  }
  /** Where a pause of reading waits until it is looked at again. */
  readonly pauses: Deadlines
}

/** Subscribes that do not count as messages where the channels of a socket have no limit. */
const freeWithoutLimit = 10_000

/** Milliseconds in which a client that sends too much has to slow down. */
const patience = 1_000

/** What a message, a ping or a pong counts besides its own bytes: even an empty one costs some microseconds. */
const messageBytes = 64
/** The same on a connection with compression: to inflate costs so much more, however little it is. */
const compressedMessageBytes = 1_024

/** Ends when it is time to look whether reading may go on. */
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
 * How much a client may send: bytes, for which reading pauses, and messages, which are refused. It has no clock of its own:
 * bytes are counted by when they came, messages by the session's `lastSeen`.
 */
export class InboundRate implements Guarded {
  readonly #session: Session
  readonly #port: RatePort
  readonly #bucket: TokenBucket | null
  /** When it began to send too much; 0 while it does not. */
  #overSince = 0
  /** Bytes that may come now; less than 0 while reading pauses. */
  #bytesLeft: number
  #bytesAt: number
  /** Subscribes that may still come without counting as messages. */
  #freeSubscribes: number

  constructor (session: Session, port: RatePort) {
    this.#session = session
    this.#port = port
    const { inboundRate, inboundBurst, inboundByteBurst, socketChannelLimit } = session.host.options
    this.#freeSubscribes = socketChannelLimit === 0 ? freeWithoutLimit : socketChannelLimit
    this.#bytesLeft = inboundByteBurst
    this.#bytesAt = session.lastSeen
    this.#bucket = inboundRate === 0 ? null : new TokenBucket(inboundRate, inboundBurst, session.lastSeen)
  }

  // Bytes

  /**
   * A message, a ping or a pong came. Over its rate, reading pauses.
   * @returns false when so much is owed already that a pause of reading cannot be the answer
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

  /** @internal Reading goes on if the socket is within its rate again, else the pause does. */
  goOnReading (pause: ReadingPause): void {
    this.#take(0, performance.now())
    if (this.#bytesLeft < 0) this.#port.pauses.add(pause)
    else this.#session.activity.overRate = false
  }

  fault (err: unknown): void {
    this.#session.fault(err)
  }

  /** It sent on while nothing was read, more than a pause can hold up. */
  endForBytes (): void {
    this.#port.monitor.rateLimited(this.#session, Math.ceil(-this.#bytesLeft * 1000 / this.#session.host.options.inboundByteRate))
    this.#session.end(4429)
  }

  // Messages

  /** Takes a packet. @returns false when it is refused, which is counted, and answered where it is a call */
  takePacket (packet: Packet): boolean {
    return this.#isFree(packet) || this.takeMessage(packet.kind === 'event' || packet.kind === 'invalid' ? packet.cid : undefined)
  }

  /** The same for what is no packet: nothing of it is free. @param cid of the call that it is */
  takeMessage (cid: CallId | undefined): boolean {
    const bucket = this.#bucket
    const session = this.#session
    const now = session.lastSeen
    // Without a rate of its own a socket may still share one.
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
   * Clients come back with all their channels at once, and give up those that are refused. So as many subscribes as a socket
   * may have channels do not count as messages; what subscribes and unsubscribes all the time still meets the rate.
   */
  #isFree (packet: Packet): boolean {
    if (packet.kind !== 'event' || packet.event !== '#subscribe' || this.#freeSubscribes === 0 || this.#session.state !== 'open') return false
    this.#freeSubscribes--
    return true
  }

  /** How many of the packets of an array count as messages. */
  countOf (packets: unknown[]): number {
    let subscribes = 0
    for (const packet of packets) if (typeof packet === 'object' && packet !== null && (packet as { event?: unknown }).event === '#subscribe') subscribes++
    return packets.length - Math.min(subscribes, this.#freeSubscribes)
  }
}
