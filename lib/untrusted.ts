/*
 * How to look at a value that an application threw, returned or passed: a getter of it may throw, a proxy may be revoked, and
 * even `instanceof` may run code. Nothing here throws.
 */

/** A property of any value; `undefined` when there is none, or when it cannot be read. */
export function read (value: unknown, key: PropertyKey): unknown {
  if (value === null || value === undefined) return undefined
  try {
    return (value as Record<PropertyKey, unknown>)[key]
  } catch {
    return undefined
  }
}

/** `instanceof`. */
export function isInstance<T> (value: unknown, type: abstract new (...args: never[]) => T): value is T {
  try {
    return value instanceof type
  } catch {
    return false
  }
}

/** `Array.isArray`. */
export function isArray (value: unknown): value is unknown[] {
  try {
    return Array.isArray(value)
  } catch {
    return false
  }
}

/** The message of a thrown value, or a text that stands for it. */
export function messageOf (thrown: unknown): string {
  if (typeof thrown === 'string') return thrown
  const message = read(thrown, 'message')
  if (typeof message === 'string') return message
  return typeof thrown === 'object' || typeof thrown === 'function' ? `a thrown ${thrown === null ? 'null' : typeof thrown}` : String(thrown)
}
