import type { CallId } from '../../types/protocol.js'
import type { ScProcedureRequest, ScServerSocket } from '../../types/server.js'
import { scError } from '../errors.js'
import { printAs } from '../printing.js'
import type { Session } from '../socket/session.js'
import type { HandlerContext } from './context.js'
import { fail, refuse } from './error-answers.js'
import { HandlerWait } from './handler-wait.js'

/**
 * The answer to a call of a client; it can be given once. Its timeout starts when the handlers were called and none answered at
 * once.
 */
export class Response implements ScProcedureRequest {
  sent = false
  /** Whether the timeout elapsed before an answer. */
  #late = false
  readonly #context: HandlerContext
  readonly #session: Session
  #wait: HandlerWait | null = null

  constructor (context: HandlerContext, session: Session, readonly id: CallId, readonly procedure: string, readonly data: unknown) {
    this.#context = context
    this.#session = session
    session.activity.beginOwing()
  }

  get socket (): ScServerSocket { return this.#session.socket }

  end (data?: unknown): void {
    if (this.#takes()) this.#session.outbound.ack(this.id, data)
  }

  error (error: unknown, data?: unknown): void {
    if (this.#takes()) refuse(this.#context, this.#session, this.id, error, 'deliberate', data)
  }

  /**
   * Settles the response. A late answer is ignored without an error, because it often comes from a callback whose errors nothing
   * catches.
   * @returns whether the answer has to be sent
   * @throws InvalidActionError when the application answered already
   */
  #takes (): boolean {
    if (this.#late) return false
    if (this.sent) throw scError('SC_ERR_RESPONSE_SENT', [this.id])
    this.#settle()
    return true
  }

  #settle (): void {
    this.sent = true
    this.#wait?.end()
    this.#session.activity.endOwing()
  }

  /** Answers with what a handler threw or rejected with. Only a warning when the call was answered already. */
  fail (error: unknown): void {
    if (this.sent) {
      this.#context.monitor.warn(error, this.#session.log)
      return
    }
    this.#settle()
    fail(this.#context, this.#session, this.id, error, 'thrown')
  }

  /** Call when all handlers were called: if none answered, starts the timeout and counts the data. */
  asked (): void {
    if (this.sent) return
    this.#wait = new HandlerWait(this.#session, this.#context.deadlines.handlers, () => this.#expire()).keep(this.data)
  }

  #expire (): void {
    const { handlerTimeout } = this.#context.host.options
    const error = scError('SC_ERR_HANDLER_TIMEOUT', [this.procedure, handlerTimeout])
    this.#late = true
    this.#settle()
    this.#session.outbound.errorAck(this.id, error)
    this.#context.monitor.warn(error, this.#session.log)
  }

  /** Answers as the callback of SocketCluster: `res(err, data)`; `res(1234, 'text')` is an error with a code. */
  respond (err: unknown, data: unknown): void {
    if (err === undefined || err === null || err === false || err === '' || err === 0) this.end(data)
    else this.error(err, data)
  }
}

printAs(Response, 'ScProcedureRequest', ({ id, procedure, data, sent, socket }) => ({ id, procedure, data, sent, socket }))
