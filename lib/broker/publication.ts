/** UTF-16 units of one publication between processes. */
export const maxPublicationLength = 8 * 1024 * 1024
/** Nesting of one publication between processes: far more than any client may send, and far less than a stack holds. */
export const maxPublicationDepth = 512

/**
 * Whether a text is what a broker between processes may bring: nothing, or exactly one JSON value. It is put into packets as
 * it is, and whoever can write to the engine could otherwise close the packet and begin one of his own.
 */
export function isPublication (text: string): boolean {
  if (text === '') return true
  if (text.length > maxPublicationLength) return false
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return false
  }
  // Each level takes two characters, so that short texts need no look.
  return text.length < maxPublicationDepth * 2 || isShallow(value, maxPublicationDepth)
}

function isShallow (value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (levels === 0) return false
  // What `JSON.parse` makes has own, enumerable keys only.
  for (const key in value) {
    const item = (value as Record<string, unknown>)[key]
    if (typeof item === 'object' && item !== null && !isShallow(item, levels - 1)) return false
  }
  return true
}
