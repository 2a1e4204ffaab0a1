import { types } from 'node:util'
import { scError } from './errors.js'

/**
 * A value as a promise, if it is one or behaves as one; `undefined` if not. Most results are not, and then nothing is awaited.
 * Never throws, whatever the value does when it is looked at: one that cannot be read counts as a plain value, and a `then`
 * that throws as a rejection.
 */
export function promiseOf<T = unknown> (value: unknown): Promise<T> | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  // Without a look at its fields, which may be getters.
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
 * The answer of a function of the application's that must not be async. A promise is refused, and its rejection, which nobody
 * would await, is nobody's unhandled one.
 * @throws InvalidArgumentsError for a promise
 */
export function atOnce<T> (who: string, answer: T): T {
  const promise = promiseOf(answer)
  if (promise === undefined) return answer
  handled(promise)
  throw scError('SC_ERR_ARGUMENT', ['The server', `${who} to answer at once`, 'a promise'])
}

/** The promise of work that is already done; shared, so that a synchronous publish allocates none. */
export const done: Promise<void> = Promise.resolve()

/** Tells of it when what an application's function returned is a promise, or behaves as one, and rejects. */
export function ifRejects (returned: unknown, tell: (err: unknown) => void): void {
  promiseOf(returned)?.then(undefined, tell)
}

/** Marks a promise as handled: its owner may await it, but need not. */
export function handled<T> (promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
