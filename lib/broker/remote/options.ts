import { scError, shown } from '../../errors.js'
import { isTable } from '../../untrusted.js'

/** Options that all brokers between processes share. Times are in milliseconds. */
export interface RemoteBrokerOptions {
  /**
   * Whether the engine must be reachable at startup. `'required'`: the server does not start without it. `'retry'`: the server
   * starts, and publishes and subscribes fail with a `BrokerError` until the engine can be reached. @default 'required'
   */
  connect?: 'required' | 'retry'
  /** Time for one attempt to connect. @default 5000 */
  connectTimeout?: number
  /** Time for the engine to answer; after that the connection counts as lost. @default 2000 */
  timeout?: number
  /**
   * Time between probes, which this node publishes to a topic of its own. When a probe has not come back before the next one is
   * due, a new connection is made. This detects connections that are dead but were not closed. @default 10000
   */
  probeInterval?: number
  /** Pause before the first new attempt to connect. It doubles with each further attempt, with jitter. @default 50 */
  retryDelay?: number
  /** Longest pause between attempts to connect. @default 2000 */
  maxRetryDelay?: number
}

/** The options with all defaults filled in. */
export type ResolvedRemoteOptions = Required<RemoteBrokerOptions>

/** The defaults of the options. */
export const remoteDefaults: ResolvedRemoteOptions = {
  connect: 'required',
  connectTimeout: 5000,
  timeout: 2000,
  probeInterval: 10_000,
  retryDelay: 50,
  maxRetryDelay: 2000
}

/**
 * Checks the options that all brokers share and fills in the defaults.
 * @param own names of the broker's own options
 * @throws InvalidOptionsError for an unknown option or an invalid value
 */
export function resolveRemoteOptions (broker: string, options: RemoteBrokerOptions, own: readonly string[]): ResolvedRemoteOptions {
  if (!isTable(options)) {
    throw scError('SC_ERR_OPTIONS', [`${broker} expects its options to be an object, got ${shown(options)}`])
  }
  const resolved: ResolvedRemoteOptions = { ...remoteDefaults }
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || own.includes(name)) continue
    if (!Object.hasOwn(remoteDefaults, name)) {
      throw scError('SC_ERR_OPTIONS', [`${broker} has no option "${name}"; expected one of ${[...own, ...Object.keys(remoteDefaults)].join(', ')}`])
    }
    if (name === 'connect') {
      if (value !== 'required' && value !== 'retry') throw scError('SC_ERR_OPTIONS', [`${broker} expects the option connect to be 'required' or 'retry', got ${shown(value)}`])
      resolved.connect = value
    } else {
      if (!Number.isSafeInteger(value) || (value as number) < 1) throw scError('SC_ERR_OPTIONS', [`${broker} expects the option ${name} to be a whole number of milliseconds above 0, got ${shown(value)}`])
      resolved[name as Exclude<keyof ResolvedRemoteOptions, 'connect'>] = value as number
    }
  }
  return resolved
}
