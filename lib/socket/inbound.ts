import type { SlowConsumerPolicy } from '../../types/options.js'
import type { CallId, EventPacket, Packet } from '../../types/protocol.js'
import { type Deadlines, Timed } from '../deadlines.js'
import { diagnostics } from '../diagnostics.js'
import { scError, withoutStack } from '../errors.js'
import { atOnce } from '../promises.js'
import { hasMoreKeys } from '../protocol/count-keys.js'
import { type Finding, inspect } from '../protocol/inspect.js'
import { isLocalEvent } from '../protocol/names.js'
import { isCallId, parsePacket } from '../protocol/packets.js'
import type { PortListener } from '../transport/port.js'
import { slices, sliceTime } from '../slices.js'
import { messageOf } from '../untrusted.js'
import { isPong, takePong } from './keep-alive.js'
import type { Session } from './session.js'
import { TokenBucket } from './token-bucket.js'

/** What the way in needs of the server: of each part what it does. */
export interface InboundPort {
  /** @returns a promise when it is not decided yet who the socket is: what it sends next waits for it. It never rejects. */
  dispatch (session: Session, packet: EventPacket): void | Promise<void>
  readonly tokens: {
    /** Whether the socket's token ran out; if so the socket is deauthenticated by this call. */
    dropExpired (session: Session): Error | undefined
  }
  readonly monitor: {
    /** A message broke a rule. @param error made only for who listens */
    countInvalid (session: Session, error: () => Error): void
    rateLimited (session: Session, retryAfter: number): void
    message (session: Session, bytes: number): void
  }
  readonly connections: {
    backlog (session: Session, bufferedBytes: number, policy: SlowConsumerPolicy): void
    congested (session: Session): void
    /** Its connection is gone, which may be a while after it was closed. */
    gone (session: Session): void
  }
  readonly rates: {
    /** Takes from the rate that sockets share. @returns 0, or milliseconds to wait */
    take (session: Session, now: number): number
  }
  /** Where a pause of reading waits until it is looked at again. */
  readonly pauses: Deadlines
}

/**
 * The lane of what depends on who the socket is. No channel has this name. Answers to calls of the server and pongs do not
 * wait: hooks that decide may themselves wait for an answer.
 */
const identity = ''

/** Pongs count too: nobody needs more than a few a minute. */
const pongMessage: Packet = { kind: 'raw' }

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
  constructor (readonly inbound: Inbound) {
    super()
  }

  expire (): void {
    this.inbound.goOnReading(this)
  }

  fault (err: unknown): void {
    this.inbound.fault(err)
  }
}

/** An array of more packets is worked on in slices. */
const manyPackets = 32

/** What is worked on in slices: an array of many packets, and the messages that came behind it, or behind many others in one read. */
interface Work {
  packets: unknown[]
  at: number
  data: string | Buffer
  readonly behind: Array<{ readonly data: string | Buffer, readonly held: number }>
  /** The client closed the connection in order: what it sent before comes first. */
  closed?: () => void
}

/** Milliseconds after the end of a message within which the next one is of the same read, or as good as. */
const sameRead = 0.05

/** The code of a connection that ended without a close frame. */
const connectionLost = 1006

/** What a message that waits for its turn takes beside its text. */
const waitingBytes = 128

/** After so many messages in a row that cannot be read, the client is not one of ours. */
const maxUnreadable = 3

/** The way in: frame → codec → packets, in order. */
export class Inbound implements PortListener {
  readonly #session: Session
  readonly #port: InboundPort
  readonly #bucket: TokenBucket | null
  /** When it began to send too much; 0 while it does not. */
  #overSince = 0
  /** Bytes that may come now; less than 0 while reading pauses. */
  #bytesLeft: number
  #bytesAt: number
  /** Subscribes that may still come without counting as messages. */
  #freeSubscribes: number
  #work: Work | null = null
  #unreadableInRow = 0
  /** Since when its messages follow each other without a pause, and when the last of them was done. */
  #busySince = 0
  #doneAt = 0

  constructor (session: Session, port: InboundPort) {
    this.#session = session
    this.#port = port
    const { inboundRate, inboundBurst, inboundByteBurst, socketChannelLimit } = session.host.options
    this.#freeSubscribes = socketChannelLimit === 0 ? freeWithoutLimit : socketChannelLimit
    this.#bytesLeft = inboundByteBurst
    this.#bytesAt = session.lastSeen
    this.#bucket = inboundRate === 0 ? null : new TokenBucket(inboundRate, inboundBurst, session.lastSeen)
  }

  onArrival (bytes: number): boolean {
    const session = this.#session
    const now = performance.now()
    // Also after the close: a client that goes on sending is read no faster, until its connection is dropped.
    const within = this.#takeBytes(bytes + (session.port.compressed ? compressedMessageBytes : messageBytes), now)
    if (session.state === 'closed') return false
    session.lastSeen = now
    if (within) return true
    this.#port.monitor.rateLimited(session, Math.ceil(-this.#bytesLeft * 1000 / session.host.options.inboundByteRate))
    session.end(4429)
    return false
  }

