import type { BrokerPosition } from '../../types/broker.js'
import type { SubscribeRequest } from '../../types/hooks.js'
import type { ScServerSocket } from '../../types/server.js'
import { type HistoryRights, parseHistoryFrom } from '../broker/history-from.js'
import { typeName } from '../errors.js'

/**
 * Returns what a client may have of the history of a channel, after hooks and the policy decided about its subscription.
 * @param before what it might have until now: it stays where they decided nothing
 * @throws an error for a value of `historyFrom` that is a mistake of the application
 */
export function rightsOf (request: SubscribeRequest<ScServerSocket>, before: HistoryRights): HistoryRights {
  const { recover, historyFrom } = request
  if (recover === false) return 'none'
  if (historyFrom === undefined) return recover === true ? null : before
  const from = parseHistoryFrom(historyFrom)
  if (from !== null) return from
  throw new TypeError(`The historyFrom of a subscription to "${request.channel}" must be a valid Date or the text of a position, got ${describe(historyFrom)}`)
}

/**
 * The same when a subscription is checked again. Where nothing may be had any more, it stays with what followed the subscription,
 * unless the subscription was suspended or had everything before: then with what follows this check.
 * @param last the position of the last message of the channel
 */
export function rightsAfterCheck (request: SubscribeRequest<ScServerSocket>, before: HistoryRights, wasSuspended: boolean, last: BrokerPosition | null): HistoryRights {
  const rights = rightsOf(request, before)
  if (rights !== 'none') return rights
  return before === null || wasSuspended ? last ?? 'none' : before
}

function describe (value: unknown): string {
  if (typeof value === 'string') return 'another text'
  return value instanceof Date ? 'an invalid Date' : typeName(value)
}
