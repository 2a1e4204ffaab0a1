const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

const units: Array<[names: RegExp, milliseconds: number]> = [
  [/^(?:milliseconds?|msecs?|ms)?$/, 1],
  [/^(?:seconds?|secs?|s)$/, second],
  [/^(?:minutes?|mins?|m)$/, minute],
  [/^(?:hours?|hrs?|h)$/, hour],
  [/^(?:days?|d)$/, day],
  [/^(?:weeks?|w)$/, 7 * day],
  [/^(?:years?|yrs?|y)$/, 365.25 * day]
]

/**
 * Converts a text such as `'2 days'`, `'1.5h'` or `'-10m'` to milliseconds, with the grammar of jsonwebtoken. A number without
 * a unit is in milliseconds. Returns `undefined` for an invalid text.
 */
export function parseTimespan (text: string): number | undefined {
  if (text.length > 100) return undefined
  const parts = /^(-?(?:\d+(?:\.\d+)?|\.\d+)) *([a-z]*)$/i.exec(text)
  if (parts === null) return undefined
  const unit = units.find(([names]) => names.test(parts[2]!.toLowerCase()))
  return unit === undefined ? undefined : Number(parts[1]) * unit[1]
}
