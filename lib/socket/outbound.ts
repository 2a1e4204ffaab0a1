import type { CallId, CodecEngine } from '../../types/protocol.js'
import type { SocketState } from '../../types/server.js'
import type { Guarded } from '../barrier.js'
import type { Deadlines } from '../deadlines.js'
import { scError } from '../errors.js'
import { handled } from '../promises.js'
import { closeReasons } from '../protocol/close-codes.js'
import { encodeMessage, toJson } from '../protocol/codec.js'
import { isLocalEvent } from '../protocol/names.js'
import { ackText, eventText } from '../protocol/packets.js'
import { dehydrateError, hydrateError } from '../protocol/wire-errors.js'
import type { Connection } from '../transport/connection.js'
import { asError, messageOf } from '../untrusted.js'
import { type CallCallback, Calls, tell } from './calls.js'
import { OutboundBatch } from './outbound-batch.js'

/** The part of a session that this class uses. */
export interface Sender extends Guarded {
  readonly state: SocketState
  readonly connection: Connection
  readonly host: {
    readonly options: { readonly pubSubBatchDuration: number | null }
    readonly codec: CodecEngine
    readonly plainJson: boolean
    readonly ackDeadlines: Deadlines
  }
  emitError (err: unknown): void
  onListenerError (err: unknown): void
}

/** Sends messages to the client of a socket: events, calls and answers. */
export class Outbound {
  readonly #sender: Sender
  // Created when first needed: most sockets make no calls.
  #calls: Calls | null = null
  #batch: OutboundBatch | null = null

  constructor (sender: Sender) {
    this.#sender = sender
  }

  /** Sends an event. @returns the error if it cannot be encoded; the socket has emitted it already */
  event (event: string, data?: unknown, cid?: number): Error | undefined {
    const { connection, host } = this.#sender
    try {
      connection.send(host.plainJson ? eventText(event, toJson(data), cid) : this.#encoded({ event, data, cid }))
    } catch (err) {
      return this.#told(err)
    }
  }

  /**
   * Sends an event that the client has to answer.
   * @returns the id of the call, or `undefined` when the callback was already called: the socket is closed, or its client cannot answer
   */
  call (event: string, data: unknown, callback: CallCallback): number | undefined {
    if (this.#sender.state === 'closed') {
      const error = scError('SC_ERR_BAD_CONNECTION', [event], { type: 'disconnect', code: 1001, reason: closeReasons[1001] })
      tell(callback, error, undefined, (err) => this.#sender.onListenerError(err))
      return
    }
    if (this.#sender.connection.transport === 'sse') {
      tell(callback, scError('SC_ERR_SSE_CALL', [event]), undefined, (err) => this.#sender.onListenerError(err))
      return
    }
    this.#calls ??= new Calls((err) => this.#sender.onListenerError(err))
    const cid = this.#calls.open(event, callback, this.#sender.host.ackDeadlines)
    const failure = this.event(event, data, cid)
    if (failure !== undefined) this.#calls.settle(cid, failure, undefined)
    return cid
  }

  /** Like `call`, with a promise of the answer. @param timeout in milliseconds; by default that of all calls */
  invoke (event: string, data?: unknown, timeout?: number): Promise<unknown> {
    return handled(new Promise((resolve, reject) => {
      if (isLocalEvent(event)) throw scError('SC_ERR_EVENT_RESERVED', [event])
      let timer: NodeJS.Timeout | undefined
      const cid = this.call(event, data, (err, answer) => {
        clearTimeout(timer)
        if (err === null) resolve(answer)
        else reject(err)
      })
      if (cid !== undefined && timeout !== undefined) {
        timer = setTimeout(() => this.#calls?.settle(cid, scError('SC_ERR_ACK_TIMEOUT', [event]), undefined), timeout)
      }
    }))
  }

  /** Like `invoke`, with a promise of the error, or of null when the client answered. */
  delivery (event: string, data?: unknown): Promise<Error | null> {
    // The client of a stream is told, though it cannot answer.
    if (this.#sender.connection.transport === 'sse') this.event(event, data)
    return this.invoke(event, data).then(() => null, asError)
  }

  /** Settles a call of the server with the client's answer. @returns false when no call waits for it */
  settle (rid: CallId, error: unknown, data: unknown): boolean {
    // The error is only hydrated when a call waits for it.
    return this.#calls !== null && this.#calls.has(rid) && this.#calls.settle(rid, hydrateError(error), data)
  }

  /** Answers a call. When the data cannot be encoded, the socket emits the error and the client gets it as the answer. */
  ack (rid: CallId, data: unknown): void {
    const { connection, host } = this.#sender
    try {
      connection.send(host.plainJson ? ackText(rid, toJson(data)) : this.#encoded({ rid, data }))
    } catch (err) {
      this.errorAck(rid, this.#told(err))
    }
  }

  /** Answers a call with data that is already JSON text; an empty string stands for no data. */
  jsonAck (rid: CallId, json: string): void {
    if (json === '') this.ack(rid, undefined)
    else if (this.#sender.host.plainJson) this.#sender.connection.send(ackText(rid, json))
    else this.ack(rid, JSON.parse(json))
  }

  /** Answers a call with an error that the client may see, and with optional data. */
  errorAck (rid: CallId, error: unknown, data?: unknown): void {
    const packet = { rid, error: dehydrateError(error), data }
    try {
      this.#sendObject(packet)
    } catch (err) {
      this.#told(err)
      try {
        this.#sendObject({ rid, error: packet.error })
      } catch (again) {
        // The client cannot be answered, so the connection ends: the client must not wait for the answer.
        this.#sender.fault(again)
      }
    }
  }

  #sendObject (packet: object): void {
    const { connection, host } = this.#sender
    connection.send(host.plainJson ? toJson(packet)! : this.#encoded(packet))
  }

  /** Sends a packet unchanged, at once or batched with the packets that follow soon. */
  packet (packet: unknown, batch = false): void {
    if (!batch) {
      const error = this.#sendEncoded(packet)
      if (error !== undefined) this.#sender.emitError(error)
      return
    }
    this.#batch ??= new OutboundBatch(this.#sender, this.#sender.host.options.pubSubBatchDuration, (packets) => this.#sendBatch(packets))
    this.#batch.add(packet)
  }

  #sendBatch (packets: unknown[]): void {
    if (this.#sendEncoded(packets) === undefined) return
    // A packet cannot be encoded: send the others one by one.
    for (const packet of packets) this.packet(packet)
  }

  #sendEncoded (packet: unknown): Error | undefined {
    try {
      this.#sender.connection.send(this.#encoded(packet))
    } catch (err) {
      return encodeError(err)
    }
  }

  #encoded (packet: unknown): string | Buffer {
    return encodeMessage(this.#sender.host.codec, packet)
  }

  #told (err: unknown): Error {
    const error = encodeError(err)
    this.#sender.emitError(error)
    return error
  }

  /** Sends the batched packets. Call before the connection is closed. */
  flush (): void {
    this.#batch?.flush()
  }

  /** Call when the connection is gone: drops batched packets and fails pending calls. */
  end (type: 'disconnect' | 'connectAbort', code: number, reason: string): void {
    this.#batch?.cancel()
    this.#calls?.abort(type, code, reason)
  }
}

function encodeError (err: unknown): Error {
  return scError('SC_ERR_ENCODE', [messageOf(err)], { cause: err })
}
