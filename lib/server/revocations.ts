import type { ScAuthToken } from '../../types/auth.js'
import type { RevokeFilter } from '../../types/server.js'

/**
 * Tokens that do not count any more although their signature holds. They are remembered as long as such a token could live,
 * so that a client cannot come back with the one it stored.
 */
export class Revocations {
  /** Milliseconds that an entry is kept. */
  readonly #keep: number
  /** By token id, with the time at which the entry may be forgotten; oldest first. */
  readonly #ids = new Map<string, number>()
  /** By user: tokens issued up to `at` do not count. */
  readonly #users = new Map<string, { at: number, until: number }>()

  /** @param longestLife seconds that a token may live */
  constructor (longestLife: number) {
    this.#keep = longestLife * 1000
  }

  add ({ jti, user }: RevokeFilter, now = Date.now()): void {
    this.#forget(now)
    const until = now + this.#keep
    if (jti !== undefined) {
      this.#ids.delete(jti)
      this.#ids.set(jti, until)
    }
    if (user !== undefined) {
      this.#users.delete(user)
      this.#users.set(user, { at: now, until })
    }
  }

  has (token: ScAuthToken): boolean {
    if (this.#ids.size !== 0 && token.jti !== undefined && this.#ids.has(token.jti)) return true
    if (this.#users.size === 0 || token.sub === undefined) return false
    const user = this.#users.get(token.sub)
    // Issued in whole seconds: one of the same second may be older than the revocation.
    return user !== undefined && (typeof token.iat !== 'number' || token.iat * 1000 <= user.at)
  }

  #forget (now: number): void {
    for (const [id, until] of this.#ids) {
      if (until > now) break
      this.#ids.delete(id)
    }
    for (const [user, entry] of this.#users) {
      if (entry.until > now) break
      this.#users.delete(user)
    }
  }
}

/** Whether a socket is one that a filter means. Every field given must fit. */
export function matches (filter: RevokeFilter, socketId: string, token: ScAuthToken | null): boolean {
  const { user, jti, socketId: id } = filter
  return (id === undefined || id === socketId) && (user === undefined || token?.sub === user) && (jti === undefined || token?.jti === jti)
}
