import { promiseOf } from './promises.js'

/**
 * The owner of code that the event loop calls, usually a socket. Every entry from the event loop (a frame, a timer, a flush, a
 * frame of the broker, a settled promise) catches errors and passes them to `fault` of the owner, so that an error ends this
 * socket and does not affect others.
 */
export interface Guarded {
  /** Handles an error of code that ran for this owner. Never throws. */
  fault (err: unknown): void
}

/**
 * Continues when a promise settles. Errors and rejections of `done` and `failed` are faults of `guarded`. The handlers, the
 * socket, the server and the exchange must use this function instead of `then`.
 */
export function follow<T> (guarded: Guarded, promise: PromiseLike<T>, done: (value: T) => unknown, failed: (err: unknown) => unknown): void {
  (promiseOf<T>(promise) ?? Promise.resolve(promise)).then(done, failed).then(undefined, (err: unknown) => { guarded.fault(err) })
}

/** Calls a function and ignores its error. For the handling of faults, which must not throw. @returns `false` when it threw */
export function attempt (action: () => void): boolean {
  try {
    action()
    return true
  } catch {
    return false
  }
}
