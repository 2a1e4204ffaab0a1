import { scError, shown } from '../../errors.js'
import { isTable } from '../../untrusted.js'

/**
 * How NATS keeps histories. Experimental.
 *
 * All channels of a `brokerPrefix` share one stream, `<brokerPrefix>-history`. The broker creates it, and changes it to these
 * options when it connects.
 */
export interface NatsHistoryOptions {
  /**
   * `'memory'`: histories end when the NATS server ends. `'file'`: they are written to its disk. It cannot be changed while the
   * stream exists. @default 'memory'
   */
  storage?: 'memory' | 'file'
  /** The number of servers of a NATS cluster that keep each message, 1 to 5. @default 1 */
  replicas?: number
  /**
   * The maximum size of all messages of all channels in bytes, at least 1,048,576. Over it the oldest ones are dropped. The server
   * must have that much memory or disk for JetStream. @default 268435456
   */
  maxBytes?: number
}

export type ResolvedHistoryOptions = Required<NatsHistoryOptions>

/** The defaults of the options. */
export const natsHistoryDefaults: ResolvedHistoryOptions = { storage: 'memory', replicas: 1, maxBytes: 256 * 1024 * 1024 }

/** Checks the option `history`. Returns `null` when no histories are kept. @throws InvalidOptionsError for an invalid value */
export function resolveHistoryOptions (history: boolean | NatsHistoryOptions | undefined): ResolvedHistoryOptions | null {
  if (history === undefined || history === false) return null
  if (history === true) return natsHistoryDefaults
  if (!isTable(history)) fail(`history to be a boolean or an object, got ${shown(history)}`)
  for (const [name, value] of Object.entries(history)) {
    if (!Object.hasOwn(natsHistoryDefaults, name)) throw scError('SC_ERR_OPTIONS', [`natsBroker has no option "history.${name}"; expected one of ${Object.keys(natsHistoryDefaults).join(', ')}`])
    if (value === undefined) continue
    if (name === 'storage') {
      if (value !== 'memory' && value !== 'file') fail(`history.storage to be 'memory' or 'file', got ${shown(value)}`)
    } else {
      const [least, most] = name === 'replicas' ? [1, 5] : [1024 * 1024, Number.MAX_SAFE_INTEGER]
      if (!Number.isSafeInteger(value) || value < least || value > most) fail(`history.${name} to be a whole number from ${least} to ${most}, got ${shown(value)}`)
    }
  }
  const { storage, replicas, maxBytes } = natsHistoryDefaults
  return { storage: history.storage ?? storage, replicas: history.replicas ?? replicas, maxBytes: history.maxBytes ?? maxBytes }
}

function fail (expected: string): never {
  throw scError('SC_ERR_OPTIONS', [`natsBroker expects the option ${expected}`])
}
