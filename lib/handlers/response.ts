import type { CallId } from '../../types/protocol.js'
import type { ScProcedureRequest } from '../../types/server.js'
import { scError } from '../errors.js'
import { printAs } from '../printing.js'
import { Owed } from '../socket/activity.js'
import type { ServerSocket } from '../socket/socket.js'
import { fail, refuse } from './refuse.js'

/** The one answer to a client's call. Its deadline runs from the moment a handler was asked and did not answer at once. */
export class Response extends Owed implements ScProcedureRequest {
  sent = false

  constructor (readonly socket: ServerSocket, readonly id: CallId, readonly procedure: string, readonly data: unknown) {
    super()
    socket.activity.beginOwing()
  }

  end (data?: unknown): void {
    this.#once()
    this.socket.sendAck(this.id, data)
  }

  error (error: unknown, data?: unknown): void {
    this.#once()
    refuse(this.socket, this.id, error, 'deliberate', data)
  }

  /** @throws InvalidActionError when it was answered already */
  #once (): void {
    if (this.sent) throw scError('SC_ERR_RESPONSE_SENT', [this.id])
    this.#settle()
  }

  #settle (): void {
    this.sent = true
    this.cancel()
    this.socket.activity.forget(this)
    this.socket.activity.endOwing()
  }

  /** The handler threw: an answer if none was given yet. */
  fail (error: unknown): void {
    if (this.sent) {
      this.socket.host.warn(error, this.socket.log)
      return
    }
    this.#settle()
    fail(this.socket, this.id, error, 'thrown')
  }

  expire (): void {
    if (this.sent) return
    const { handlerTimeout } = this.socket.host.options
    const error = scError('SC_ERR_HANDLER_TIMEOUT', [this.procedure, handlerTimeout])
    this.#settle()
    this.socket.sendErrorAck(this.id, error)
    this.socket.host.warn(error, this.socket.log)
  }

  fault (err: unknown): void {
    this.socket.fault(err)
  }

  /** As the callback of SocketCluster: `res(err, data)`; `res(1234, 'text')` is an error with a code. */
  respond (err: unknown, data: unknown): void {
    if (err === undefined || err === null || err === false || err === '' || err === 0) this.end(data)
    else this.error(err, data)
  }
}

printAs(Response, 'ScProcedureRequest', ({ id, procedure, data, sent, socket }) => ({ id, procedure, data, sent, socket }))
