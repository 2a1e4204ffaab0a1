import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import { ScError, ScRefusal } from './errors.js'
import { isArray, isInstance, read } from './untrusted.js'

/*
 * The one place that writes log lines. It never throws, whatever value an application or a client made: loggers and their
 * serializers, pino's and those of applications, only get text, numbers and errors that were read here, with an end.
 */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** What a line says besides its text. `err` may be any value; it is described. */
export interface LogFields {
  readonly err?: unknown
  readonly [field: string]: unknown
}

/** Lines of the library in one second by one logger: that of a socket, of an upgrade's request, or of the server. */
const maxLinesPerSecond = 10

const maxText = 1_000
const maxStack = 4_000
const maxCauses = 4

/** How many lines a logger wrote in its second. Made with the first line: most sockets never log. */
interface Tally {
  second: number
  lines: number
  suppressed: number
  /** Of the last line that has one. */
  errorId: string
}

const tallies = new WeakMap<object, Tally>()

function tallyOf (logger: FastifyBaseLogger): Tally {
  let tally = tallies.get(logger)
  if (tally === undefined) tallies.set(logger, tally = { second: -1, lines: 0, suppressed: 0, errorId: '' })
  return tally
}

/**
 * Writes a line, unless its level is off or the logger wrote too many in this second. Lines left out are counted; the next
 * line says how many they were, in `suppressed`.
 */
export function writeLine (logger: FastifyBaseLogger, level: LogLevel, message: string, fields: LogFields = {}): void {
  write(logger, level, message, fields, level === 'error')
}

/** @returns whether it was left out because there are too many lines */
function write (logger: FastifyBaseLogger, level: LogLevel, message: string, fields: LogFields, withStack: boolean): boolean {
  try {
    if (!isEnabled(logger, level)) return false
    const tally = tallyOf(logger)
    const second = Math.floor(performance.now() / 1_000)
    if (tally.second !== second) {
      tally.second = second
      tally.lines = 0
    }
    if (tally.lines === maxLinesPerSecond) {
      tally.suppressed++
      return true
    }
    tally.lines++
    const plain: Record<string, unknown> = {}
    for (const field of Object.keys(fields)) {
      const value = fields[field]
      if (value !== undefined) plain[field] = field === 'err' ? describeError(value, withStack) : plainValue(value)
    }
    if (tally.suppressed !== 0) plain.suppressed = tally.suppressed
    tally.suppressed = 0
    if (typeof fields.errorId === 'string') tally.errorId = fields.errorId
    emit(logger, level, plain, cut(message, maxText))
  } catch {
    // What is going on must go on, even without a log.
  }
  return false
}

function emit (logger: FastifyBaseLogger, level: LogLevel, fields: Record<string, unknown>, message: string): void {
  try {
    logger[level](fields, message)
  } catch {
    // A serializer of the application's own could not read a field.
    logger[level](message)
  }
}

function isEnabled (logger: FastifyBaseLogger, level: LogLevel): boolean {
  const { isLevelEnabled } = logger as { isLevelEnabled?: (level: string) => boolean }
  return typeof isLevelEnabled !== 'function' || isLevelEnabled.call(logger, level)
}

/** Errors of the library that are the application's or the operator's to mend. */
const operatorErrors = new Set<unknown>(['SC_ERR_HOOK_TIMEOUT', 'SC_ERR_HANDLER_TIMEOUT', 'SC_ERR_NEXT_TWICE', 'SC_ERR_RESPONSE_SENT', 'SC_ERR_RESPONSE_INVALID',
  'SC_ERR_ENCODE', 'SC_ERR_EVENT_RESERVED', 'SC_ERR_CLOSE_CODE', 'SC_ERR_TOKEN_PAYLOAD', 'SC_ERR_TOKEN_ALGORITHM', 'SC_ERR_TOKEN_SIGNING',
  'SC_ERR_BROKER', 'SC_ERR_BROKER_DOWN', 'SC_ERR_BROKER_BUSY', 'SC_ERR_SUBSCRIBE', 'SC_ERR_BROKER_DROPPED', 'SC_ERR_CLUSTER', 'SC_ERR_TOKEN'])

/** What a failure is: a client's mistake, the application's refusal, trouble of the operation, or a bug. */
export type FailureKind = 'mistake' | 'refusal' | 'trouble' | 'bug'

const levels: Readonly<Record<FailureKind, LogLevel>> = { mistake: 'debug', refusal: 'info', trouble: 'warn', bug: 'error' }
const texts: Readonly<Record<FailureKind, string>> = { mistake: 'action not possible', refusal: 'action refused', trouble: 'trouble', bug: 'application error' }

