import type { ScAuthToken } from '../../types/auth.js'
import type { RevokeFilter } from '../../types/server.js'

/** A recorded revocation: of a user's tokens issued up to a time, of one token, or of one token if it belongs to the user. */
export interface Revocation {
  readonly user?: string
  readonly jti?: string
  /** Milliseconds since the epoch. Tokens of the user that were issued later are valid. */
  readonly at: number
}

interface Entry extends Revocation {
  /** Latest time of issue of a revoked token, by this node's clock. The entry expires `#keep` milliseconds later. */
  readonly since: number
  /** When this process learned of the revocation, by `performance.now()`; nodes that ask for missed ones get it by this time. */
  readonly learned: number
  readonly order: number
}

/** Maximum number of recorded revocations. Beyond it the oldest are dropped. */
export const maxRevocations = 100_000

/** How far a revocation may lie in the future, in milliseconds: clocks of other nodes may be ahead, but only this much. */
const maxLead = 3_600_000

/** Returns a claim as text; `sub` may be a number. `undefined` for any other type. */
export function claimText (claim: unknown): string | undefined {
  if (typeof claim === 'string') return claim
  return typeof claim === 'number' || typeof claim === 'bigint' ? String(claim) : undefined
}

/**
 * Tokens that are refused although their signature is valid. A revocation is kept as long as such a token could live, so that a
 * client cannot come back with a stored token.
 */
export class Revocations {
  /** How long an entry is kept, in milliseconds. */
  #keep: number
  readonly #tolerance: number
  /** Entries in the order in which they were recorded. */
  readonly #entries = new Map<string, Entry>()
  readonly #full: () => void
  #forgetting = false
  #order = 0

  /**
   * @param longestLife lifetime in seconds of the longest known token; see `outlive`
   * @param tolerance seconds by which the clock of a token's issuer may be ahead
   * @param full called when a revocation in force is dropped for lack of room; called again only after there was room
   */
  constructor (longestLife: number, tolerance: number, full: () => void = () => {}) {
    this.#keep = longestLife * 1000
    this.#tolerance = tolerance * 1000
    this.#full = full
  }

  get size (): number { return this.#entries.size }

  /** Lifetime in seconds of the longest known token, limited to a number that JSON can hold. */
  get longestLife (): number { return Math.min(this.#keep / 1000, Number.MAX_SAFE_INTEGER) }

  /** Keeps revocations for at least the lifetime of a token, in seconds. */
  outlive (life: number): void {
    if (life * 1000 > this.#keep) this.#keep = life * 1000
  }

  /** Records a revocation of tokens issued until now. Returns `null` for a filter with `socketId`, which means a connection. */
  add ({ jti, user, socketId }: RevokeFilter, now = Date.now()): Revocation | null {
    if (socketId !== undefined) return null
    const revocation = { user: claimText(user), jti: claimText(jti), at: now }
    // After an earlier revocation new tokens get an `iat` later than it, which may be ahead of now: they are revoked too.
    const before = this.#entries.get(keyOf(revocation))
    const entry = before === undefined ? revocation : { ...revocation, at: Math.max(now, before.at + 1_000) }
    this.merge(entry, now)
    return entry
  }

  /** Records a revocation of another node. @returns whether it was new */
  merge ({ user, jti, at }: Revocation, now = Date.now()): boolean {
    this.#forget(now)
    at = Math.min(at, now + maxLead)
    const key = keyOf({ user, jti })
    const before = this.#entries.get(key)
    const since = Math.min(at, now)
    if ((before !== undefined && before.at >= at) || since + this.#keep <= now) return false
    this.#entries.delete(key)
    this.#entries.set(key, { user, jti, at, since, learned: performance.now(), order: ++this.#order })
    this.#limit()
    return true
  }

  has (token: ScAuthToken): boolean {
    if (this.#entries.size === 0) return false
    const user = claimText(token.sub)
    const jti = claimText(token.jti)
    if (jti !== undefined) {
      if (this.#entries.has(keyOf({ jti }))) return true
      if (user !== undefined && this.#entries.has(keyOf({ user, jti }))) return true
    }
    if (user === undefined) return false
    const entry = this.#entries.get(keyOf({ user }))
    // `iat` is in whole seconds: a token of the same second may be older than the revocation.
    return entry !== undefined && (typeof token.iat !== 'number' || token.iat * 1000 <= entry.at + this.#tolerance)
  }

  /** First second in which a new token of a revoked user is valid. `undefined` when the user is not revoked. */
  issuableFrom (sub: unknown): number | undefined {
    const user = this.#entries.size === 0 ? undefined : claimText(sub)
    const entry = user === undefined ? undefined : this.#entries.get(keyOf({ user }))
    return entry === undefined ? undefined : Math.floor((entry.at + this.#tolerance) / 1000) + 1
  }

  /**
   * Returns the revocations in force, in pieces.
   * @param after the `next` of the previous piece; 0 for the first
   * @param within only revocations learned in the last `within` milliseconds
   */
  piece (after: number, count: number, within = Infinity): { entries: Revocation[], next: number | null } {
    const now = Date.now()
    const from = performance.now() - within
    const entries: Revocation[] = []
    for (const { user, jti, at, since, learned, order } of this.#entries.values()) {
      if (order <= after || since + this.#keep <= now || learned < from) continue
      if (entries.length === count) return { entries, next: after }
      entries.push({ user, jti, at })
      after = order
    }
    return { entries, next: null }
  }

  #limit (): void {
    if (this.#entries.size <= maxRevocations) {
      this.#forgetting = false
      return
    }
    this.#entries.delete(this.#entries.keys().next().value!)
    if (this.#forgetting) return
    this.#forgetting = true
    this.#full()
  }

  #forget (now: number): void {
    for (const [key, { since }] of this.#entries) {
      if (since + this.#keep > now) break
      this.#entries.delete(key)
    }
  }
}

/** Lifetime of a signed token in seconds; counted from now when the token has no `iat`. */
export function lifeOf ({ iat, exp }: ScAuthToken): number {
  if (typeof exp !== 'number') return Infinity
  return exp - (typeof iat === 'number' ? iat : Math.floor(Date.now() / 1000))
}

function keyOf ({ user, jti }: { user?: string, jti?: string }): string {
  return JSON.stringify([user ?? null, jti ?? null])
}
