import type { CallId, CodecEngine } from '../../types/protocol.js'
import { scError } from '../errors.js'
import { handled } from '../promises.js'
import { closeMessage } from '../protocol/close-codes.js'
import type { StreamPort } from '../transport/stream-connection.js'
import type { Inbound } from './inbound.js'
import type { Session } from './session.js'

/** The part of the server that a client uses. */
export interface StreamClientHost {
  readonly codec: CodecEngine
  readonly plainJson: boolean
  readonly options: { readonly gapEvent: string | false }
}

/** The server refused what was asked for. */
export class StreamRefusal extends Error {
  /**
   * @param shown the error in the form that a client sees
   * @param byDefault the status of an error that has none
   */
  constructor (readonly shown: unknown, readonly byDefault: 401 | 403 = 403) {
    super('Refused')
  }
}

/** The HTTP status of a stream that ended before it began, by close code. */
const statusOfCode: Readonly<Record<number, number>> = { 1001: 503, 1011: 500, 4005: 504, 4401: 401, 4429: 429 }

interface Asked {
  resolve (data: unknown): void
  reject (err: Error): void
}

/** The close code of a socket whose token is gone: a stream has no way to send another one. */
const unauthorized = 4401
const ordinary = 1000

/**
 * Stands in for the client of an event stream, who can send nothing: it asks for the handshake and the subscriptions as a client
 * over a websocket would, and gets the answers.
 */
export class StreamClient implements StreamPort {
  readonly #host: StreamClientHost
  readonly #asked = new Map<CallId, Asked>()
  #session: Session | null = null
  #inbound: Inbound | null = null
  #lastId = 0
  /** Why the stream ended before it started; null if it did not. */
  ended: Error | null = null

  constructor (host: StreamClientHost) {
    this.#host = host
  }

  get codec (): CodecEngine { return this.#host.codec }
  get plainJson (): boolean { return this.#host.plainJson }
  get gapEvent (): string | false { return this.#host.options.gapEvent }

  /** Call before anything is asked. */
  use (session: Session, inbound: Inbound): void {
    this.#session = session
    this.#inbound = inbound
  }

  /** Sends a packet to the server. Resolves with the data of the answer; rejects with its error, or when the connection ends. */
  ask (event: string, data: unknown): Promise<unknown> {
    return handled(new Promise((resolve, reject) => {
      if (this.ended !== null) throw this.ended
      const cid = ++this.#lastId
      this.#asked.set(cid, { resolve, reject })
      this.#inbound!.packet({ event, data, cid }, '')
    }))
  }

  answered (id: CallId, error: unknown, data: unknown): void {
    const asked = this.#asked.get(id)
    this.#asked.delete(id)
    if (error === undefined || error === null) asked?.resolve(data)
    else asked?.reject(new StreamRefusal(error))
  }

  aborted (code: number | null, reason: string): void {
    this.ended = code === null ? scError('SC_ERR_SSE_GONE') : scError('SC_ERR_SSE_ENDED', [closeMessage(code, reason)], { statusCode: statusOfCode[code] ?? 403 })
    for (const { reject } of this.#asked.values()) reject(this.ended)
    this.#asked.clear()
  }

  deauthenticated (): void {
    this.#session!.disconnect(unauthorized)
  }

  kicked (): void {
    if (this.#session!.subscriptions.size === 0) this.#session!.disconnect(ordinary, 'Removed from all channels')
  }

  unsendable (err: Error): void {
    this.#session!.emitError(err)
  }
}
