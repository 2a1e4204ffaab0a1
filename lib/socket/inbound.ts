import type { SlowConsumerPolicy } from '../../types/options.js'
import type { CallId, EventPacket } from '../../types/protocol.js'
import { diagnostics } from '../diagnostics.js'
import { scError } from '../errors.js'
import { atOnce } from '../promises.js'
import { hasMoreKeys } from '../protocol/count-keys.js'
import { type Finding, findingError, inspect } from '../protocol/inspect.js'
import { isLocalEvent } from '../protocol/names.js'
import { callIdOf, lastCallId, parsePacket } from '../protocol/packets.js'
import type { ConnectionListener } from '../transport/connection.js'
import { sliceTime } from '../slices.js'
import { currentTurn } from '../turns.js'
import { messageOf } from '../untrusted.js'
import { InboundRate, type RatePort } from './inbound-rate.js'
import { InboundWork, type InboundWorker, manyPackets } from './inbound-work.js'
import { isPong, takePong } from './keep-alive.js'
import type { Session } from './session.js'

/** The part of the server that inbound processing uses. */
export interface InboundPort extends RatePort {
  /**
   * Handles a packet.
   * @returns a promise while the token of the socket is being decided; later packets wait for it. It never rejects.
   */
  dispatch (session: Session, packet: EventPacket): void | Promise<void>
  readonly tokens: {
    /** Deauthenticates the socket if its token expired. @returns the expiry error, or undefined */
    dropExpired (session: Session): Error | undefined
  }
  readonly monitor: RatePort['monitor'] & {
    /** Counts a message that broke a rule. @param error creates the error; called only when somebody listens */
    countInvalid (session: Session, error: () => Error): void
    message (session: Session, bytes: number): void
  }
  readonly connections: {
    backlog (session: Session, bufferedBytes: number, policy: SlowConsumerPolicy): void
    congested (session: Session): void
    /** Called when the connection is gone, which may be some time after it was closed. */
    gone (session: Session): void
  }
}

/**
 * Key of the queue for packets that depend on the token of the socket. No channel has this name. Answers to calls of the server
 * and pongs do not wait: hooks that decide may themselves wait for an answer.
 */
const identity = ''

/** The close code of a connection that ended without a close frame. */
const connectionLost = 1006

/** After this many unreadable messages in a row the connection is closed: it is not a SocketCluster client. */
const maxUnreadable = 3

/** Processes inbound messages in order: frame → rate → codec → packets. */
export class Inbound implements ConnectionListener, InboundWorker {
  readonly #session: Session
  readonly #port: InboundPort
  readonly #rate: InboundRate
  /** Messages that are processed in slices because too much arrived at once. */
  #work: InboundWork | null = null
  #unreadableInRow = 0
  /** The turn of the event loop in which the last message arrived, and the time of the first message in that turn. */
  #turn = -1
  #turnBegan = 0

  constructor (session: Session, port: InboundPort) {
    this.#session = session
    this.#port = port
    this.#rate = new InboundRate(session, port)
  }

  onArrival (bytes: number): boolean {
    const session = this.#session
    const now = performance.now()
    // Bytes count after the close too: a client that keeps sending is read no faster, until its connection is dropped.
    const within = this.#rate.takeBytes(bytes, now)
    if (session.state === 'closed') return false
    session.lastSeen = now
    if (!within) this.#rate.endForBytes()
    return within
  }

