/** Whether a value is a promise, or behaves as one. Most results are not, and then nothing is awaited. */
export function isThenable (value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

/** The promise of work that is already done; shared, so that a synchronous publish allocates none. */
export const done: Promise<void> = Promise.resolve()

/** Marks a promise as handled: its owner may await it, but need not. */
export function handled<T> (promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
