import { types } from 'node:util'
import { ScError } from './errors.js'

/*
 * Safe access to values that an application threw, returned or passed: a getter may throw, a proxy may be revoked, and even
 * `instanceof` may run code. The functions here never throw.
 */

/** Reads a property of any value; returns `undefined` if it does not exist or cannot be read. */
export function read (value: unknown, key: PropertyKey): unknown {
  if (value === null || value === undefined) return undefined
  try {
    return (value as Record<PropertyKey, unknown>)[key]
  } catch {
    return undefined
  }
}

/** A safe `instanceof`. */
export function isInstance<T> (value: unknown, type: abstract new (...args: never[]) => T): value is T {
  try {
    return value instanceof type
  } catch {
    return false
  }
}

/** A safe `Array.isArray`. */
export function isArray (value: unknown): value is unknown[] {
  try {
    return Array.isArray(value)
  } catch {
    return false
  }
}

/** Whether a value is an object that may have fields: not `null`, an array or a function. */
export function isTable (value: unknown): value is object {
  return typeof value === 'object' && value !== null && !isArray(value)
}

/** Returns the message of a thrown value, or a text that describes it. */
export function messageOf (thrown: unknown): string {
  if (typeof thrown === 'string') return thrown
  const message = read(thrown, 'message')
  if (typeof message === 'string') return message
  return typeof thrown === 'object' || typeof thrown === 'function' ? `a thrown ${thrown === null ? 'null' : typeof thrown}` : String(thrown)
}

/** Returns a thrown value if it is a readable error, else an error that describes it. */
export function asError (thrown: unknown): Error {
  const error = readable(thrown)
  return isInstance(error, Error) ? error : new Error(messageOf(error))
}

/** The fields that parts of the library, or listeners for its errors, read. */
const readFields = ['code', 'statusCode', 'expose', 'silent', 'isBadToken', 'syscall', 'errno', 'cause', 'constructor']

/**
 * Returns a thrown value if all its fields can be read safely, else an error that replaces it, so that receivers can read the
 * result without precautions. A name or message that is not a string also counts as unreadable, because converting it to text may
 * throw.
 */
export function readable (thrown: unknown): unknown {
  if ((typeof thrown !== 'object' && typeof thrown !== 'function') || thrown === null) return thrown
  try {
    if (!types.isProxy(thrown)) {
      if (thrown instanceof ScError) return thrown
      Object.values(thrown)
      for (const field of readFields) Reflect.get(thrown, field)
      const { name, message, stack } = thrown as { name?: unknown, message?: unknown, stack?: unknown }
      if (!(thrown instanceof Error) || [name, message, stack].every((text) => text === undefined || typeof text === 'string')) return thrown
    }
  } catch {}
  const standIn = new Error(messageOf(thrown))
  const name = read(thrown, 'name')
  if (typeof name === 'string') standIn.name = name
  return standIn
}
