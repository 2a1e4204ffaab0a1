import type { ScAsyncApiOptions } from '../../types/asyncapi.js'
import { scError, shown } from '../errors.js'
import { isTable } from '../untrusted.js'

const isObject = (value: unknown): value is Record<string, unknown> => isTable(value)
type Check = readonly [expected: string, holds: (value: unknown) => boolean]

const isFunction: Check = ['a function', (value) => typeof value === 'function']

const checks: { readonly [Name in keyof Required<ScAsyncApiOptions>]: Check } = {
  info: ['an object whose title and version are strings', (value) => isObject(value) && ['title', 'version'].every((field) => value[field] === undefined || typeof value[field] === 'string')],
  servers: ['an object of servers that have a host', (value) => isObject(value) && Object.values(value).every((server) => isObject(server) && typeof server.host === 'string')],
  routePrefix: ['a path that starts with "/" and does not end with it', (value) => typeof value === 'string' && /^\/[^?#\s]*[^?#\s/]$/.test(value)],
  exposeRoute: ["true, false or 'document'", (value) => typeof value === 'boolean' || value === 'document'],
  hooks: ['an object of onRequest and preHandler, which are functions', (value) => isObject(value) && Object.entries(value).every(([name, hook]) => ['onRequest', 'preHandler'].includes(name) && typeof hook === 'function')],
  securitySchemes: ['an object of schemes that have a type', (value) => isObject(value) && Object.values(value).every((scheme) => isObject(scheme) && typeof scheme.type === 'string')],
  transform: isFunction,
  filter: isFunction,
  hideUntagged: ['a boolean', (value) => typeof value === 'boolean']
}

/** Options that Fastify itself adds to the options of a plugin. */
const fastifyOptions = new Set(['prefix', 'logLevel', 'logSerializers'])

/** Validates the options. @throws InvalidOptionsError with the name of the option, the expected value and the given one */
export function checkOptions (options: ScAsyncApiOptions): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || fastifyOptions.has(name)) continue
    const check = Object.hasOwn(checks, name) ? checks[name as keyof typeof checks] : undefined
    if (check === undefined) throw scError('SC_ERR_OPTIONS', [`There is no option "${name}"; expected some of ${Object.keys(checks).join(', ')}`])
    if (!check[1](value)) throw scError('SC_ERR_OPTIONS', [`Option ${name}: expected ${check[0]}, got ${shown(value)}`])
  }
}
