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

/** Bytes of memory that data of a message takes, at most about. A walk: only for what is kept. */
export function memorySize (value: unknown): number {
  try {
    return sizeOf(value, maxDepth)
  } catch {
    // A codec of the application made something that cannot be looked at.
    return unknownBytes
  }
}

function sizeOf (value: unknown, depthLeft: number): number {
  if (typeof value === 'string') return containerBytes + value.length * characterBytes
  if (typeof value !== 'object' || value === null) return 0
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return containerBytes + value.byteLength
  if (value instanceof Error) return errorBytes
  let bytes = containerBytes
  if (depthLeft === 0) return bytes
  if (Array.isArray(value)) {
    bytes += value.length * valueBytes
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i]
      if (typeof item === 'string' || typeof item === 'object') bytes += sizeOf(item, depthLeft - 1)
    }
    return bytes
  }
  for (const key in value) {
    const item = (value as Record<string, unknown>)[key]
    bytes += valueBytes + key.length * characterBytes
    if (typeof item === 'string' || typeof item === 'object') bytes += sizeOf(item, depthLeft - 1)
  }
  return bytes
}
