import type { ResolvedChannel } from '../../types/routes.js'
import { scError, typeName } from '../errors.js'

/* Checks of the options that clients send with `#subscribe`. `undefined` and `null` are the default. */

/** Options are stored with the subscription, so only a boolean is allowed: a larger value would take memory. */
export function notBoolean (name: string, value: unknown): Error | undefined {
  if (value === undefined || value === null || typeof value === 'boolean') return
  return scError('SC_ERR_SUBSCRIBE_OPTION', [name, 'a boolean', typeName(value)])
}

export function notText (name: string, value: unknown): Error | undefined {
  if (value === undefined || value === null || typeof value === 'string') return
  return scError('SC_ERR_SUBSCRIBE_OPTION', [name, 'a string', typeName(value)])
}

/** The highest `rewind` on a channel without `recover`, where it has no effect. */
const maxRewind = 1_000

/** The number of last messages that a client wants must not exceed `limit` of the channel's `recover`. */
export function badRewind (value: unknown, { route: { recover } }: ResolvedChannel): Error | undefined {
  if (value === undefined || value === null) return
  const most = recover?.limit ?? maxRewind
  if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most) return
  return scError('SC_ERR_SUBSCRIBE_OPTION', ['rewind', `an integer from 0 to ${most}`, typeof value === 'number' ? value : typeName(value)])
}
