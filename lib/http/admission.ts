import type { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import { scError, withoutStack, type ScError } from '../errors.js'
import { type Verdict, authenticate, authenticateUser } from '../handlers/authenticate.js'
import { decide, runHooks } from '../lifecycle/run.js'
import { findingError, inspect } from '../protocol/inspect.js'
import type { ServerCore } from '../server/core.js'
import { RateKeys } from '../server/rate-keys.js'
import { AnsweredError } from './answered-error.js'
import { checkKeys } from './body-keys.js'
import { errorResponse } from './error-response.js'
import type { HttpCall } from './http-call.js'
import { bearerToken, callerKey, requestUser } from './request-user.js'

const json = /^application\/(?:[\w.+-]+\+)?json[ \t]*(?:;|$)/i

/**
 * Decides which requests may call events: what the upgrade, the handshake and the inbound path decide for a websocket, in the same
 * order.
 */
export class HttpAdmission {
  readonly #core: ServerCore
  /** The rate of one user, or of one address without a user: that of one socket. */
  readonly #rates: RateKeys | null

  constructor (core: ServerCore) {
    const { inboundRate, inboundBurst } = core.options
    this.#core = core
    this.#rates = inboundRate === 0 ? null : new RateKeys(inboundRate, inboundBurst)
  }

  /** Checks a request before its body is read. @returns the error of a request that is refused */
  refusal (request: FastifyRequest): ScError | undefined {
    if (this.#core.draining || !this.#core.ready) return scError('SC_ERR_CLOSING')
    const refusal = this.#core.gate.requestRefusal(request)
    if (refusal !== undefined) return refusal
    const { 'content-type': type } = request.headers
    // Nothing else needs a preflight request of browsers.
    if (type !== undefined && !json.test(type)) return scError('SC_ERR_CONTENT_TYPE', [type])
  }

  /** Returns the body of a request, which fails if it has more than `maxKeys` different keys. */
  limited (request: FastifyRequest, body: Readable): Readable {
    const { maxKeys } = this.#core.options
    return checkKeys(request, body, maxKeys, () => {
      this.#core.monitor.counters.invalid++
      return new AnsweredError(errorResponse(scError('SC_ERR_MESSAGE_KEYS', [maxKeys])))
    })
  }

  /**
   * Makes the handshake of a call: `handshakeWS` and `handshakeSC` hooks, token, rate, limits of the data. Returns a promise only if
   * a hook or the auth engine returns one.
   * @returns whether the call goes on; otherwise it was answered
   */
  admit (call: HttpCall): boolean | Promise<boolean> {
    const { handshakeWS } = this.#core.middleware
    if (handshakeWS.length === 0) return this.#handshake(call)
    const { raw } = call.fastifyRequest
    return decide(() => runHooks('handshakeWS', handshakeWS, undefined, raw, this.#core.deadlines.hooks), () => this.#handshake(call), (thrown) => this.#deny(call, 'handshakeWS', thrown))
  }

  #handshake (call: HttpCall): boolean | Promise<boolean> {
    const { hooks: { handshakeSC }, instance } = this.#core.scopes.root
    if (handshakeSC.length === 0) return this.#authenticate(call)
    return decide(() => runHooks('handshakeSC', handshakeSC, instance, { socket: call.socket }, this.#core.deadlines.hooks), () => this.#authenticate(call), (thrown) => this.#deny(call, 'handshakeSC', thrown))
  }

  #deny (call: HttpCall, line: 'handshakeWS' | 'handshakeSC', thrown: unknown): false {
    call.answerError(this.#core.monitor.denied(call, { line, thrown }).shown, 403)
    return false
  }

  #authenticate (call: HttpCall): boolean | Promise<boolean> {
    const verdict = this.#verdict(call)
    return verdict instanceof Promise ? verdict.then((decided) => this.#authenticated(call, decided)) : this.#authenticated(call, verdict)
  }

  #verdict (call: HttpCall): Verdict | Promise<Verdict> | null {
    const { context } = this.#core.host
    const user = requestUser(this.#core, call.fastifyRequest)
    if (user !== null) return authenticateUser(context, call, user)
    const token = bearerToken(call.fastifyRequest)
    return token === undefined ? null : authenticate(context, call, token)
  }

  #authenticated (call: HttpCall, verdict: Verdict | null): boolean {
    if (verdict?.kind === 'superseded') return false
    const retryAfter = this.#takeRate(call)
    if (retryAfter !== 0) {
      this.#core.monitor.rateLimited(call, retryAfter)
      call.answerError(withoutStack(() => scError('SC_ERR_RATE', [retryAfter], { retryAfter })))
      return false
    }
    if (verdict?.kind === 'refused') {
      call.answerError(verdict.shown, 401)
      return false
    }
    return this.#checkData(call)
  }

  #takeRate (call: HttpCall): number {
    const now = performance.now()
    const own = this.#rates?.take(callerKey(call.authToken, call.remoteAddress), now) ?? 0
    return own !== 0 ? own : this.#core.rates.take(call, now)
  }

  #checkData (call: HttpCall): boolean {
    const { maxDepth, maxNodes } = this.#core.options
    // The data of a message are one level below it.
    const finding = inspect(call.fastifyRequest.body, maxDepth === 0 ? Infinity : maxDepth - 1, maxNodes === 0 ? Infinity : maxNodes)
    if (finding === null) return true
    const error = findingError(finding, maxDepth, maxNodes)
    this.#core.monitor.countInvalid(call, () => error)
    call.answerError(error)
    return false
  }
}
