import type { BrokerHistoryPage } from '../../types/broker.js'
import type { ScHistory, ScHistoryQuery } from '../../types/history.js'
import { positionText } from '../broker/position.js'
import { scError, typeName } from '../errors.js'

/** The numbers of messages that `exchange.history()` reads. */
const serverNumbers = { default: 100, most: 10_000 }

/** A checked query, of the server or of a client. */
export interface HistoryQuery {
  readonly since: string | undefined
  readonly limit: number
  readonly reverse: boolean
}

/**
 * Checks the options of a query and sets their defaults.
 * @param reader the function or event that reads
 * @param numbers of messages that it reads
 * @param form what `since` may be
 * @throws InvalidArgumentsError
 */
export function checkedQuery (query: { readonly [O in keyof HistoryQuery]?: unknown }, reader: string, numbers: { readonly default: number, readonly most: number }, form = 'the text of a position'): HistoryQuery {
  const { since, limit = numbers.default, reverse = false } = query
  const refuse = (expected: string, got: string | number): never => { throw scError('SC_ERR_ARGUMENT', [reader, expected, got]) }
  if (since !== undefined && typeof since !== 'string') return refuse(`since to be ${form}`, typeName(since))
  const isLimit = Number.isSafeInteger(limit) && limit as number >= 1 && limit as number <= numbers.most
  if (!isLimit) return refuse(`a limit from 1 to ${numbers.most}`, typeof limit === 'number' ? limit : typeName(limit))
  if (typeof reverse !== 'boolean') return refuse('reverse to be a boolean', typeName(reverse))
  return { since, limit: limit as number, reverse }
}

/** Checks the query of `exchange.history()` and sets its defaults. @throws InvalidArgumentsError for an invalid query */
export function checkQuery (query: ScHistoryQuery): HistoryQuery {
  if (typeof query !== 'object' || query === null) throw scError('SC_ERR_ARGUMENT', ['history', 'an object as query', typeName(query)])
  for (const name of Object.keys(query)) {
    if (name !== 'since' && name !== 'limit' && name !== 'reverse') throw scError('SC_ERR_ARGUMENT', ['history', 'the options since, limit and reverse', JSON.stringify(name)])
  }
  return checkedQuery(query, 'history', serverNumbers, "the text of a position, or 'oldest'")
}

/** Turns a page of the broker into the history that applications get. Each message is parsed anew. */
export function historyOf ({ top, entries, gap }: BrokerHistoryPage, { since, reverse }: HistoryQuery): ScHistory {
  const messages = entries.map(({ position, time, data }) => ({ position: positionText(position), time, data: data === '' ? undefined : JSON.parse(data) as unknown }))
  const last = entries.at(-1)
  const isCut = since !== undefined && gap === null && last !== undefined && last.position.offset !== top.offset
  return { messages: reverse ? messages.reverse() : messages, position: positionText(top), gap: isCut ? 'limit' : gap }
}
