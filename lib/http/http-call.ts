import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import type { ScAuthToken } from '../../types/auth.js'
import type { ScExchange } from '../../types/exchange.js'
import type { ScServer, ScServerSocket, SocketState } from '../../types/server.js'
import { scError } from '../errors.js'
import type { Answers, Authenticated, Caller, CallerActivity } from '../handlers/context.js'
import { toJson } from '../protocol/codec.js'
import type { ServerCore } from '../server/core.js'
import { generateId } from '../server/id.js'
import type { Owed } from '../socket/activity.js'
import type { TokenChange } from '../socket/authentication.js'
import { messageOf } from '../untrusted.js'
import { AnsweredError } from './answered-error.js'
import { errorResponse } from './error-response.js'
import { isGone } from './gone.js'
import { createCaller } from './http-caller.js'

/** A call of a declared event over HTTP: who calls, and where the answer goes. It lives as long as its request. */
export class HttpCall implements Caller, Authenticated, Answers, CallerActivity {
  authToken: ScAuthToken | null = null
  signedAuthToken: string | null = null
  readonly #core: ServerCore
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  #id: string | null = null
  #caller: ScServerSocket | null = null
  #authVersion = 0
  #aborts: Map<AbortController, () => void> | null = null

  constructor (core: ServerCore, request: FastifyRequest, reply: FastifyReply) {
    this.#core = core
    this.#request = request
    this.#reply = reply
  }

  get id (): string { return (this.#id ??= generateId()) }
  get socket (): ScServerSocket { return (this.#caller ??= createCaller(this)) }
  get fastifyRequest (): FastifyRequest { return this.#request }
  get remoteAddress (): string | undefined { return this.#request.ip }
  get log (): FastifyBaseLogger { return this.#request.log }
  get server (): ScServer { return this.#core.server }
  get exchange (): ScExchange { return this.#core.exchange }
  /** `'closed'` when nobody waits for the answer any more: it was given, or the client is gone. */
  get state (): SocketState { return this.#reply.sent || isGone(this.#reply.raw) ? 'closed' : 'open' }

  // Authentication

  get auth (): Authenticated['auth'] { return this }
  get version (): number { return this.#authVersion }

  replace (claims: ScAuthToken, signedToken: string | null): TokenChange {
    const change = this.#change(claims, signedToken)
    if (signedToken !== null) this.#core.tokens.accepted(claims)
    return change
  }

  clear (): TokenChange {
    return this.#change(null, null)
  }

  #change (claims: ScAuthToken | null, signedToken: string | null): TokenChange {
    const change: TokenChange = { oldState: this.socket.authState, oldToken: this.authToken, version: ++this.#authVersion }
    this.authToken = claims
    this.signedAuthToken = signedToken
    return change
  }

  emitError (error: unknown): void {
    this.#core.monitor.warn(error, this.log)
  }

  /** A call has no local events. */
  fireLocal (): void {}

  // Answers

  get outbound (): Answers { return this }

  ack (_cid: unknown, data: unknown): void {
    let json: string
    try {
      json = toJson(data) ?? ''
    } catch (err) {
      const error = scError('SC_ERR_ENCODE', [messageOf(err)], { cause: err })
      this.emitError(error)
      this.answerError(error)
      return
    }
    this.jsonAck(undefined, json)
  }

  jsonAck (_cid: unknown, json: string): void {
    if (this.state === 'closed') return
    const reply = this.#reply
    if (json !== '') {
      reply.header('content-type', 'application/json; charset=utf-8').send(json)
      return
    }
    if (reply.statusCode === 200) reply.code(204)
    reply.send()
  }

  errorAck (_cid: unknown, error: unknown, _data?: unknown, denied = false): void {
    this.answerError(error, denied ? 403 : 400)
  }

  /** Answers with an error that the client may see. */
  answerError (error: unknown, byDefault: 400 | 401 | 403 = 400): void {
    if (this.state === 'closed') return
    const response = errorResponse(error, byDefault)
    // A hook may have set another status, which Fastify would keep.
    this.#reply.code(response.statusCode).send(new AnsweredError(response))
  }

  // Activity: only hooks and handlers that take longer are counted, so that a closing server waits for them.

  get activity (): CallerActivity { return this }
  get ended (): boolean { return isGone(this.#reply.raw) }
  beginOwing (): void {}
  endOwing (): void {}
  beginWaiting (): number {
    this.#core.calls.add(this)
    return 0
  }

  endWaiting (): void { this.#core.calls.delete(this) }

  /** The server closes and waits no longer for the hooks of this call. */
  expire (): void {
    this.endWaiting()
    this.answerError(scError('SC_ERR_CLOSING'))
  }

  keep (wait: Owed): void { this.#core.calls.add(wait) }
  forget (wait: Owed): void { this.#core.calls.delete(wait) }

  abortAtClose (abort: AbortController): void {
    const closed = (): void => { abort.abort() }
    ;(this.#aborts ??= new Map()).set(abort, closed)
    this.#reply.raw.once('close', closed)
  }

  keepFromAbort (abort: AbortController): void {
    const closed = this.#aborts?.get(abort)
    if (closed !== undefined) this.#reply.raw.off('close', closed)
  }

  fault (err: unknown): void {
    const shown = this.#core.monitor.failed(this, err, 'thrown')
    this.answerError(shown)
  }
}
