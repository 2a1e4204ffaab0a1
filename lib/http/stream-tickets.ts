import type { FastifyRequest } from 'fastify'
import type { ScAuthToken } from '../../types/auth.js'
import { checkAudience } from '../auth/audience.js'
import { signToken, verifyToken } from '../auth/call-engine.js'
import { isTicket, readTicket, ticketClaims, ticketLifetime } from '../auth/ticket.js'
import { toAuthError } from '../auth/token-errors.js'
import { scError } from '../errors.js'
import { withDeadline } from '../lifecycle/run.js'
import type { ServerCore } from '../server/core.js'
import { bearerToken, requestUser } from './request-user.js'

/** A ticket, as its client gets it. */
export interface StreamTicket {
  readonly ticket: string
  /** Milliseconds for which it is valid. */
  readonly expiresIn: number
}

/**
 * Tickets for streams: an EventSource sends no headers, and a token in a URL would be in logs. A ticket is signed like a token, is
 * valid for 30 seconds, and opens one stream, at whichever node.
 */
export class StreamTickets {
  readonly #core: ServerCore

  constructor (core: ServerCore) {
    this.#core = core
  }

  /**
   * @param claims those of the user
   * @throws IdempotencyError when the broker is shared but cannot tell which tickets were used
   */
  async issue (claims: ScAuthToken | null): Promise<StreamTicket> {
    const { tokens, options, link: { broker } } = this.#core
    if (claims === null) throw scError('SC_ERR_SSE_TICKET_USER')
    if (broker.store === undefined) throw scError('SC_ERR_NO_STORE', [broker.name])
    const ticket = await signToken(tokens.engine, ticketClaims(claims, Date.now()), tokens.signatureKey, { async: options.authSignAsync, algorithm: options.authAlgorithm })
    return { ticket, expiresIn: ticketLifetime * 1_000 }
  }

  /** Returns the claims of the user of a request; `null` for a guest. The `authenticate` hooks are asked when the ticket is used. */
  async identify (request: FastifyRequest): Promise<ScAuthToken | null> {
    const { tokens, options: { authAudience } } = this.#core
    const token = bearerToken(request)
    let claims = requestUser(this.#core, request)
    if (claims === null && token !== undefined) {
      claims = await this.#verify(token)
      if (isTicket(claims)) throw scError('SC_ERR_SSE_TICKET')
      if (typeof authAudience === 'string') asAuthError(() => checkAudience(claims!.aud, authAudience))
    }
    if (claims !== null && tokens.isRevoked(claims)) throw scError('SC_ERR_TOKEN_REVOKED')
    return claims
  }

  /** Uses a ticket up. @returns the claims of its user @throws AuthTokenInvalidError for one that was used, or that is none */
  async redeem (ticket: string): Promise<ScAuthToken> {
    const read = readTicket(await this.#verify(ticket))
    if (read === null) throw scError('SC_ERR_SSE_TICKET')
    let isFirst = false
    await this.#core.control.runOnce(`stream ticket ${read.id}`, () => { isFirst = true }, { ttl: ticketLifetime * 2_000 })
    if (!isFirst) throw scError('SC_ERR_SSE_TICKET')
    return read.claims
  }

  async #verify (token: string): Promise<ScAuthToken> {
    const { tokens, options, deadlines: { hooks } } = this.#core
    try {
      const verified = verifyToken(tokens.engine, token, tokens.verificationKey, { async: options.authVerifyAsync, algorithms: tokens.verifyAlgorithms })
      return await withDeadline(Promise.resolve(verified), hooks, () => scError('SC_ERR_HOOK_TIMEOUT', ['verifyToken', hooks.duration]))
    } catch (err) {
      throw toAuthError(err).authError
    }
  }
}

function asAuthError (check: () => void): void {
  try {
    check()
  } catch (err) {
    throw toAuthError(err).authError
  }
}
