import { scError, type ScError } from '../errors.js'
import { TokenBucket } from '../socket/token-bucket.js'
import { addressKey, isPrivate } from './address-key.js'
import { RateKeys } from './rate-keys.js'

/** The options that limit the number and the rate of connections. */
export interface AdmissionLimits {
  readonly maxConnections: number
  readonly maxConnectionsPerIp: number
  readonly maxPendingHandshakes: number
  readonly connectionRate: number
  readonly connectionBurst: number
}

/** An address may hold this many times the connections still free: one address alone 8 of 9, two addresses 8 of 17 each. */
const shareFactor = 8

/** While connections arrive faster than `connectionRate`, an address still gets 1/50 of the rate and 1/20 of the burst. */
const rateShare = 50
const burstShare = 20

/**
 * Decides which connections are admitted. It is asked before the upgrade, so that a refusal is a plain HTTP response.
 *
 * An address may use all connections that no other address asks for. When few are left, the addresses with the most connections
 * are refused first. Private addresses may use all of them: they belong to proxies, whose clients share one address.
 */
export class Admission {
  readonly #limits: AdmissionLimits
  /** Connections of each address. `#pending` has those that have not finished the handshake. */
  readonly #connections = new Map<string, number>()
  readonly #pending = new Map<string, number>()
  #total = 0
  #pendingTotal = 0
  readonly #rate: TokenBucket | null
  readonly #shares: RateKeys
  /** The address asked about last and its key: each connection asks several times. */
  #ip: string | undefined = undefined
  #key: string | undefined = undefined

  constructor (limits: AdmissionLimits) {
    this.#limits = limits
    const { connectionRate, connectionBurst } = limits
    this.#rate = connectionRate === 0 ? null : new TokenBucket(connectionRate, connectionBurst, performance.now())
    this.#shares = new RateKeys(connectionRate / rateShare, Math.max(1, connectionBurst / burstShare))
  }

  /** Returns why a new connection is refused, or `undefined` to admit it. Counts towards the rate. */
  ask (ip: string | undefined): ScError | undefined {
    return this.refusal(ip) ?? this.#tooFast(ip)
  }

  /** Returns why there is no room for a connection, or `undefined` when there is room. */
  refusal (ip: string | undefined): ScError | undefined {
    const { maxConnections, maxConnectionsPerIp, maxPendingHandshakes } = this.#limits
    if (maxConnections !== 0 && this.#total >= maxConnections) return scError('SC_ERR_CONNECTIONS', [maxConnections, 'maxConnections'])
    const key = this.#keyOf(ip)
    if (maxPendingHandshakes !== 0 && this.#pendingTotal >= maxPendingHandshakes && this.#crowder(key) === undefined) {
      return scError('SC_ERR_CONNECTIONS', [maxPendingHandshakes, 'maxPendingHandshakes'])
    }
    if (key === undefined) return
    const has = this.#connections.get(key) ?? 0
    if (maxConnectionsPerIp !== 0 && has >= maxConnectionsPerIp) return scError('SC_ERR_CONNECTIONS', [maxConnectionsPerIp, 'maxConnectionsPerIp'])
    if (maxConnections !== 0 && has >= (maxConnections - this.#total) * shareFactor && !isPrivate(key)) return scError('SC_ERR_CONNECTION_SHARE', [has, maxConnections])
  }

  #tooFast (ip: string | undefined): ScError | undefined {
    const now = performance.now()
    if (this.#rate === null || this.#rate.take(now) === 0) return
    const key = this.#keyOf(ip)
    if (key === undefined || isPrivate(key)) return
    const retryAfter = this.#shares.take(key, now)
    if (retryAfter !== 0) return scError('SC_ERR_CONNECTION_RATE', [this.#limits.connectionRate], { retryAfter })
  }

  /**
   * Returns a function that tells whether a pending connection of an address must give its place to a new connection. Returns
   * `undefined` while there is room.
   */
  crowded (ip: string | undefined): ((ip: string | undefined) => boolean) | undefined {
    const { maxPendingHandshakes } = this.#limits
    if (maxPendingHandshakes === 0 || this.#pendingTotal < maxPendingHandshakes) return
    const crowder = this.#crowder(this.#keyOf(ip))
    return (other) => crowder !== undefined && this.#keyOf(other) === crowder
  }

  /** The address with the most pending handshakes, if it has more than the new connection's address would have. */
  #crowder (key: string | undefined): string | undefined {
    let most = (key === undefined ? 0 : this.#pending.get(key) ?? 0) + 1
    let crowder: string | undefined
    for (const [other, count] of this.#pending) {
      if (count <= most) continue
      most = count
      crowder = other
    }
    return crowder
  }

  #keyOf (ip: string | undefined): string | undefined {
    if (ip !== this.#ip) {
      this.#ip = ip
      this.#key = ip === undefined ? undefined : addressKey(ip)
    }
    return this.#key
  }

  /** Number of entries kept for addresses. */
  get size (): number {
    return this.#connections.size + this.#pending.size + this.#shares.size
  }

  connected (ip: string | undefined): void {
    this.#total++
    this.#pendingTotal++
    const key = this.#keyOf(ip)
    add(this.#connections, key, 1)
    add(this.#pending, key, 1)
  }

  shookHands (ip: string | undefined): void {
    this.#pendingTotal--
    add(this.#pending, this.#keyOf(ip), -1)
  }

  /** @param pending whether the connection had not finished the handshake */
  gone (ip: string | undefined, pending: boolean): void {
    if (pending) this.shookHands(ip)
    this.#total--
    add(this.#connections, this.#keyOf(ip), -1)
  }
}

function add (counts: Map<string, number>, key: string | undefined, count: number): void {
  if (key === undefined) return
  const sum = (counts.get(key) ?? 0) + count
  if (sum > 0) counts.set(key, sum)
  else counts.delete(key)
}
