/** Limits for the counters of another node: number of values on each level, and levels. */
const maxCounts = 1_000
const maxCountDepth = 4
/** Maximum length of a text in the counters. */
const maxTextLength = 1_000

/**
 * Converts the counters of another node to the shape of this node's counters. A missing value becomes 0, as does a value that is
 * not a number where a number is expected. An object may have additional numbers, such as counters by close code.
 */
export function conformCounts<Stats extends object> (value: unknown, shape: Stats): Stats {
  return conform(value, shape, 0) as Stats
}

function conform (value: unknown, shape: object, depth: number): Record<string, unknown> {
  const given = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const counts: Record<string, unknown> = {}
  for (const [name, like] of Object.entries(shape)) {
    const found = Object.hasOwn(given, name) ? given[name] : undefined
    if (typeof like === 'number') counts[name] = typeof found === 'number' && Number.isFinite(found) ? found : 0
    else if (typeof like === 'string') counts[name] = typeof found === 'string' ? found.slice(0, maxTextLength) : ''
    else if (typeof like === 'object' && like !== null && depth < maxCountDepth) counts[name] = conform(found, like, depth + 1)
  }
  for (const [name, found] of Object.entries(given).slice(0, maxCounts)) {
    if (!Object.hasOwn(counts, name) && name !== '__proto__' && typeof found === 'number' && Number.isFinite(found)) counts[name] = found
  }
  return counts
}

/** Adds the numbers of `counts` to those of `total`, including nested objects. */
export function addCounts (total: Record<string, unknown>, counts: object): void {
  for (const [name, value] of Object.entries(counts)) {
    const before = Object.hasOwn(total, name) ? total[name] : undefined
    if (typeof value === 'number') total[name] = (typeof before === 'number' ? before : 0) + value
    else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      const inner = (typeof before === 'object' && before !== null ? before : {}) as Record<string, unknown>
      addCounts(inner, value)
      total[name] = inner
    }
  }
}
