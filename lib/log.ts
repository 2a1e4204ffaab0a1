import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import { ScError, ScRefusal } from './errors.js'
import { isArray, isInstance, read } from './untrusted.js'

/*
 * All log lines are written here. These functions never throw, whatever values an application or a client passes: loggers and
 * serializers only receive text, numbers and error descriptions of bounded size that were read here.
 */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** The fields of a log line. `err` may be any value; `describeError` describes it. */
export interface LogFields {
  readonly err?: unknown
  readonly [field: string]: unknown
}

/** The maximum number of lines per second of one logger: that of a socket, of an upgrade request, or of the server. */
const maxLinesPerSecond = 10

const maxText = 1_000
const maxStack = 4_000
const maxCauses = 4

/** The lines that a logger wrote in the current second. Created with its first line, because most sockets never log. */
interface Tally {
  second: number
  lines: number
  suppressed: number
  /** The error id of the last line that has one. */
  errorId: string
}

const tallies = new WeakMap<object, Tally>()

function tallyOf (logger: FastifyBaseLogger): Tally {
  let tally = tallies.get(logger)
  if (tally === undefined) tallies.set(logger, tally = { second: -1, lines: 0, suppressed: 0, errorId: '' })
  return tally
}

/**
 * Writes a log line, unless its level is disabled or the logger wrote too many lines in this second. The field `suppressed` of
 * the next line is the number of lines that were not written.
 */
export function writeLine (logger: FastifyBaseLogger, level: LogLevel, message: string, fields: LogFields = {}): void {
  write(logger, level, message, fields, level === 'error')
}

/** @returns whether the line was suppressed because the logger wrote too many */
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
    // A logger that throws must not stop the action.
  }
  return false
}

function emit (logger: FastifyBaseLogger, level: LogLevel, fields: Record<string, unknown>, message: string): void {
  try {
    logger[level](fields, message)
  } catch {
    // A serializer of the application threw: write the message without the fields.
    logger[level](message)
  }
}

function isEnabled (logger: FastifyBaseLogger, level: LogLevel): boolean {
  const { isLevelEnabled } = logger as { isLevelEnabled?: (level: string) => boolean }
  return typeof isLevelEnabled !== 'function' || isLevelEnabled.call(logger, level)
}

/** Library errors that the application's developer or the operator must fix. */
const operatorErrors = new Set<unknown>(['SC_ERR_HOOK_TIMEOUT', 'SC_ERR_HANDLER_TIMEOUT', 'SC_ERR_NEXT_TWICE', 'SC_ERR_RESPONSE_SENT', 'SC_ERR_RESPONSE_INVALID',
  'SC_ERR_ENCODE', 'SC_ERR_EVENT_RESERVED', 'SC_ERR_CLOSE_CODE', 'SC_ERR_TOKEN_PAYLOAD', 'SC_ERR_TOKEN_ALGORITHM', 'SC_ERR_TOKEN_SIGNING',
  'SC_ERR_BROKER', 'SC_ERR_BROKER_DOWN', 'SC_ERR_BROKER_BUSY', 'SC_ERR_SUBSCRIBE', 'SC_ERR_BROKER_DROPPED', 'SC_ERR_CLUSTER', 'SC_ERR_TOKEN'])

/** The kind of a failure: a client's mistake, a refusal of the application, an operational problem, or a bug. */
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
 * Logs a failure at the level of its kind: a bug of the application at `error`, with its stack; an operational problem at `warn`;
 * a refusal at `info`; a client's mistake at `debug`, because clients make mistakes all the time.
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

/** Whether a logger writes the lines about clients' mistakes. Never throws. */
export function logsMistakes (logger: FastifyBaseLogger): boolean {
  try {
    return isEnabled(logger, levels.mistake)
  } catch {
    return false
  }
}

/**
 * Logs an error whose details are hidden from the client, with an id that the client receives.
 * @returns the id; if the line was suppressed the last id that was logged, which leads to the same socket and second
 */
export function logHidden (logger: FastifyBaseLogger, err: unknown, fields: LogFields = {}): string {
  const errorId = randomUUID()
  const leftOut = write(logger, 'error', 'application error', { ...fields, err, errorId }, true)
  return (leftOut && tallies.get(logger)?.errorId) || errorId
}

/** A description of an error for the log. Loggers treat it as an error with `name` as its type. */
export interface LoggedError {
  type: string
  name: string
  message: string
  code?: string | number
  /** The stack; empty when it has no information. */
  stack: string
  cause?: LoggedError
  /** The first few errors of an `AggregateError`. */
  errors?: LoggedError[]
}

const loggedErrorPrototype = Object.create(Error.prototype, { constructor: { value: undefined } }) as object

/** Describes a thrown value in plain text of bounded size. Never throws, even if the value has throwing getters or is a proxy. */
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

/** Returns the name of the error's class. */
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

/** Returns the text of a primitive value. Objects and functions are only named, because they may contain anything. */
function textOf (value: unknown): string {
  return typeof value === 'object' || typeof value === 'function' ? `[${typeof value}]` : cut(String(value), maxText)
}

function plainValue (value: unknown): unknown {
  return typeof value === 'number' || typeof value === 'boolean' || value === null ? value : textOf(value)
}

function cut (text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}… (${text.length} characters)`
}
