import { ScError, ScRefusal, scError } from '../errors.js'
import { isArray, isInstance, read } from '../untrusted.js'

/**
 * How an error came to be told: by the library itself (`own`, such as data that does not fit a schema), passed on purpose
 * (`deliberate`: `res(err)`, `next(err)`, `request.error(err)`), or thrown by the application's code.
 */
export type ErrorOrigin = 'own' | 'deliberate' | 'thrown'

/** The errors that an event's contract declares: a schema of its fields by an error's name. */
export type DeclaredErrors = Readonly<Record<string, unknown>>

/** Of the library's errors. `code` is its row, or the close code that SocketCluster puts there. */
const libraryFields = ['code', 'retryAfter', 'expiry', 'date', 'type', 'reason', 'id']
const validationFields = ['code', 'statusCode', 'validation', 'validationContext']
const nativeNames = new Set(['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError', 'EvalError', 'URIError', 'AggregateError', 'AssertionError', 'SystemError', 'DOMException'])

/**
 * What a client may see of an error: its plain form, or `undefined` when it may see nothing of it. Never throws.
 *
 * What was thrown is seen only if it was made to be: an error of the library, a `ScRefusal`, one that the contract declares,
 * one with `expose: true`, or a 4xx error of @fastify/error. A database's or an HTTP client's error looks like any other
 * error with a name; it holds queries, addresses and headers.
 *
 * Of what was passed on purpose the own fields are seen, where the application made the error: a plain `Error`, a plain
 * object, one with `expose: true`. Of other classes, which may be a driver's, name, message and code. Errors of the system and
 * of the language are nobody's purpose.
 */
export function presentError (error: unknown, origin: ErrorOrigin, declared?: DeclaredErrors): unknown {
  if (isInstance(error, ScError)) return error.code === 'SC_ERR_INTERNAL' ? undefined : dehydrateError(error)
  if (isInstance(error, ScRefusal)) return { ...core(error), ...ownFields(error) }
  if (origin === 'own') return { ...(isBuiltError(error) ? ownFields(error) : {}), ...core(error), ...fieldsOf(error, validationFields) }
  const name = read(error, 'name')
  if (declared !== undefined && typeof name === 'string' && Object.hasOwn(declared, name) && isInstance(error, Error)) {
    return { ...core(error), ...declaredFields(error, declared[name]) }
  }
  return origin === 'thrown' ? presentThrown(error) : presentDeliberate(error)
}

function presentThrown (error: unknown): unknown {
  if (isInstance(error, Error) && fromClients.has(error)) return undefined
  return read(error, 'expose') === true || isFastifyError(error) ? core(error) : undefined
}

/** One of `createError` of @fastify/error with a status of 400 to 499. Those of http-errors have `expose: true`. */
function isFastifyError (error: unknown): boolean {
  return isInstance(error, Error) && read(error, 'name') === 'FastifyError' && typeof read(error, 'code') === 'string' && isClientStatus(read(error, 'statusCode')) && read(error, 'expose') !== false
}

function isClientStatus (status: unknown): boolean {
  return typeof status === 'number' && status >= 400 && status < 500
}

function presentDeliberate (error: unknown): unknown {
  if (typeof error === 'function') return `[function ${text(read(error, 'name')) ?? ''}]`
  if (typeof error !== 'object' || error === null) return typeof error === 'bigint' || typeof error === 'symbol' ? String(error) : error
  const expose = read(error, 'expose')
  if (expose === true) return { ...core(error), ...ownFields(error) }
  if (expose === false) return undefined
  const statusCode = read(error, 'statusCode')
  // SocketCluster's handshake hooks put a close code there, which says nothing about secrets.
  if (typeof statusCode === 'number' && statusCode < 1_000 && !isClientStatus(statusCode)) return undefined
  if (!isInstance(error, Error)) {
    if (isPlain(error) || isArray(error)) return ownFields(error)
    return typeof read(error, 'message') === 'string' ? core(error) : undefined
  }
  const name = read(error, 'name')
  const system = read(error, 'syscall') !== undefined || read(error, 'errno') !== undefined
  if (system || typeof name !== 'string' || nativeNames.has(name)) return isClientStatus(statusCode) && !system ? core(error) : undefined
  return isBuiltError(error) ? { ...core(error), ...ownFields(error) } : core(error)
}

/** An `Error` of no class of its own: whoever made it put its fields there by hand. */
function isBuiltError (error: unknown): error is Error {
  return isInstance(error, Error) && prototypeOf(error) === Error.prototype
}

