import { types } from 'node:util'
import { ScError } from './errors.js'

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

/** What was thrown if it is an error that can be read, else an error that says what could be read of it. */
export function asError (thrown: unknown): Error {
  const error = readable(thrown)
  return isInstance(error, Error) ? error : new Error(messageOf(error))
}

/** Fields that some part of the library, or who listens to its errors, looks for. */
const readFields = ['code', 'statusCode', 'expose', 'silent', 'isBadToken', 'syscall', 'errno', 'cause', 'constructor']

/**
 * What was thrown, if reading it throws nothing; else an error that stands for it, so that whoever is handed it can look at it
 * without care. Names and messages that are no text do not count as readable either: joined to a text they throw.
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