  onControl (bytes: number): void {
    if (this.onArrival(bytes)) this.#withinRate(pongMessage)
  }

  /** @returns false when so much is owed already that a pause of reading cannot be the answer */
  #takeBytes (bytes: number, now: number): boolean {
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
    this.#takeBytes(0, performance.now())
    if (this.#bytesLeft < 0) this.#port.pauses.add(pause)
    else this.#session.activity.overRate = false
  }

  onMessage (data: string | Buffer, bytes: number): void {
    const session = this.#session
    if (session.activity.overrun) {
      session.end(4429)
      return
    }
    session.bytesReceived += bytes
    if (diagnostics.message.hasSubscribers) this.#port.monitor.message(session, bytes)
    if (session.observes('message')) session.fireLocal('message', data)
    if (isPong(data) && session.state === 'open') {
      this.#pong(data)
      return
    }
    if (this.#work === null && this.#hasTime(session.lastSeen)) {
      this.#message(data)
      this.#doneAt = performance.now()
      return
    }
    this.#work ??= this.#later()
    this.#work.behind.push({ data, held: session.activity.holdBytes(data.length * 2 + waitingBytes) })
  }

  /** One read may hold thousands of messages: after a slice of them others come first. */
  #hasTime (now: number): boolean {
    if (now - this.#doneAt > sameRead) this.#busySince = now
    return now - this.#busySince < sliceTime
  }

  #message (data: string | Buffer): void {
    const session = this.#session

