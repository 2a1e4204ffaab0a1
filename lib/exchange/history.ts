import type { BrokerHistoryPage } from '../../types/broker.js'
import type { ScHistory, ScHistoryQuery } from '../../types/history.js'
import { positionText } from '../broker/position.js'
import { scError, typeName } from '../errors.js'

const defaultLimit = 100
const maxLimit = 10_000

/** Checks a query and sets its defaults. @throws InvalidArgumentsError for an invalid query */
export function checkQuery (query: ScHistoryQuery): Required<Omit<ScHistoryQuery, 'since'>> & Pick<ScHistoryQuery, 'since'> {
  if (typeof query !== 'object' || query === null) throw scError('SC_ERR_ARGUMENT', ['history', 'an object as query', typeName(query)])
  for (const name of Object.keys(query)) {
    if (name !== 'since' && name !== 'limit' && name !== 'reverse') throw scError('SC_ERR_ARGUMENT', ['history', 'the options since, limit and reverse', JSON.stringify(name)])
  }
  const { since, limit = defaultLimit, reverse = false } = query
  if (since !== undefined && typeof since !== 'string') throw scError('SC_ERR_ARGUMENT', ['history', 'since to be the text of a position', typeName(since)])
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > maxLimit) throw scError('SC_ERR_ARGUMENT', ['history', `a limit from 1 to ${maxLimit}`, typeof limit === 'number' ? limit : typeName(limit)])
  if (typeof reverse !== 'boolean') throw scError('SC_ERR_ARGUMENT', ['history', 'reverse to be a boolean', typeName(reverse)])
  return { since, limit, reverse }
}

/** Turns a page of the broker into the history that applications get. Each message is parsed anew. */
export function historyOf ({ top, entries, gap }: BrokerHistoryPage, { since, reverse }: ScHistoryQuery): ScHistory {
  const messages = entries.map(({ position, time, data }) => ({ position: positionText(position), time, data: data === '' ? undefined : JSON.parse(data) as unknown }))
  const last = entries.at(-1)
  const isCut = since !== undefined && gap === null && last !== undefined && last.position.offset !== top.offset
  return { messages: reverse === true ? messages.reverse() : messages, position: positionText(top), gap: isCut ? 'limit' : gap }
}
