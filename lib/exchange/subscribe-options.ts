import type { ScChannelState, ScSubscribeOptions } from '../../types/exchange.js'
import { scError, typeName } from '../errors.js'

function refuse (expected: string, got: string): never {
  throw scError('SC_ERR_ARGUMENT', ['subscribe', expected, got])
}

/** Checks the options of `exchange.subscribe`. @returns `since` @throws InvalidArgumentsError */
export function checkSubscribeOptions (options: ScSubscribeOptions, state: ScChannelState): string | undefined {
  if (typeof options !== 'object' || options === null) refuse('an object of options', typeName(options))
  for (const name of Object.keys(options)) if (name !== 'since') refuse('the option since', `"${name}"`)
  const { since } = options
  if (since !== undefined && typeof since !== 'string') refuse("since to be the text of a position, 'oldest', or undefined", typeName(since))
  // The messages after `since` cannot come before those that were delivered.
  if (state !== 'unsubscribed') refuse('a channel that the exchange is not subscribed to, with since', `one that is ${state}`)
  return since
}
