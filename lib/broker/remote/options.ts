import { scError, typeName } from '../../errors.js'

/** Options that every broker with an engine of its own has. Times are milliseconds. */
export interface RemoteBrokerOptions {
  /**
   * Whether the engine must be there at the start. `'required'`: the server does not start without it. `'retry'`: the
   * server starts; publishes and subscribes fail with a `BrokerError` until the engine is there. @default 'required'
   */
  connect?: 'required' | 'retry'
  /** How long one attempt to connect may take. @default 5000 */
  connectTimeout?: number
  /** How long the engine may take to answer; then the connection counts as lost. @default 2000 */
  timeout?: number
  /**
   * Time between probes, which are published to a topic of this node's own. A probe that did not come back when the next
   * is due makes a new connection: this finds connections that are dead without having been closed. @default 10000
   */
  probeInterval?: number
  /** Wait before the first new attempt to connect; doubled for each further one, with jitter. @default 50 */
  retryDelay?: number
  /** Longest wait between attempts to connect. @default 2000 */
  maxRetryDelay?: number
}

export type ResolvedRemoteOptions = Required<RemoteBrokerOptions>

export const remoteDefaults: ResolvedRemoteOptions = {
  connect: 'required',
  connectTimeout: 5000,
  timeout: 2000,
  probeInterval: 10_000,
  retryDelay: 50,
  maxRetryDelay: 2000
}

/** Checks the options that brokers share and fills in the defaults; `own` names the options of the broker itself. */
export function resolveRemoteOptions (broker: string, options: RemoteBrokerOptions, own: readonly string[]): ResolvedRemoteOptions {
  if (typeof options !== 'object' || options === null) {
    throw scError('SC_ERR_OPTIONS', [`${broker} expects its options to be an object, got ${typeName(options)}`])
  }
  const resolved: ResolvedRemoteOptions = { ...remoteDefaults }
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || own.includes(name)) continue
    if (!Object.hasOwn(remoteDefaults, name)) {
      throw scError('SC_ERR_OPTIONS', [`${broker} has no option "${name}"; expected one of ${[...own, ...Object.keys(remoteDefaults)].join(', ')}`])
    }
    if (name === 'connect') {
      if (value !== 'required' && value !== 'retry') throw scError('SC_ERR_OPTIONS', [`${broker} expects the option connect to be 'required' or 'retry', got ${typeName(value)} ${String(value)}`])
      resolved.connect = value
    } else {
      if (!Number.isSafeInteger(value) || (value as number) < 1) throw scError('SC_ERR_OPTIONS', [`${broker} expects the option ${name} to be a whole number of milliseconds above 0, got ${String(value)}`])
      resolved[name as Exclude<keyof ResolvedRemoteOptions, 'connect'>] = value as number
    }
  }
  return resolved
}
