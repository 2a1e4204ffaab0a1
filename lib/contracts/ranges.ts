import { scError, shown } from '../errors.js'

/** The least and the greatest value of a number in a contract. */
export type Range = readonly [least: number, most: number]

/** Checks the whole numbers of a part of a channel's contract. @throws InvalidArgumentsError */
export function checkRanges (pattern: string, field: string, values: object, ranges: Readonly<Record<string, Range>>): void {
  for (const [name, value] of Object.entries(values)) {
    const range = Object.hasOwn(ranges, name) ? ranges[name] : undefined
    if (range === undefined) throw scError('SC_ERR_CONTRACT', [pattern, `unknown property "${name}" of ${field}; expected some of ${Object.keys(ranges).join(', ')}`])
    const [least, most] = range
    if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most)) continue
    const numbers = most === Number.MAX_SAFE_INTEGER ? `of ${least} or more` : `from ${least} to ${most}`
    throw scError('SC_ERR_CONTRACT', [pattern, `expected ${name} of ${field} to be a whole number ${numbers}, got ${shown(value)}`])
  }
}
