import { types } from 'node:util'
import type { BrokerHistoryEntry, BrokerPosition } from '../../types/broker.js'
import { parsePosition } from './position.js'

/** What a subscriber may have of the history of a channel: the messages from a time on (in milliseconds), or those after a position. */
export type HistoryFrom = { readonly time: number } | BrokerPosition

/** The same with `'none'` for nothing, where the application set `recover` to false, and null for everything. */
export type HistoryRights = HistoryFrom | 'none' | null

/** Reads the value that an application assigned to `historyFrom`; `null` for an invalid one. */
export function parseHistoryFrom (value: unknown): HistoryFrom | null {
  if (typeof value === 'string') return parsePosition(value)
  if (!types.isDate(value)) return null
  const time = value.getTime()
  return Number.isNaN(time) ? null : { time }
}

/** Returns the index of the first of consecutive messages that a subscriber may have, and with it all that follow. */
export function firstAllowed (entries: readonly BrokerHistoryEntry[], from: HistoryFrom): number {
  return entries.findLastIndex((entry) => !isAllowed(entry, from)) + 1
}

/** Returns the last ones of consecutive messages, which a subscriber may have. */
export function allowedOf (entries: readonly BrokerHistoryEntry[], rights: HistoryRights = null): readonly BrokerHistoryEntry[] {
  if (rights === null) return entries
  const first = rights === 'none' ? entries.length : firstAllowed(entries, rights)
  return first === 0 ? entries : entries.slice(first)
}

function isAllowed ({ position: { epoch, offset }, time }: BrokerHistoryEntry, from: HistoryFrom): boolean {
  if ('time' in from) return time >= from.time
  // It cannot be told which messages follow a position of another epoch, except the one before the first message.
  return epoch === from.epoch ? offset > from.offset : from.offset === 0
}
