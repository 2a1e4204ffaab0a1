import type { ResolvedChannel } from '../../types/routes.js'
import { scError, typeName } from '../errors.js'

/* Checks of the options that clients send with `#subscribe`. `undefined` and `null` are the default. */

function badOption (name: string, value: unknown, isGood: boolean, expected: string, got: unknown = typeName(value)): Error | undefined {
  if (value === undefined || value === null || isGood) return
  return scError('SC_ERR_SUBSCRIBE_OPTION', [name, expected, got])
}

/** Options are stored with the subscription, so only a boolean is allowed: a larger value would take memory. */
export function notBoolean (name: string, value: unknown): Error | undefined {
  return badOption(name, value, typeof value === 'boolean', 'a boolean')
}

export function notText (name: string, value: unknown): Error | undefined {
  return badOption(name, value, typeof value === 'string', 'a string')
}

/** The highest `rewind` on a channel without `recover`, where it has no effect. */
const maxRewind = 1_000

/** The number of last messages that a client wants must not exceed `limit` of the channel's `recover`. */
export function badRewind (value: unknown, { route: { recover } }: ResolvedChannel): Error | undefined {
  const most = recover?.limit ?? maxRewind
  const isGood = Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most
  return badOption('rewind', value, isGood, `an integer from 0 to ${most}`, typeof value === 'number' ? value : undefined)
}
