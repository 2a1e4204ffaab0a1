import { scError, type ScError } from '../errors.js'

export interface AdmissionLimits {
  readonly maxConnections: number
  readonly maxConnectionsPerIp: number
  readonly maxPendingHandshakes: number
}

/** Who may still connect. Asked before the upgrade, so that a refusal is an ordinary HTTP answer. */
export class Admission {
  readonly #limits: AdmissionLimits
  readonly #perIp = new Map<string, number>()

  constructor (limits: AdmissionLimits) {
    this.#limits = limits
  }

  /** Why a connection is refused, if it is. */
  refusal (connections: number, pending: number, ip: string | undefined): ScError | undefined {
    const { maxConnections, maxConnectionsPerIp, maxPendingHandshakes } = this.#limits
    if (maxConnections !== 0 && connections >= maxConnections) return scError('SC_ERR_CONNECTIONS', [maxConnections, 'maxConnections'])
    if (maxPendingHandshakes !== 0 && pending >= maxPendingHandshakes) return scError('SC_ERR_CONNECTIONS', [maxPendingHandshakes, 'maxPendingHandshakes'])
    if (maxConnectionsPerIp !== 0 && ip !== undefined && (this.#perIp.get(ip) ?? 0) >= maxConnectionsPerIp) {
      return scError('SC_ERR_CONNECTIONS', [maxConnectionsPerIp, 'maxConnectionsPerIp'])
    }
  }

  connected (ip: string | undefined): void {
    if (this.#limits.maxConnectionsPerIp === 0 || ip === undefined) return
    this.#perIp.set(ip, (this.#perIp.get(ip) ?? 0) + 1)
  }

  gone (ip: string | undefined): void {
    if (this.#limits.maxConnectionsPerIp === 0 || ip === undefined) return
    const left = (this.#perIp.get(ip) ?? 0) - 1
    if (left > 0) this.#perIp.set(ip, left)
    else this.#perIp.delete(ip)
  }
}
