import { scError, typeName } from './errors.js'

// Public methods validate their arguments synchronously, so that the error's stack leads to the application's call and not to a
// later turn of the event loop. All functions here throw an InvalidArgumentsError (`SC_ERR_ARGUMENT`).

function refuse (method: string, expected: string, value: unknown): never {
  throw scError('SC_ERR_ARGUMENT', [method, expected, typeName(value)])
}

export function checkText (method: string, argument: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') refuse(method, `the ${argument} to be a string`, value)
}

export function checkFunction (method: string, argument: string, value: unknown): void {
  if (typeof value !== 'function') refuse(method, `the ${argument} to be a function`, value)
}

/** Checks an optional callback; `undefined` and `null` count as absent. */
export function checkCallback (method: string, value: unknown): void {
  if (value !== undefined && value !== null) checkFunction(method, 'callback', value)
}

/** Checks an optional object; `undefined` and `null` count as absent. */
export function checkObject (method: string, argument: string, value: unknown): void {
  if (value !== undefined && value !== null && typeof value !== 'object') refuse(method, `the ${argument} to be an object`, value)
}

/** Checks an engine: an object with the given methods. */
export function checkMethods (method: string, argument: string, value: unknown, names: readonly string[]): void {
  let fits = false
  try {
    fits = typeof value === 'object' && value !== null && names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')
  } catch {
    // The value cannot be read.
  }
  if (!fits) refuse(method, `the ${argument} to be an object with the methods ${names.join(' and ')}`, value)
}

/** The longest delay of Node.js timers, in milliseconds. */
const longest = 2_147_483_647

/** Checks an optional timeout in milliseconds; `undefined` counts as absent. */
export function checkTimeout (method: string, value: unknown): void {
  if (value === undefined) return
  if (typeof value !== 'number' || !(value >= 0 && value <= longest)) refuse(method, `the timeout to be a number of milliseconds from 0 to ${longest}`, value)
}
