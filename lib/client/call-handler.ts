/** Calls a handler of the application. What it throws, or rejects with, goes to `onError`. */
export function callHandler<Value> (handler: (value: Value) => unknown, value: Value, onError: (err: unknown) => void): void {
  try {
    Promise.resolve(handler(value)).catch(onError)
  } catch (err) {
    onError(err)
  }
}

/** Reports an error that nobody handles. */
export function reportError (err: unknown): void {
  console.error(err)
}