  onControl (bytes: number): void {
    if (this.onArrival(bytes)) this.#rate.takeMessage(undefined)
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
      this.message(data)
      return
    }
    if (this.#work === null) {
      this.#work = new InboundWork(session, this)
      this.#work.beginLater()
    }
    this.#work.addMessage(data)
  }

  /** Whether this turn has time left. One read may hold thousands of messages: after a slice of them other work comes first. */
  #hasTime (now: number): boolean {
    const turn = currentTurn()
    if (turn !== this.#turn) {
      this.#turn = turn
      this.#turnBegan = now
    }
    return now - this.#turnBegan < sliceTime
  }

  /** @internal Decodes and processes a message that is within the byte rate. */
  message (data: string | Buffer): void {
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
      // Without `maxDepth` the stack limits the depth: an overflow is caught below.
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
      // An empty array has no packets, but it still counts as one message for the rate.
      this.#rate.takeMessage(undefined)
      return
    }
    if (Array.isArray(message)) this.#array(message, data)
    else this.packet(message, data)
  }

  onClose (code: number, reason: string): void {
    this.#port.connections.gone(this.#session)
    const finish = (): void => this.#session.finish(code, reason === '' ? undefined : reason)
    if (this.#work !== null && code !== connectionLost) this.#work.closed(finish)
    else finish()
  }

  onError (err: Error): void {
    // The client broke the rules of websockets. Nothing of it is processed any more, though its connection may end a little later.
    this.#session.emitError(err, 'mistake')
    this.#session.finish(connectionLost, undefined)
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

  onRoom (): void {
    this.#session.subscriptions.onRoom()
  }

  #pong (data: string): void {
    // Pongs count as messages too: a proper client sends only a few per minute.
    if (!this.#rate.takeMessage(undefined)) return
    takePong(this.#session, data)
    this.#port.tokens.dropExpired(this.#session)
  }

  #array (packets: unknown[], data: string | Buffer): void {
    const session = this.#session
    const { maxBatchItems } = session.host.options
    if (maxBatchItems !== 0 && packets.length > maxBatchItems && this.#rate.countOf(packets) > maxBatchItems) {
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
      // A packet may have closed the socket or dropped its connection: packets after it are ignored.
      if (session.activity.ended) return
      this.packet(packet, data)
    }
  }

  #workOn (packets: unknown[], data: string | Buffer): void {
    if (this.#work !== null) {
      this.#work.takeArray(packets, data)
      return
    }
    this.#work = new InboundWork(this.#session, this)
    this.#work.takeArray(packets, data)
    this.#work.begin()
  }

  /** @internal */
  workDone (): void {
    this.#work = null
  }

  /** @internal Handles a decoded packet. */
  packet (value: unknown, data: string | Buffer): void {
    const session = this.#session
    const packet = parsePacket(value, session.host.options.maxEventNameLength)
    // An expected answer does not count for the rate: the server asked for it.
    if (packet.kind === 'ack' && session.outbound.settle(packet.rid, packet.error, packet.data)) return
    if (!this.#rate.takePacket(packet)) return
    switch (packet.kind) {
      case 'event':
        if (session.closing) return
        if (isLocalEvent(packet.event)) {
          this.#invalid(packet.cid, () => scError('SC_ERR_EVENT_NOT_ALLOWED', [packet.event]))
        } else {
          this.#event(packet)
        }
        break
      case 'ack':
        // No call waits for this answer, or no longer.
        break
      case 'raw':
        if (session.queue.isBusy(identity)) this.#afterDecision(() => session.fireLocal('raw', data), data)
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

  /** Dispatches an event. While the token of the socket is being decided, the event waits. */
  #event (packet: EventPacket): void {
    const session = this.#session
    if (session.queue.isBusy(identity)) {
      this.#afterDecision(() => this.#port.dispatch(session, packet), packet.data)
      return
    }
    const deciding = this.#port.dispatch(session, packet)
    if (deciding !== undefined) session.queue.hold(identity, deciding, packet.data)
  }

  /** Runs an action after the pending decision about the token. @param data data that the action keeps while it waits */
  #afterDecision (action: () => void | Promise<void>, data: unknown): void {
    const session = this.#session
    session.queue.run(identity, () => session.state === 'closed' ? undefined : action(), data)
  }

  #unreadable (error: Error, cid?: CallId): void {
    const session = this.#session
    this.#port.monitor.countInvalid(session, () => error)
    if (session.handshake !== null && session.host.options.strictHandshake) {
      session.emitError(error)
      session.handshake?.refuses(null)
      return
    }
    if (!this.#rate.takeMessage(cid)) return
    session.emitError(error)
    if (cid !== undefined) session.outbound.errorAck(cid, error)
    if (++this.#unreadableInRow >= maxUnreadable) session.end(4400)
  }
}
