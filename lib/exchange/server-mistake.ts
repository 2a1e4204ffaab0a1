import { presentError } from '../protocol/wire-errors.js'

/** The form for clients of the validation errors that were made internal. */
const mistakes = new WeakMap<Error, unknown>()

/** Turns a validation error of the server's own message into an internal one: the client must not see it. */
export function serverMistake (error: Error): Error {
  const own = error as Error & { statusCode?: unknown }
  const shown = presentError(error, 'own')
  try {
    Object.defineProperty(own, 'expose', { value: false, configurable: true })
    own.statusCode = 500
  } catch {
    // A validator of the application may return errors that cannot be changed.
    const copy = Object.defineProperty(Object.assign(new Error(error.message, { cause: error }), { ...error, name: error.name, statusCode: 500 }), 'expose', { value: false })
    mistakes.set(copy, shown)
    return copy
  }
  mistakes.set(own, shown)
  return own
}

/** Returns the form of a validation error for whoever the server published the message for; `undefined` for any other error. */
export function callersMistake (error: unknown): unknown {
  return typeof error === 'object' && error !== null ? mistakes.get(error as Error) : undefined
}
