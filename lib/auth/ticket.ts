import { randomUUID } from 'node:crypto'
import type { ScAuthToken } from '../../types/auth.js'
import { isPlainObject } from './claims.js'

/** The claim that makes a token a ticket. It has those claims of the user's token that the ticket replaces. */
const ticketClaim = 'sc:ticket'

/** Seconds for which a ticket is valid. */
export const ticketLifetime = 30

/** The claims of the user's token that a ticket replaces. */
const replaced = ['exp', 'jti', 'iat'] as const

/**
 * Returns the claims of a ticket for a user: the user's own, so that rules for audience and issuer hold for it too, with another id
 * and a short life.
 * @param now milliseconds since the epoch
 */
export function ticketClaims (claims: ScAuthToken, now: number): ScAuthToken {
  const kept = Object.fromEntries(replaced.filter((name) => claims[name] !== undefined).map((name) => [name, claims[name]]))
  const exp = Math.min(Math.floor(now / 1_000) + ticketLifetime, claims.exp ?? Infinity)
  return { ...claims, exp, jti: randomUUID(), [ticketClaim]: kept }
}

/** Whether the claims are those of a ticket, which is no token. */
export function isTicket (claims: ScAuthToken): boolean {
  return claims[ticketClaim] !== undefined
}

/** Returns the id of a ticket, and the claims of its user; `null` for a token that is no ticket. */
export function readTicket (claims: ScAuthToken): { id: string, claims: ScAuthToken } | null {
  const { [ticketClaim]: kept, jti, ...rest } = claims
  if (!isPlainObject(kept) || typeof jti !== 'string') return null
  const user: ScAuthToken = rest
  for (const name of replaced) delete user[name]
  return { id: jti, claims: Object.assign(user, kept) }
}
