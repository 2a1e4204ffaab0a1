import { ScError, errorTable, scError } from '../errors.js'
import { isInstance, read } from '../untrusted.js'

const nativeNames = new Set(['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError', 'EvalError', 'URIError', 'AggregateError', 'AssertionError', 'SystemError', 'DOMException'])

/** How an error came to be sent: passed on purpose (`res(err)`, a block by a hook), or thrown by a handler. */
export type ErrorOrigin = 'deliberate' | 'thrown'

/**
 * Whether a client may see what an error says.
 *
 * Errors of the library may; so may what an application passes to `res`, blocks with, or throws under a name of its own,
 * or with a 4xx `statusCode`, or with `expose: true`. Others may hold secrets (a query, a path, a host): the client gets
 * `Internal error` and the log the whole. `exposeErrors` shows all.
 */
export function isPublicError (error: unknown, origin: ErrorOrigin): boolean {
  if (isInstance(error, ScError)) return error.code !== 'SC_ERR_INTERNAL'
  if (typeof error !== 'object' || error === null) return origin === 'deliberate'
  const [name, statusCode, expose, syscall, errno] = ['name', 'statusCode', 'expose', 'syscall', 'errno'].map((key) => read(error, key))
  if (typeof expose === 'boolean') return expose
  // SocketCluster's handshake hooks put a close code there, which says nothing about secrets.
  if (typeof statusCode === 'number' && statusCode < 1000) return statusCode >= 400 && statusCode < 500
  if (!isInstance(error, Error)) return origin === 'deliberate'
  if (syscall !== undefined || errno !== undefined || typeof name !== 'string' || nativeNames.has(name)) return false
  return origin === 'deliberate' || name !== 'Error'
}

/** What stands in for an error that a client may not see. `id` is in the log line too. */
export function internalError (id: string): ScError {
  return scError('SC_ERR_INTERNAL', [], { id })
}

const hidden = new Set(['stack', 'cause', 'domain', 'domainEmitter'])

/** The plain form of an error: its message, its name and its own fields, never its stack. Other values stay as they are. Never throws. */
export function dehydrateError (error: unknown): unknown {
  try {
    return dehydrate(error)
  } catch {
    // A getter of its own threw: whoever waits must be answered all the same.
    return { name: 'Error', message: errorTable.SC_ERR_INTERNAL.message }
  }
}

function dehydrate (error: unknown): unknown {
  if (typeof error === 'function') return `[function ${error.name === '' ? 'anonymous' : error.name}]`
  if (typeof error !== 'object' || error === null) return typeof error === 'bigint' || typeof error === 'symbol' ? String(error) : error
  const plain: Record<string, unknown> = {}
  if (error instanceof Error) {
    plain.name = error.name
    plain.message = error.message
  } else if ('message' in error) {
    plain.message = error.message
  }
  for (const key of Object.keys(error)) {
    if (!hidden.has(key)) plain[key] = (error as Record<string, unknown>)[key]
  }
  return decycle(plain, new Set())
}

const maxErrorDepth = 8

/** A copy that JSON can write: repeated ancestors, functions and what lies too deep are named instead. */
function decycle (value: unknown, ancestors: Set<object>): unknown {
  if (typeof value === 'bigint' || typeof value === 'symbol') return String(value)
  if (typeof value === 'function') return undefined
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Date || ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value
  if (ancestors.has(value)) return '[Circular]'
  if (ancestors.size === maxErrorDepth) return '[Object]'
  ancestors.add(value)
  let copy: unknown
  if (Array.isArray(value)) {
    copy = value.map((item) => decycle(item, ancestors))
  } else {
    const fields: Record<string, unknown> = value instanceof Error ? { name: value.name, message: value.message } : {}
    for (const key of Object.keys(value)) {
      if (!hidden.has(key)) fields[key] = decycle((value as Record<string, unknown>)[key], ancestors)
    }
    copy = fields
  }
  ancestors.delete(value)
  return copy
}

/** The Error for an error that a client sent with its answer. */
export function hydrateError (error: unknown): Error | null {
  if (error === undefined || error === null) return null
  if (typeof error !== 'object') return new Error(String(error))
  const { message, name, ...fields } = error as Record<string, unknown>
  const hydrated = new Error(typeof message === 'string' ? message : 'Invalid error message format')
  if (typeof name === 'string') hydrated.name = name
  for (const key of Object.keys(fields)) {
    if (key !== 'stack' && !(key in hydrated)) Object.defineProperty(hydrated, key, { value: fields[key], enumerable: true, writable: true, configurable: true })
  }
  return hydrated
}