    const { maxDepth, maxNodes, maxKeys } = session.host.options
    if (maxKeys !== 0 && session.host.plainJson && data.length > maxKeys && hasMoreKeys(data.toString(), maxKeys)) {
      this.#unreadable(scError('SC_ERR_MESSAGE_KEYS', [maxKeys]), lastCallId(data))
      return
    }
    let message: unknown
    let finding: Finding
    try {
      message = session.host.codec.decode(data)
      if (!session.host.plainJson) atOnce('the codec', message)
      // Without a limit of the depth the stack is one.
      finding = inspect(message, maxDepth === 0 ? Infinity : maxDepth, maxNodes === 0 ? Infinity : maxNodes)
    } catch (err) {
      this.#unreadable(scError('SC_ERR_MESSAGE_CODEC', [messageOf(err)], { cause: err }))
      return
    }
    if (finding !== null) {
      this.#unreadable(findingError(finding, maxDepth, maxNodes), callIdOf(message))
      return
    }
    if (session.handshake?.refuses(message) === true) return
    this.#unreadableInRow = 0
    if (Array.isArray(message) && message.length === 0) {
      // It says nothing, but it was read.
      this.#withinRate(pongMessage)
      return
    }
    if (Array.isArray(message)) this.#array(message, data)
    else this.#packet(message, data)
  }

  onClose (code: number, reason: string): void {
    this.#port.connections.gone(this.#session)
    const finish = (): void => this.#session.finish(code, reason === '' ? undefined : reason)
    if (this.#work !== null && code !== connectionLost) this.#work.closed = finish
    else finish()
  }

  onError (err: Error): void {
    this.#session.emitError(err)
  }

  fault (err: unknown): void {
    this.#session.fault(err)
  }

  onBacklog (bufferedBytes: number, policy: SlowConsumerPolicy): void {
    this.#port.connections.backlog(this.#session, bufferedBytes, policy)
  }

  onCongested (): void {
    this.#port.connections.congested(this.#session)
  }

  #pong (data: string): void {
    if (!this.#withinRate(pongMessage)) return
    takePong(this.#session, data)
    this.#port.tokens.dropExpired(this.#session)
  }

  #array (packets: unknown[], data: string | Buffer): void {
    const session = this.#session
    const { maxBatchItems } = session.host.options
    if (maxBatchItems !== 0 && packets.length > maxBatchItems && packets.length - this.#freeOf(packets) > maxBatchItems) {
      const error = scError('SC_ERR_BATCH', [maxBatchItems, packets.length])
      this.#port.monitor.countInvalid(session, () => error)
      session.emitError(error)
      session.end(4413)
      return
    }
    if (packets.length > manyPackets) {
      this.#workOn(packets, data)
      return
    }
    for (const packet of packets) {
      // One of the packets may have closed the socket, or dropped its connection: nothing after it counts.
      if (session.activity.ended) return
      this.#packet(packet, data)
    }
  }

  /** Little by little: each packet may have an application's hooks run. */
  #workOn (packets: unknown[], data: string | Buffer): void {
    const session = this.#session
    if (this.#work !== null) {
      Object.assign(this.#work, { packets, at: 0, data })
      return
    }
    this.#work = { packets, at: 0, data, behind: [] }
    slices.run(session, this.#stepOf(this.#work))
    if (this.#work !== null) session.activity.working = true
  }

  /** What comes now waits for the next turn of the event loop. */
  #later (): Work {
    const work: Work = { packets: [], at: 0, data: '', behind: [] }
    slices.later(this.#session, this.#stepOf(work))
    this.#session.activity.working = true
    return work
  }

  #stepOf (work: Work): () => boolean {
    const session = this.#session
    return () => {
      if (session.activity.ended) {
        this.#work = null
        return false
      }
      if (work.at < work.packets.length) {
        this.#packet(work.packets[work.at++], work.data)
        return true
      }
      const next = work.behind.shift()
      if (next !== undefined) {
        session.activity.release(next.held)
        this.#message(next.data)
        return true
      }
      this.#work = null
      this.#busySince = this.#doneAt = performance.now()
      session.activity.working = false
      work.closed?.()
      return false
    }
  }

  #packet (value: unknown, data: string | Buffer): void {
    const session = this.#session
    const packet = parsePacket(value, session.host.options.maxEventNameLength)
    // A wanted answer costs nothing: the server asked for it.
    if (packet.kind === 'ack' && session.outbound.settle(packet.rid, packet.error, packet.data)) return
    if (!this.#isFree(packet) && !this.#withinRate(packet)) return
    switch (packet.kind) {
      case 'event':
        if (session.retiring) return
        if (isLocalEvent(packet.event)) {
          this.#invalid(packet.cid, () => scError('SC_ERR_EVENT_NOT_ALLOWED', [packet.event]))
        } else {
          this.#event(packet)
        }
        break
      case 'ack':
        // Nobody waits for it, or not any more.
        break
      case 'raw':
        if (session.lanes.isBusy(identity)) this.#afterDecision(() => session.fireLocal('raw', data), data)
        else session.fireLocal('raw', data)
        break
      case 'invalid':
        this.#invalid(packet.cid, () => scError('SC_ERR_MESSAGE', [packet.reason]))
        break
    }
  }

  #invalid (cid: CallId | undefined, error: () => Error): void {
    this.#port.monitor.countInvalid(this.#session, error)
    if (cid !== undefined) this.#session.outbound.errorAck(cid, error())
  }

  /** An event counts by who the socket is: while that is being decided, it waits. */
  #event (packet: EventPacket): void {
    const session = this.#session
    if (session.lanes.isBusy(identity)) {
      this.#afterDecision(() => this.#port.dispatch(session, packet), packet.data)
      return
    }
    const deciding = this.#port.dispatch(session, packet)
    if (deciding !== undefined) session.lanes.hold(identity, deciding, packet.data)
  }

  /** @param data what the action keeps meanwhile */
  #afterDecision (action: () => void | Promise<void>, data: unknown): void {
    const session = this.#session
    session.lanes.run(identity, () => session.state === 'closed' ? undefined : action(), data)
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

  /** How many of the packets of an array are free. */
  #freeOf (packets: unknown[]): number {
    let subscribes = 0
    for (const packet of packets) if (typeof packet === 'object' && packet !== null && (packet as { event?: unknown }).event === '#subscribe') subscribes++
    return Math.min(subscribes, this.#freeSubscribes)
  }

  #withinRate (packet: Packet): boolean {
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
    const cid = packet.kind === 'event' || packet.kind === 'invalid' ? packet.cid : undefined
    if (cid !== undefined) session.outbound.errorAck(cid, withoutStack(() => scError('SC_ERR_RATE', [retryAfter], { retryAfter })))
    return false
  }

  #unreadable (error: Error, cid?: CallId): void {
    const session = this.#session
    this.#port.monitor.countInvalid(session, () => error)
    if (session.handshake !== null && session.host.options.strictHandshake) {
      session.emitError(error)
      session.handshake?.refuses(null)
      return
    }
    if (!this.#withinRate(cid === undefined ? pongMessage : { kind: 'invalid', reason: error.message, cid })) return
    session.emitError(error)
    if (cid !== undefined) session.outbound.errorAck(cid, error)
    if (++this.#unreadableInRow >= maxUnreadable) session.end(4400)
  }
}

function callIdOf (message: unknown): CallId | undefined {
  const cid = (message as { cid?: unknown }).cid
  return isCallId(cid) ? cid : undefined
}

/** The call id of a packet that is not parsed, where stock clients write it: at the end. */
function lastCallId (data: string | Buffer): CallId | undefined {
  const match = /"cid":(\d{1,15})\}$/.exec(data.toString().slice(-32))
  return match === null ? undefined : Number(match[1])
}

function findingError (finding: NonNullable<Finding>, maxDepth: number, maxNodes: number): Error {
  switch (finding.kind) {
    case 'depth': return scError('SC_ERR_MESSAGE_DEPTH', [maxDepth])
    case 'nodes': return scError('SC_ERR_MESSAGE_NODES', [maxNodes])
    case 'key': return scError('SC_ERR_MESSAGE_PROTO', [finding.key])
  }
}
