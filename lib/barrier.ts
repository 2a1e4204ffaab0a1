import { promiseOf } from './promises.js'

/**
 * In whose name code runs that the event loop calls: a socket, mostly. Every entry from the event loop (a frame, a timer, a
 * flush, a frame of the broker, a promise that settles) catches what is thrown and hands it to `fault`, so that it ends this
 * one and touches nobody else.
 */
export interface Guarded {
  /** Deals with what code in its name threw. Never throws. */
  fault (err: unknown): void
}

/**
 * Goes on when a promise settles. What `done` or `failed` throws or rejects with is a fault of `guarded`: the handlers, the
 * socket, the server and the exchange enter through here and not through `then`.
 */
export function follow<T> (guarded: Guarded, promise: PromiseLike<T>, done: (value: T) => unknown, failed: (err: unknown) => unknown): void {
  (promiseOf<T>(promise) ?? Promise.resolve(promise)).then(done, failed).then(undefined, (err: unknown) => { guarded.fault(err) })
}

/** For the way out of a fault, where nothing may throw any more. @returns false when it threw */
export function attempt (action: () => void): boolean {
  try {
    action()
    return true
  } catch {
    return false
  }
}