function isPlain (value: unknown): value is object {
  const prototype = prototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function prototypeOf (value: unknown): unknown {
  try {
    return Object.getPrototypeOf(value)
  } catch {
    return undefined
  }
}

interface Core { name?: string, message?: unknown, code?: string | number, statusCode?: number }

/** Name, message, code and HTTP status; clients from 15 on take a number there for the close code of a refused handshake. */
function core (error: unknown): Core {
  const plain: Core = {}
  const name = text(read(error, 'name'))
  const message = text(read(error, 'message'))
  const code = read(error, 'code')
  if (name !== undefined) plain.name = name
  plain.message = message ?? ''
  const statusCode = read(error, 'statusCode')
  if (typeof code === 'string' || typeof code === 'number') plain.code = code
  if (typeof statusCode === 'number') plain.statusCode = statusCode
  return plain
}

function text (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function fieldsOf (error: unknown, keys: readonly string[]): Record<string, unknown> {
  const fields: Record<string, unknown> = {}
  for (const key of keys) {
    const value = key === '__proto__' ? undefined : plainData(read(error, key))
    if (value !== undefined) fields[key] = value
  }
  return fields
}

/** The own fields that are plain data. */
function ownFields (error: object): Record<string, unknown> {
  return fieldsOf(error, keysOf(error).filter((key) => !hidden.has(key)))
}

function keysOf (value: object): string[] {
  try {
    return Object.keys(value)
  } catch {
    return []
  }
}

/** The fields that a schema names, those of inner objects too: JSON Schema and TypeBox, or Zod. */
function declaredFields (error: object, schema: unknown): Record<string, unknown> {
  const fields: Record<string, unknown> = {}
  for (const [key, inner] of propertiesOf(schema)) {
    const value = declaredData(plainData(read(error, key)), inner)
    if (value !== undefined) fields[key] = value
  }
  return fields
}

function propertiesOf (schema: unknown): Array<[string, unknown]> {
  const { properties, shape, allOf } = (schema ?? {}) as { properties?: object, shape?: object, allOf?: unknown[] }
  return [...Object.entries(properties ?? shape ?? {}), ...(allOf ?? []).flatMap(propertiesOf)]
}

function declaredData (value: unknown, schema: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    const items = (schema as { items?: unknown } | null)?.items
    return items === undefined ? value : value.map((item) => declaredData(item, items))
  }
  return propertiesOf(schema).length === 0 ? value : declaredFields(value, schema)
}

/** What stands in for an error that a client may not see. `id` is in the log line too. */
export function internalError (id: string): ScError {
  return scError('SC_ERR_INTERNAL', [], { id })
}

/** Never told: where an error was made, and what it came from. */
const hidden = new Set(['stack', 'cause', 'domain', 'domainEmitter', 'expose'])

/** The plain form of an error with all its own fields that are plain data, whoever made it; never its stack. Other values stay as they are. Never throws. */
export function dehydrateError (error: unknown): unknown {
  if (isInstance(error, ScError)) return { ...core(error), message: error.wireMessage, ...fieldsOf(error, libraryFields) }
  if (typeof error === 'function') return `[function ${text(read(error, 'name')) || 'anonymous'}]`
  if (typeof error !== 'object' || error === null) return typeof error === 'bigint' || typeof error === 'symbol' ? String(error) : error
  const plain: Record<string, unknown> = isInstance(error, Error) || read(error, 'message') !== undefined ? { ...core(error) } : {}
  return Object.assign(plain, ownFields(error))
}

const maxErrorDepth = 8

/**
 * A copy of plain data that JSON can write: text, numbers, arrays, plain objects, dates; of an error inside its name and
 * message. Objects of classes are left out: sockets, requests, servers, keys. Circles and what lies too deep are named instead.
 */
function plainData (value: unknown, ancestors: Set<object> = new Set()): unknown {
  if (typeof value === 'bigint' || typeof value === 'symbol') return String(value)
  if (typeof value === 'function') return undefined
  if (typeof value !== 'object' || value === null) return value
  if (isInstance(value, Date)) return Number.isNaN(value.getTime()) ? null : value
  const list = isArray(value)
  if (!list && !isPlain(value)) return isInstance(value, Error) ? { name: text(read(value, 'name')), message: text(read(value, 'message')) } : undefined
  if (ancestors.has(value)) return '[Circular]'
  if (ancestors.size === maxErrorDepth) return '[Object]'
  ancestors.add(value)
  let copy: unknown
  if (list) {
    copy = Array.from({ length: Number(read(value, 'length')) || 0 }, (_item, at) => plainData(read(value, String(at)), ancestors) ?? null)
  } else {
    const fields: Record<string, unknown> = {}
    for (const key of keysOf(value)) {
      const field = hidden.has(key) || key === '__proto__' ? undefined : plainData(read(value, key), ancestors)
      if (field !== undefined) fields[key] = field
    }
    copy = fields
  }
  ancestors.delete(value)
  return copy
}

/** Errors that clients sent: whatever their fields say, nobody here made them to be shown to somebody else. */
const fromClients = new WeakSet<Error>()

/** The Error for an error that a client sent with its answer. */
export function hydrateError (error: unknown): Error | null {
  if (error === undefined || error === null) return null
  if (typeof error !== 'object') return new Error(String(error))
  const { message, name, ...fields } = error as Record<string, unknown>
  const hydrated = new Error(typeof message === 'string' ? message : 'Invalid error message format')
  fromClients.add(hydrated)
  if (typeof name === 'string') hydrated.name = name
  for (const key of Object.keys(fields)) {
    if (key !== 'stack' && !(key in hydrated)) Object.defineProperty(hydrated, key, { value: fields[key], enumerable: true, writable: true, configurable: true })
  }
  return hydrated
}
