import { ScError, ScRefusal, scError } from '../errors.js'
import { isArray, isInstance, read } from '../untrusted.js'

/**
 * Where an error sent to a client comes from: created by the library (`own`, such as data that does not fit a schema), passed
 * on purpose by the application (`deliberate`: `res(err)`, `next(err)`, `request.error(err)`), or thrown by its code (`thrown`).
 */
export type ErrorOrigin = 'own' | 'deliberate' | 'thrown'

/** The errors that an event's contract declares: the name of each error with the schema of its fields. */
export type DeclaredErrors = Readonly<Record<string, unknown>>

/** Fields of the library's errors. `code` is the key in the error table, or SocketCluster's close code. */
const libraryFields = ['code', 'retryAfter', 'expiry', 'date', 'type', 'reason', 'id']
const validationFields = ['code', 'statusCode', 'validation', 'validationContext']
const nativeNames = new Set(['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError', 'EvalError', 'URIError', 'AggregateError', 'AssertionError', 'SystemError', 'DOMException'])

/**
 * Returns the plain form of an error that a client may see, or `undefined` when the client may see nothing of it. Never throws.
 *
 * A thrown error is visible only when it was made for clients: an error of the library, a `ScRefusal`, one that the contract
 * declares, one with `expose: true`, or a 4xx error of @fastify/error. The errors of a database or an HTTP client look like any
 * other named error, but contain queries, addresses and headers.
 *
 * An error passed on purpose is visible with its own fields when the application built it: a plain `Error`, a plain object, or
 * one with `expose: true`. Errors of other classes, which may come from a driver, show name, message and code. Errors of
 * the system and of the language are hidden: nobody passes them on purpose.
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

/** Whether `createError` of @fastify/error made an error with status 400 to 499. Errors of http-errors have `expose: true`. */
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
  // SocketCluster's handshake hooks use a close code as status, which reveals nothing.
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

/** Whether a value is an `Error` without a class of its own: its fields were added by hand. */
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

/** Name, message, code and HTTP status. Clients from version 15 on use a numeric code as close code of a refused handshake. */
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

/** The own fields whose values are plain data. */
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

/** The fields that a schema declares, also in nested objects. Reads JSON Schema, TypeBox and Zod. */
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

/** The error sent in place of one that the client may not see. The log line has the same `id`. */
export function internalError (id: string): ScError {
  return scError('SC_ERR_INTERNAL', [], { id })
}

/** Errors that clients only see because of the option `exposeErrors`. */
const exposed = new WeakSet<object>()

/** Returns the complete form of an error that clients see only in development, because of the option `exposeErrors`. */
export function exposeError (error: unknown): unknown {
  const shown = dehydrateError(error)
  if (typeof shown === 'object' && shown !== null) exposed.add(shown)
  return shown
}

/** Whether a client sees an error only because of the option `exposeErrors`. */
export function isExposed (shown: unknown): boolean {
  return typeof shown === 'object' && shown !== null && exposed.has(shown)
}

/** Fields that are never sent: they reveal where an error was made and what caused it. */
const hidden = new Set(['stack', 'cause', 'domain', 'domainEmitter', 'expose'])

/** The plain form of an error: its own fields that are plain data, without the stack. Other values are kept. Never throws. */
export function dehydrateError (error: unknown): unknown {
  if (isInstance(error, ScError)) return { ...core(error), message: error.wireMessage, ...fieldsOf(error, libraryFields) }
  if (typeof error === 'function') return `[function ${text(read(error, 'name')) || 'anonymous'}]`
  if (typeof error !== 'object' || error === null) return typeof error === 'bigint' || typeof error === 'symbol' ? String(error) : error
  const plain: Record<string, unknown> = isInstance(error, Error) || read(error, 'message') !== undefined ? { ...core(error) } : {}
  return Object.assign(plain, ownFields(error))
}

const maxErrorDepth = 8

/**
 * Copies the part of a value that JSON can write: text, numbers, arrays, plain objects and dates. A nested error is copied as
 * its name and message. Instances of classes, such as sockets, requests, servers and keys, are left out. Circular references and
 * values below the depth limit are replaced by `'[Circular]'` and `'[Object]'`.
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

/** Errors that clients sent. They are never shown to another client, whatever their fields say. */
const fromClients = new WeakSet<Error>()

/** Creates the Error for an error that a client sent in an answer. */
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
