import { scError, shown } from '../errors.js'
import type { StreamOptions } from './stream-route.js'

/** The options of streams that an application sets. */
export type GivenStreamOptions = Partial<StreamOptions>

/** The defaults of the options of streams. */
export const streamDefaults = { maxStreams: 1_000, maxStreamsPerKey: 10, heartbeat: 20_000 } as const

const names = [...Object.keys(streamDefaults), 'key']
/** The least value of each number, and the longest time of a timer. */
const least = { maxStreams: 0, maxStreamsPerKey: 0, heartbeat: 1_000 } as const
const most = 2_147_483_647

/**
 * Checks the option `streams`, and fills in the defaults. Returns `null` without streams.
 * @throws InvalidOptionsError
 */
export function checkStreamOptions (given: unknown): StreamOptions | null {
  if (given === undefined || given === false) return null
  if (given === true) return streamDefaults
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw wrong('streams', 'true, false or an object', given)
  const options = given as Record<string, unknown>
  for (const name of Object.keys(options)) if (!names.includes(name)) throw scError('SC_ERR_OPTIONS', [`streams of fastify-socketcluster/http has no option "${name}"; expected some of ${names.join(', ')}`])
  for (const [name, minimum] of Object.entries(least)) {
    const value = options[name]
    if (value !== undefined && !(Number.isInteger(value) && value as number >= minimum && value as number <= most)) throw wrong(`streams.${name}`, `a whole number from ${minimum} to ${most}`, value)
  }
  if (options.key !== undefined && typeof options.key !== 'function') throw wrong('streams.key', 'a function', options.key)
  return { ...streamDefaults, ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) } as StreamOptions
}

function wrong (name: string, expected: string, value: unknown): Error {
  return scError('SC_ERR_OPTIONS', [`Option ${name} of fastify-socketcluster/http: expected ${expected}, got ${shown(value)}`])
}
