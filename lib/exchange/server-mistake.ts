/** Turns a validation error of the server's own message into an internal one: the client must not see it. */
export function serverMistake (error: Error): Error {
  const own = error as Error & { statusCode?: unknown }
  try {
    Object.defineProperty(own, 'expose', { value: false, configurable: true })
    own.statusCode = 500
  } catch {
    // A validator of the application may return errors that cannot be changed.
    const copy = new Error(error.message, { cause: error })
    return Object.defineProperty(Object.assign(copy, { ...error, name: error.name, statusCode: 500 }), 'expose', { value: false })
  }
  return own
}
