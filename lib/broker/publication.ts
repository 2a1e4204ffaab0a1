/** Maximum length of a publication between processes, in UTF-16 units. */
export const maxPublicationLength = 8 * 1024 * 1024
/** Maximum nesting of a publication between processes: far more than a client may send, far less than the stack can hold. */
export const maxPublicationDepth = 512

/**
 * Whether a text is a valid publication between processes: empty, or exactly one JSON value. It is inserted into packets as it
 * is, so anyone who can write to the engine could otherwise close the packet and start another one.
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
  // Each level takes two characters, so short texts need no check.
  return text.length < maxPublicationDepth * 2 || isShallow(value, maxPublicationDepth)
}

function isShallow (value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (levels === 0) return false
  // JSON.parse only creates own, enumerable keys.
  for (const key in value) {
    const item = (value as Record<string, unknown>)[key]
    if (typeof item === 'object' && item !== null && !isShallow(item, levels - 1)) return false
  }
  return true
}
