/** The size of a value in its container, or of a number that is not a small integer. */
const valueBytes = 24
/** The size of an object, an array or a string without its contents. */
const containerBytes = 40
/** The size of a character: two bytes if any character of the text is outside Latin-1, which is assumed instead of checked. */
const characterBytes = 2
/** The size of a value that cannot be measured: the default maximum of a message. */
const unknownBytes = 65_536
/** The size of an error with its stack and its cause. Its other fields are not measured, because they may refer to anything. */
const errorBytes = 2_048
/** The maximum depth of the walk: deeper than any enabled limit allows. */
const maxDepth = 1_000

/** The number of objects and arrays to count without detecting duplicates: more than a message has by default. */
const maxUnremembered = 20_000

/** The state of one measurement. */
interface Walk {
  /** The number of objects and arrays that may still be visited. */
  left: number
  /** The visited objects, if each one counts only once. */
  readonly counted: Set<object> | null
}

/**
 * Estimates an upper bound of the bytes of memory that a value takes. It visits the whole value, so use it only for values that
 * are kept. The time is proportional to the size of the data, even if a value of the application or its codec is circular.
 */
export function memorySize (value: unknown): number {
  if (typeof value !== 'object' || value === null) return sizeOfOther(value)
  try {
    const walk: Walk = { left: maxUnremembered, counted: null }
    const bytes = sizeOf(value, maxDepth, walk)
    return walk.left >= 0 ? bytes : sizeOf(value, maxDepth, { left: Infinity, counted: new Set() })
  } catch {
    // The application's codec returned a value that cannot be read.
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
