import type { ScAuthToken } from '../../types/auth.js'
import type { ResolvedOptions } from '../../types/options.js'
import { claimText } from '../cluster/revocations.js'
import { atOnce } from '../promises.js'
import type { Actor } from '../handlers/context.js'
import { addressKey } from './address-key.js'
import type { Monitor } from './monitor.js'
import { RateKeys } from './rate-keys.js'

/** Who sends: a session, or a request over HTTP. */
interface Sender extends Actor {
  readonly remoteAddress: string | undefined
  readonly authToken: ScAuthToken | null
}

/** A rate shared by sockets with the same key: their address, their user, or a key chosen by the application. */
export class SharedRates {
  readonly #key: ResolvedOptions['inboundRateKey']
  readonly #keys: RateKeys
  readonly #monitor: Monitor

  constructor ({ inboundRateKey, inboundKeyRate, inboundKeyBurst }: ResolvedOptions, monitor: Monitor) {
    this.#key = inboundRateKey
    this.#keys = new RateKeys(inboundKeyRate, inboundKeyBurst)
    this.#monitor = monitor
  }

  /** Counts a message of a socket. @returns 0, or the milliseconds until the sockets with its key may send again */
  take (sender: Sender, now: number): number {
    if (this.#key === null) return 0
    const key = this.#keyOf(sender)
    return typeof key === 'string' ? this.#keys.take(key, now) : 0
  }

  #keyOf (sender: Sender): unknown {
    const key = this.#key
    if (key === 'ip') return sender.remoteAddress === undefined ? undefined : addressKey(sender.remoteAddress)
    if (key === 'user') return claimText(sender.authToken?.sub)
    try {
      return key === null ? undefined : atOnce('inboundRateKey', key(sender.socket))
    } catch (err) {
      this.#monitor.warn(err, sender.log)
    }
  }
}
