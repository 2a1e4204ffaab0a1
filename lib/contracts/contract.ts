import type { DeclaredChannel, ScEventContract } from '../../types/contracts.js'
import type { ScHistoryLimits, ScRecoveryLimits } from '../../types/history.js'
import { scError, shown } from '../errors.js'
import { isTable } from '../untrusted.js'
import { defaultRecovery } from './declarations.js'
import { checkPresence } from './presence.js'
import { checkRanges, type Range } from './ranges.js'

type Check = readonly [expected: string, holds: (value: unknown) => boolean]

const isFunction: Check = ['a function', (value) => typeof value === 'function']
const isText: Check = ['a string', (value) => typeof value === 'string']
const isBoolean: Check = ['a boolean', (value) => typeof value === 'boolean']
const isArray: Check = ['an array', Array.isArray]
const isSchema: Check = ['a schema', (value) => isTable(value) || typeof value === 'function' || typeof value === 'boolean']
const isAmount: Check = ['a number of 0 or more', (value) => typeof value === 'number' && value >= 0 && Number.isFinite(value)]
const isHooks: Check = ['a function or an array of them', (value) => typeof value === 'function' || (Array.isArray(value) && value.every((item) => typeof item === 'function'))]
const isCompiler: Check = ["a function or 'context'", (value) => typeof value === 'function' || value === 'context']
const isObject: Check = ['an object', isTable]
const isSwitch: Check = ['a boolean or an object', (value) => typeof value === 'boolean' || isTable(value)]
const isAnything: Check = ['anything', () => true]

const documentation = { summary: isText, description: isText, tags: isArray, hide: isBoolean, deprecated: isBoolean, examples: isArray, config: isAnything }

const eventFields: Readonly<Record<string, Check>> = {
  ...documentation,
  data: isSchema,
  response: isSchema,
  errors: isObject,
  preHandler: isHooks,
  timeout: isAmount,
  http: isSwitch,
  lifecycle: ["'own' or 'request'", (value) => value === 'own' || value === 'request'],
  logLevel: isText,
  validatorCompiler: isCompiler,
  schemaErrorFormatter: isFunction
}

const channelFields: Readonly<Record<string, Check>> = {
  ...documentation,
  message: isSchema,
  params: isSchema,
  subscribe: isFunction,
  publish: isFunction,
  deliver: isFunction,
  clientSubscribe: isBoolean,
  clientPublish: isBoolean,
  maxMessageBytes: isAmount,
  slowConsumerPolicy: ["'disconnect', 'drop', 'latest' or 'resume'", (value) => value === 'disconnect' || value === 'drop' || value === 'latest' || value === 'resume'],
  history: isObject,
  recover: ["a boolean, 'latest' or an object", (value) => value === 'latest' || isSwitch[1](value)],
  presence: isSwitch,
  validatorCompiler: isCompiler,
  schemaErrorFormatter: isFunction
}

const historyFields: Readonly<Record<keyof ScHistoryLimits, Range>> = { size: [1, 100_000], ttl: [1_000, Number.MAX_SAFE_INTEGER] }
const recoverFields: Readonly<Record<keyof ScRecoveryLimits, Range>> = { limit: [1, 1_000], bytes: [1_024, Number.MAX_SAFE_INTEGER], rewind: [0, 1_000] }

// JSON Schema has these keywords too, so they do not distinguish a contract from a schema.
const ambiguous = new Set(['description', 'examples', 'deprecated', 'summary', 'config', 'hide', 'tags', 'errors', 'timeout'])

/** Whether the argument of `scEvent` is a contract rather than a bare schema. */
function isContract (value: object): boolean {
  if ('~kind' in value || '~standard' in value || !isPlain(value)) return false
  const keys = Object.keys(value)
  return keys.some((key) => Object.hasOwn(eventFields, key) && !ambiguous.has(key)) || keys.every((key) => Object.hasOwn(eventFields, key))
}

function isPlain (value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

function checkFields (name: string, contract: object, fields: Readonly<Record<string, Check>>): void {
  for (const [key, value] of Object.entries(contract)) {
    const check = Object.hasOwn(fields, key) ? fields[key] : undefined
    if (check === undefined) throw scError('SC_ERR_CONTRACT', [name, `unknown property "${key}"; expected some of ${Object.keys(fields).join(', ')}`])
    if (value !== undefined && !check[1](value)) throw scError('SC_ERR_CONTRACT', [name, `expected ${key} to be ${check[0]}, got ${shown(value)}`])
  }
}

/** Returns the argument of `scEvent` as a checked contract. A bare schema becomes its `data`. @throws InvalidArgumentsError */
export function eventContract (name: string, input: unknown): ScEventContract {
  if (input === undefined || input === null) return {}
  if (typeof input !== 'object') {
    if (typeof input === 'boolean') return { data: input }
    throw scError('SC_ERR_CONTRACT', [name, `expected a schema or a contract, got ${shown(input)}`])
  }
  if (!isContract(input)) return { data: input }
  checkFields(name, input, eventFields)
  return input
}

/** Returns the argument of `scChannel` as a checked contract. @throws InvalidArgumentsError */
export function channelContract (pattern: string, input: unknown): DeclaredChannel['contract'] {
  if (input === undefined || input === null) return {}
  if (typeof input !== 'object' || Array.isArray(input)) throw scError('SC_ERR_CONTRACT', [pattern, `expected a contract, got ${shown(input)}`])
  checkFields(pattern, input, channelFields)
  const { history, presence, recover, slowConsumerPolicy } = input as DeclaredChannel['contract']
  if (history !== undefined) checkRanges(pattern, 'history', history, historyFields)
  if (presence !== undefined) checkPresence(pattern, presence)
  if (typeof recover === 'object') {
    checkRanges(pattern, 'recover', recover, recoverFields)
    checkRanges(pattern, 'recover', { rewind: recover.rewind }, { rewind: [0, recover.limit ?? defaultRecovery.limit] })
  }
  if (recover !== undefined && recover !== false && history === undefined) throw scError('SC_ERR_CONTRACT', [pattern, 'recover expects history, such as history: { size: 100, ttl: 300_000 }'])
  if (slowConsumerPolicy === 'resume' && (recover === undefined || recover === false)) throw scError('SC_ERR_CONTRACT', [pattern, "slowConsumerPolicy 'resume' expects recover"])
  if (slowConsumerPolicy === 'resume' && recover === 'latest') throw scError('SC_ERR_CONTRACT', [pattern, "slowConsumerPolicy 'resume' expects recover to be true or an object, got 'latest', with which only the newest message counts"])
  return input
}
