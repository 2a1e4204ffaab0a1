import type { ScHttpOperationName, ScHttpOptions } from '../../types/http.js'
import { defaultTtl, maxTtl, minTtl } from '../cluster/once.js'
import { scError, shown, typeName } from '../errors.js'
import { handled, promiseOf } from '../promises.js'

/** All operations, in the order of their routes. */
export const operationNames: readonly ScHttpOperationName[] = ['publish', 'kick', 'disconnect', 'revoke', 'channels', 'sockets', 'nodes', 'history', 'presence']

/** The options with the defaults filled in. */
export type OperationOptions = ScHttpOptions & Required<Pick<ScHttpOptions, 'operations' | 'idempotencyTtl'>>

type Check = readonly [expected: string, holds: (value: unknown) => boolean]

const isFunction: Check = ['a function', (value) => typeof value === 'function']
const checks: { readonly [Name in keyof Required<ScHttpOptions>]: Check } = {
  authorize: isFunction,
  principal: isFunction,
  operations: [`an array of ${operationNames.join(', ')}`, (value) => Array.isArray(value) && value.length !== 0 && value.every((name) => operationNames.includes(name as ScHttpOperationName))],
  streams: ['a boolean or an object', (value) => typeof value === 'boolean' || (typeof value === 'object' && value !== null)],
  idempotencyTtl: [`a whole number of milliseconds from ${minTtl} to ${maxTtl}`, (value) => Number.isInteger(value) && value as number >= minTtl && value as number <= maxTtl],
  openapi: ['an object of hide, tags and security', isOpenApi]
}

/** Options that Fastify itself adds to the options of a plugin. */
const fastifyOptions = new Set(['prefix', 'logLevel', 'logSerializers'])

/** Checks the options. @throws InvalidOptionsError with the name of the option, the expected value and the given one */
export function checkOperationOptions (options: ScHttpOptions): OperationOptions {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || fastifyOptions.has(name)) continue
    const check = Object.hasOwn(checks, name) ? checks[name as keyof typeof checks] : undefined
    if (check === undefined) throw scError('SC_ERR_OPTIONS', [`fastify-socketcluster/http has no option "${name}"; expected some of ${Object.keys(checks).join(', ')}`])
    if (!check[1](value)) throw scError('SC_ERR_OPTIONS', [`Option ${name} of fastify-socketcluster/http: expected ${check[0]}, got ${shown(value)}`])
  }
  if (options.authorize === undefined) {
    throw scError('SC_ERR_OPTIONS', ['fastify-socketcluster/http needs the option authorize, which decides who may do what: authorize: (request, { operation }) => mayDo(request.user, operation)'])
  }
  return { ...options, operations: options.operations ?? operationNames, idempotencyTtl: options.idempotencyTtl ?? defaultTtl }
}

/** Returns the answer of a function of the options. @throws TypeError for one that is no text: a mistake of the application, so that clients get a 500 */
export function textOf (option: string, answer: unknown): string {
  if (typeof answer === 'string') return answer
  const promise = promiseOf(answer)
  if (promise !== undefined) handled(promise)
  throw new TypeError(`The option ${option} of fastify-socketcluster/http must return a string, got ${promise === undefined ? typeName(answer) : 'a promise'}`)
}

function isOpenApi (value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { hide, tags, security, ...others } = value as Record<string, unknown>
  return Object.keys(others).length === 0 && (hide === undefined || typeof hide === 'boolean') && (security === undefined || Array.isArray(security)) &&
    (tags === undefined || (Array.isArray(tags) && tags.every((tag) => typeof tag === 'string')))
}
