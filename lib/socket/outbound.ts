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
import { PacketBatch } from './packet-batch.js'

/** What is needed of a session. */
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

/** What a socket says to its client: events, calls, answers. */
export class Outbound {
  readonly #sender: Sender
  // Made when first needed: most sockets call nobody.
  #calls: Calls | null = null
  #batch: PacketBatch | null = null

  constructor (sender: Sender) {
    this.#sender = sender
  }

  /** An event. @returns what went wrong, which the socket was told already */
  event (event: string, data?: unknown, cid?: number): Error | undefined {
    const { connection, host } = this.#sender
    try {
      connection.send(host.plainJson ? eventText(event, toJson(data), cid) : this.#encoded({ event, data, cid }))
    } catch (err) {
      return this.#told(err)
    }
  }

  /** An event whose answer is awaited. @returns its id; `undefined` when the callback was called already */
  call (event: string, data: unknown, callback: CallCallback): number | undefined {
    if (this.#sender.state === 'closed') {
      const error = scError('SC_ERR_BAD_CONNECTION', [event], { type: 'disconnect', code: 1001, reason: closeReasons[1001] })
      tell(callback, error, undefined, (err) => this.#sender.onListenerError(err))
      return
    }
    this.#calls ??= new Calls((err) => this.#sender.onListenerError(err))
    const cid = this.#calls.open(event, callback, this.#sender.host.ackDeadlines)
    const failure = this.event(event, data, cid)
    if (failure !== undefined) this.#calls.settle(cid, failure, undefined)
    return cid
  }

  /** The same as a promise of the answer. @param timeout in milliseconds, where it is not the one of all calls */
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

  /** The same as a promise of what went wrong, or null. */
  delivery (event: string, data?: unknown): Promise<Error | null> {
    return this.invoke(event, data).then(() => null, asError)
  }

  /** The answer to a call of ours; false when nothing waits for it. */
  settle (rid: CallId, error: unknown, data: unknown): boolean {
    // Nothing is made of what nobody waits for.
    return this.#calls !== null && this.#calls.has(rid) && this.#calls.settle(rid, hydrateError(error), data)
  }

  /** Answers a call. Data that cannot be encoded becomes an error for both sides. */
  ack (rid: CallId, data: unknown): void {
    const { connection, host } = this.#sender
    try {
      connection.send(host.plainJson ? ackText(rid, toJson(data)) : this.#encoded({ rid, data }))
    } catch (err) {
      this.errorAck(rid, this.#told(err))
    }
  }

  /** Answers a call with data that is JSON text already; the empty string is no data. */
  jsonAck (rid: CallId, json: string): void {
    if (json === '') this.ack(rid, undefined)
    else if (this.#sender.host.plainJson) this.#sender.connection.send(ackText(rid, json))
    else this.ack(rid, JSON.parse(json))
  }

  /** Answers a call with an error that the client may see, and with data beside it. */
  errorAck (rid: CallId, error: unknown, data?: unknown): void {
    const packet = { rid, error: dehydrateError(error), data }
    try {
      this.#sendObject(packet)
    } catch (err) {
      this.#told(err)
      try {
        this.#sendObject({ rid, error: packet.error })
      } catch (again) {
        // Nothing can be said to this client, so it must not wait for an answer.
        this.#sender.fault(again)
      }
    }
  }

  #sendObject (packet: object): void {
    const { connection, host } = this.#sender
    connection.send(host.plainJson ? toJson(packet)! : this.#encoded(packet))
  }

  /** A packet as it is, at once or with others that come soon. */
  packet (packet: unknown, batch = false): void {
    if (!batch) {
      const error = this.#sendEncoded(packet)
      if (error !== undefined) this.#sender.emitError(error)
      return
    }
    this.#batch ??= new PacketBatch(this.#sender, this.#sender.host.options.pubSubBatchDuration, (packets) => this.#sendBatch(packets))
    this.#batch.add(packet)
  }

  #sendBatch (packets: unknown[]): void {
    if (this.#sendEncoded(packets) === undefined) return
    // One of them cannot be encoded; the others need not suffer for it.
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

  /** Sends what is gathered: the connection is about to be closed. */
  flush (): void {
    this.#batch?.flush()
  }

  /** The connection is gone: nothing is sent any more, and no answer will come. */
  end (type: 'disconnect' | 'connectAbort', code: number, reason: string): void {
    this.#batch?.cancel()
    this.#calls?.abort(type, code, reason)
  }
}

function encodeError (err: unknown): Error {
  return scError('SC_ERR_ENCODE', [messageOf(err)], { cause: err })
}
