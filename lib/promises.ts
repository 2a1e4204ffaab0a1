import { types } from 'node:util'
import { scError } from './errors.js'

/**
 * Returns a promise for a promise or thenable, `undefined` for other values. Most results are not promises, and nothing is
 * awaited then. Never throws: a value that cannot be read counts as a plain value, and a `then` that throws counts as a
 * rejection.
 */
export function promiseOf<T = unknown> (value: unknown): Promise<T> | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  // This check does not read the value's fields, which may be getters.
  if (types.isPromise(value) && isPlainPromise(value)) return value as Promise<T>
  try {
    if (typeof (value as { then?: unknown }).then !== 'function') return undefined
  } catch {
    return undefined
  }
  return new Promise<T>((resolve) => resolve(value as PromiseLike<T>))
}

function isPlainPromise (promise: Promise<unknown>): boolean {
  return Object.getPrototypeOf(promise) === Promise.prototype && !Object.hasOwn(promise, 'then') && !Object.hasOwn(promise, 'constructor')
}

/**
 * Returns the result of an application's function that must not be async. The rejection of a refused promise is handled, so that
 * it does not become an unhandled rejection.
 * @throws InvalidArgumentsError for a promise
 */
export function atOnce<T> (who: string, answer: T): T {
  const promise = promiseOf(answer)
  if (promise === undefined) return answer
  handled(promise)
  throw scError('SC_ERR_ARGUMENT', ['The server', `${who} to answer at once`, 'a promise'])
}

/** A resolved promise. It is shared, so that a synchronous publish allocates no promise. */
export const done: Promise<void> = Promise.resolve()

/** Calls `tell` if the return value of an application's function is a promise or thenable that rejects. */
export function ifRejects (returned: unknown, tell: (err: unknown) => void): void {
  promiseOf(returned)?.then(undefined, tell)
}

/** Marks a promise as handled: the caller may await it, but does not have to. */
export function handled<T> (promise: Promise<T>): Promise<T> {
  promise.then(undefined, ignore)
  return promise
}

function ignore (): void {}
