/** What a value takes in its container, or a number that is not small takes by itself. */
const valueBytes = 24
/** An object, an array or a string beside what is in it. */
const containerBytes = 40
/** A character takes two bytes where a text has one that is not of Latin-1; nobody knows without looking. */
const characterBytes = 2
/** What cannot be measured counts as the largest message there is by default. */
const unknownBytes = 65_536
/** An error with its stack, and what it came from. What else it has may lead anywhere. */
const errorBytes = 2_048
/** Deeper than any limit that is on. */
const maxDepth = 1_000

/** So many objects and arrays are counted without remembering which: more than messages have by default. */
const maxUnremembered = 20_000

/** One look at a value. */
interface Walk {
  /** Objects and arrays that may still come. */
  left: number
  /** Those that were counted, where each counts once. */
  readonly counted: Set<object> | null
}

/**
 * Bytes of memory that data takes, at most about. A walk: only for what is kept. It takes no longer than there is data, also
 * where applications or their codecs made values that lead back to themselves.
 */
export function memorySize (value: unknown): number {
  if (typeof value !== 'object' || value === null) return sizeOfOther(value)
  try {
    const walk: Walk = { left: maxUnremembered, counted: null }
    const bytes = sizeOf(value, maxDepth, walk)
    return walk.left >= 0 ? bytes : sizeOf(value, maxDepth, { left: Infinity, counted: new Set() })
  } catch {
    // A codec of the application made something that cannot be looked at.
    return unknownBytes
  }
}

function sizeOfOther (value: unknown): number {
  return typeof value === 'string' ? containerBytes + value.length * characterBytes : 0
}

function sizeOf (value: unknown, depthLeft: number, walk: Walk): number {
  if (typeof value !== 'object' || value === null) return sizeOfOther(value)
  if (--walk.left < 0) return 0
  if (walk.counted !== null) {
    if (walk.counted.has(value)) return 0
    walk.counted.add(value)
  }
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return containerBytes + value.byteLength
  if (value instanceof Error) return errorBytes
  let bytes = containerBytes
  if (depthLeft === 0) return bytes
  if (Array.isArray(value)) {
    bytes += value.length * valueBytes
    for (let i = 0; i < value.length && walk.left >= 0; i++) {
      const item: unknown = value[i]
      if (typeof item === 'string' || typeof item === 'object') bytes += sizeOf(item, depthLeft - 1, walk)
    }
    return bytes
  }
  for (const key in value) {
    if (walk.left < 0) break
    const item = (value as Record<string, unknown>)[key]
    bytes += valueBytes + key.length * characterBytes
    if (typeof item === 'string' || typeof item === 'object') bytes += sizeOf(item, depthLeft - 1, walk)
  }
  return bytes
}