function kindOf (err: unknown): FailureKind {
  if (isInstance(err, ScError)) {
    if (err.code === 'SC_ERR_INTERNAL') return 'bug'
    return operatorErrors.has(err.code) ? 'trouble' : 'mistake'
  }
  if (!isInstance(err, ScRefusal)) return 'bug'
  return err.code === 'FST_ERR_VALIDATION' ? 'mistake' : 'refusal'
}

/**
 * Writes a failure, at the level that fits it: a mistake of the application is an `error`, with its stack; trouble that
 * somebody should look at a `warn`; a refusal `info`; what a client did wrong `debug`: clients do that all day.
 */
export function logFailure (logger: FastifyBaseLogger, err: unknown, kind: FailureKind = kindOf(err)): void {
  if (!isInstance(err, ScError)) {
    write(logger, levels[kind], texts[kind], { err }, kind === 'bug')
    return
  }
  const { id } = err
  const leftOut = write(logger, levels[kind], err.message, typeof id === 'string' ? { err, errorId: id } : { err }, false)
  if (leftOut && typeof id === 'string') err.id = tallies.get(logger)?.errorId || id
}

/**
 * Writes an error that a client is not told, under an id that it is told.
 * @returns the id; when there were too many lines that of the last one: it leads to the same socket and the same second
 */
export function logHidden (logger: FastifyBaseLogger, err: unknown, fields: LogFields = {}): string {
  const errorId = randomUUID()
  const leftOut = write(logger, 'error', 'application error', { ...fields, err, errorId }, true)
  return (leftOut && tallies.get(logger)?.errorId) || errorId
}

/** An error as it is logged. Loggers take it for an error, with `name` as its type. */
export interface LoggedError {
  type: string
  name: string
  message: string
  code?: string | number
  /** Empty where a stack tells nothing. */
  stack: string
  cause?: LoggedError
  /** Of an `AggregateError`, the first few. */
  errors?: LoggedError[]
}

const loggedErrorPrototype = Object.create(Error.prototype, { constructor: { value: undefined } }) as object

/** What is known of a thrown value, in plain text of bounded size. Never throws: no getter, no proxy and no prototype of it can. */
export function describeError (err: unknown, withStack = true): LoggedError {
  return describe(err, withStack, maxCauses)
}

function describe (err: unknown, withStack: boolean, causes: number): LoggedError {
  const logged = Object.create(loggedErrorPrototype) as LoggedError
  if ((typeof err !== 'object' && typeof err !== 'function') || err === null) {
    logged.type = logged.name = err === null ? 'null' : typeof err
    logged.message = textOf(err)
    logged.stack = ''
    return logged
  }
  const name = read(err, 'name')
  const message = read(err, 'message')
  const code = read(err, 'code')
  const stack = withStack ? read(err, 'stack') : ''
  const cause = causes === 0 ? undefined : read(err, 'cause')
  logged.name = typeof name === 'string' || typeof name === 'symbol' ? cut(String(name), maxText) : typeof err
  logged.type = typeName(err) ?? logged.name
  logged.message = typeof message === 'string' ? cut(message, maxText) : message === undefined ? '' : textOf(message)
  if (typeof code === 'string') logged.code = cut(code, maxText)
  else if (typeof code === 'number') logged.code = code
  logged.stack = typeof stack === 'string' ? cut(stack, maxStack) : ''
  if (cause !== undefined && cause !== null) logged.cause = describe(cause, withStack, causes - 1)
  const errors = causes === 0 ? undefined : read(err, 'errors')
  if (isArray(errors)) logged.errors = firstOf(errors).map((error) => describe(error, withStack, 0))
  return logged
}

/** The name of its class. */
function typeName (err: object): string | undefined {
  const made = read(err, 'constructor')
  const name = typeof made === 'function' ? read(made, 'name') : undefined
  return typeof name === 'string' && name !== '' ? cut(name, maxText) : undefined
}

function firstOf (errors: unknown[]): unknown[] {
  const first: unknown[] = []
  for (let at = 0; at < maxCauses; at++) {
    const error = read(errors, String(at))
    if (error !== undefined) first.push(error)
  }
  return first
}

/** The text of what is no object; objects are only named, for they may hold anything. */
function textOf (value: unknown): string {
  return typeof value === 'object' || typeof value === 'function' ? `[${typeof value}]` : cut(String(value), maxText)
}

function plainValue (value: unknown): unknown {
  return typeof value === 'number' || typeof value === 'boolean' || value === null ? value : textOf(value)
}

function cut (text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}… (${text.length} characters)`
}
