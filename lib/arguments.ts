import { scError, typeName } from './errors.js'

// What the public methods are called with is checked at the call, and named there: an application's mistake must not show up
// in a later turn, where nobody can tell whose it was. All throw an InvalidArgumentsError (`SC_ERR_ARGUMENT`).

function refuse (method: string, expected: string, value: unknown): never {
  throw scError('SC_ERR_ARGUMENT', [method, expected, typeName(value)])
}

export function checkText (method: string, argument: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') refuse(method, `the ${argument} to be a string`, value)
}

export function checkFunction (method: string, argument: string, value: unknown): void {
  if (typeof value !== 'function') refuse(method, `the ${argument} to be a function`, value)
}

/** `undefined` and `null` mean that it was left out. */
export function checkCallback (method: string, value: unknown): void {
  if (value !== undefined && value !== null) checkFunction(method, 'callback', value)
}

/** `undefined` and `null` mean that it was left out. */
export function checkObject (method: string, argument: string, value: unknown): void {
  if (value !== undefined && value !== null && typeof value !== 'object') refuse(method, `the ${argument} to be an object`, value)
}

/** An engine: an object with these methods. */
export function checkMethods (method: string, argument: string, value: unknown, names: readonly string[]): void {
  let fits = false
  try {
    fits = typeof value === 'object' && value !== null && names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')
  } catch {
    // It cannot be read.
  }
  if (!fits) refuse(method, `the ${argument} to be an object with the methods ${names.join(' and ')}`, value)
}

/** The longest time that Node.js's timers know. */
const longest = 2_147_483_647

/** Milliseconds; `undefined` means that it was left out. */
export function checkTimeout (method: string, value: unknown): void {
  if (value === undefined) return
  if (typeof value !== 'number' || !(value >= 0 && value <= longest)) refuse(method, `the timeout to be a number of milliseconds from 0 to ${longest}`, value)
}
