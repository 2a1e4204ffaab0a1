import type { ScAuthToken } from '../../types/auth.js'
import type { RevokeFilter } from '../../types/server.js'

/** A revocation that is remembered: of a user's tokens up to a time, of one token, or of one token if it is that user's. */
export interface Revocation {
  readonly user?: string
  readonly jti?: string
  /** Milliseconds since the epoch: what was issued later counts again. */
  readonly at: number
}

interface Entry extends Revocation {
  /** Tokens that it means were issued before that, by this clock. */
  readonly since: number
  /** When this process learned of it, for those that ask what they missed. */
  readonly learned: number
  readonly order: number
}

/** Revocations that are remembered; over it those are forgotten that came first. */
export const maxRevocations = 100_000

/** How far a revocation may lie in the future: other clocks may be ahead, but not by any amount. */
const maxLead = 3_600_000

/** A claim as text: `sub` may be a number. */
export function claimText (claim: unknown): string | undefined {
  if (typeof claim === 'string') return claim
  return typeof claim === 'number' || typeof claim === 'bigint' ? String(claim) : undefined
}

/**
 * Tokens that do not count any more although their signature holds. They are remembered as long as such a token could live,
 * so that a client cannot come back with the one it stored.
 */
export class Revocations {
  /** Milliseconds that an entry is kept. */
  #keep: number
  readonly #tolerance: number
  /** The oldest first. */
  readonly #entries = new Map<string, Entry>()
  readonly #full: () => void
  #forgetting = false
  #order = 0

  /**
   * @param longestLife seconds that a token may live, as far as is known; see `outlive`
   * @param tolerance seconds by which the clock of whoever issued a token may be ahead
   * @param full told when the first revocation is forgotten that is still in force, again when there was room meanwhile
   */
  constructor (longestLife: number, tolerance: number, full: () => void = () => {}) {
    this.#keep = longestLife * 1000
    this.#tolerance = tolerance * 1000
    this.#full = full
  }

  get size (): number { return this.#entries.size }

  /** Seconds that a token may live; what JSON has a number for. */
  get longestLife (): number { return Math.min(this.#keep / 1000, Number.MAX_SAFE_INTEGER) }

  /** There are tokens that live so many seconds: revocations are kept longer than that. */
  outlive (life: number): void {
    if (life * 1000 > this.#keep) this.#keep = life * 1000
  }

  /** Remembers what a filter revokes from now on; `null` for one that means a connection, which ends with it. */
  add ({ jti, user, socketId }: RevokeFilter, now = Date.now()): Revocation | null {
    if (socketId !== undefined) return null
    const revocation = { user: claimText(user), jti: claimText(jti), at: now }
    // Tokens that were issued because of an earlier one have a time of issue after that: they are meant too.
    const before = this.#entries.get(keyOf(revocation))
    const entry = before === undefined ? revocation : { ...revocation, at: Math.max(now, before.at + 1_000) }
    this.merge(entry, now)
    return entry
  }

  /** Remembers what another node revoked. @returns whether it was news */
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
    // Issued in whole seconds: one of the same second may be older than the revocation.
    return entry !== undefined && (typeof token.iat !== 'number' || token.iat * 1000 <= entry.at + this.#tolerance)
  }

  /** The first second in which a token of a user may be issued that is to count, if there is any to wait for. */
  issuableFrom (sub: unknown): number | undefined {
    const user = this.#entries.size === 0 ? undefined : claimText(sub)
    const entry = user === undefined ? undefined : this.#entries.get(keyOf({ user }))
    return entry === undefined ? undefined : Math.floor((entry.at + this.#tolerance) / 1000) + 1
  }

  /**
   * What is in force, in pieces.
   * @param after the `next` of the piece before, 0 to begin
   * @param within milliseconds: only what was learned so recently
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

/** Seconds that a signed token lives; as of now if it does not say when it was issued. */
export function lifeOf ({ iat, exp }: ScAuthToken): number {
  if (typeof exp !== 'number') return Infinity
  return exp - (typeof iat === 'number' ? iat : Math.floor(Date.now() / 1000))
}

function keyOf ({ user, jti }: { user?: string, jti?: string }): string {
  return JSON.stringify([user ?? null, jti ?? null])
}
