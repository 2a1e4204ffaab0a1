import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import type { ResolvedOptions, ScPluginOptions } from '../types/options.js'
import { brokerKeys } from './broker/keys.js'
import { scError } from './errors.js'
import { withHidden } from './printing.js'

/** The default values of all options that have one. */
export const defaultOptions = {
  path: '/socketcluster/',
  protocolVersion: 'auto',
  ackTimeout: 10_000,
  handshakeTimeout: 10_000,
  strictHandshake: true,
  pingInterval: 8_000,
  pingTimeout: 20_000,
  pingTimeoutDisabled: false,
  allowClientPublish: true,
  socketChannelLimit: 1_000,
  maxPayload: 65_536,
  maxBatchItems: 64,
  maxDepth: 32,
  maxNodes: 10_000,
  maxKeys: 2_000,
  maxChannelNameLength: 255,
  maxEventNameLength: 128,
  hookTimeout: 5_000,
  handlerTimeout: 9_000,
  inboundRate: 100,
  inboundBurst: 200,
  inboundByteRate: 524_288,
  inboundByteBurst: 524_288,
  inboundRateKey: null,
  inboundKeyRate: 1_000,
  inboundKeyBurst: 2_000,
  authenticateRate: 5,
  inboundQueue: 64,
  inboundQueueBytes: 262_144,
  maxConnections: 10_000,
  maxConnectionsPerIp: 0,
  maxPendingHandshakes: 1_000,
  connectionRate: 500,
  connectionBurst: 2_000,
  maxBufferedBytes: 524_288,
  maxTotalBufferedBytes: 268_435_456,
  slowConsumerPolicy: 'disconnect',
  perMessageDeflate: false,
  origins: 'same-host',
  authDefaultExpiry: 86_400,
  authSignAsync: false,
  authVerifyAsync: true,
  authFromRequest: true,
  revalidate: 'kick',
  revokeTolerance: 5,
  pubSubBatchDuration: null,
  middlewareEmitWarnings: true,
  exposeErrors: false,
  closeCode: 1001,
  closeReason: 'Server closing',
  drainTimeout: 0,
  closeTimeout: 5_000,
  channels: 'open',
  lifecycle: 'own',
  subscribeTimeout: 8_000,
  brokerPrefix: 'sc',
  gapEvent: false
} satisfies Omit<ResolvedOptions, never>

const milliseconds = Type.Integer({ minimum: 1, maximum: 0x7fffffff })
/** A limit; 0 or `false` disables it. */
const limit = Type.Union([Type.Integer({ minimum: 0 }), Type.Literal(false)])
/** A rate per second or per minute; 0 or `false` disables it. */
const rate = Type.Union([Type.Number({ minimum: 0 }), Type.Literal(false)])
const key = Type.Unsafe<string | Buffer>({})
const fn = Type.Unsafe<never>({})
const object = Type.Object({}, { additionalProperties: true })

/** The schema of the options. Functions, keys and brokers are checked where they are used. */
export const optionsSchema = Type.Object({
  path: Type.Optional(Type.String({ pattern: '^[^?#\\s]*$', maxLength: 1024 })),
  prefix: Type.Optional(Type.String({ pattern: '^[^?#\\s]*$', maxLength: 1024 })),
  protocolVersion: Type.Optional(Type.Union([Type.Literal('auto'), Type.Literal(1), Type.Literal(2)])),
  ackTimeout: Type.Optional(milliseconds),
  handshakeTimeout: Type.Optional(milliseconds),
  strictHandshake: Type.Optional(Type.Boolean()),
  pingInterval: Type.Optional(milliseconds),
  pingTimeout: Type.Optional(milliseconds),
  pingTimeoutDisabled: Type.Optional(Type.Boolean()),
  allowClientPublish: Type.Optional(Type.Boolean()),
  socketChannelLimit: Type.Optional(limit),
  maxPayload: Type.Optional(Type.Integer({ minimum: 1 })),
  maxBatchItems: Type.Optional(limit),
  maxDepth: Type.Optional(limit),
  maxNodes: Type.Optional(limit),
  maxKeys: Type.Optional(limit),
  maxChannelNameLength: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
  maxEventNameLength: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
  hookTimeout: Type.Optional(limit),
  handlerTimeout: Type.Optional(limit),
  inboundRate: Type.Optional(rate),
  inboundBurst: Type.Optional(Type.Integer({ minimum: 1 })),
  inboundByteRate: Type.Optional(rate),
  inboundByteBurst: Type.Optional(Type.Integer({ minimum: 1 })),
  inboundRateKey: Type.Optional(Type.Union([Type.Literal('ip'), Type.Literal('user'), Type.Null(), Type.Unsafe<() => string>(Type.Refine(Type.Unknown(), (value) => typeof value === 'function'))])),
  inboundKeyRate: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
  inboundKeyBurst: Type.Optional(Type.Integer({ minimum: 1 })),
  authenticateRate: Type.Optional(rate),
  inboundQueue: Type.Optional(limit),
  inboundQueueBytes: Type.Optional(limit),
  maxConnections: Type.Optional(limit),
  maxConnectionsPerIp: Type.Optional(limit),
  maxPendingHandshakes: Type.Optional(limit),
  connectionRate: Type.Optional(rate),
  connectionBurst: Type.Optional(Type.Integer({ minimum: 1 })),
  maxBufferedBytes: Type.Optional(limit),
  maxTotalBufferedBytes: Type.Optional(limit),
  slowConsumerPolicy: Type.Optional(Type.Union([Type.Literal('disconnect'), Type.Literal('drop'), Type.Literal('latest')])),
  perMessageDeflate: Type.Optional(Type.Union([Type.Boolean(), object])),
  origins: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1 })])),
  hosts: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
  authKey: Type.Optional(key),
  authPrivateKey: Type.Optional(key),
  authPublicKey: Type.Optional(key),
  authAlgorithm: Type.Optional(Type.String()),
  authVerifyAlgorithms: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
  authAudience: Type.Optional(Type.Union([Type.String({ minLength: 1, maxLength: 255 }), Type.Literal(false)])),
  authDefaultExpiry: Type.Optional(Type.Integer({ minimum: 1 })),
  authSignAsync: Type.Optional(Type.Boolean()),
  authVerifyAsync: Type.Optional(Type.Boolean()),
  jwtNamespace: Type.Optional(Type.String({ minLength: 1 })),
  authFromRequest: Type.Optional(Type.Boolean()),
  revalidate: Type.Optional(Type.Union([Type.Boolean(), Type.Literal('kick'), Type.Literal('suspend')])),
  revokeTolerance: Type.Optional(Type.Number({ minimum: 0, maximum: 3_600 })),
  authEngine: Type.Optional(object),
  codecEngine: Type.Optional(object),
  pubSubBatchDuration: Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.Null()])),
  middlewareEmitWarnings: Type.Optional(Type.Boolean()),
  exposeErrors: Type.Optional(Type.Boolean()),
  closeCode: Type.Optional(Type.Union([Type.Literal(1000), Type.Literal(1001), Type.Integer({ minimum: 3000, maximum: 4999 })])),
  closeReason: Type.Optional(Type.String()),
  drainTimeout: Type.Optional(Type.Integer({ minimum: 0, maximum: 0x7fffffff })),
  closeTimeout: Type.Optional(milliseconds),
  channels: Type.Optional(Type.Union([Type.Literal('open'), Type.Literal('declared')])),
  lifecycle: Type.Optional(Type.Union([Type.Literal('own'), Type.Literal('request')])),
  validatorCompiler: Type.Optional(fn),
  schemaErrorFormatter: Type.Optional(fn),
  requestHeaders: Type.Optional(Type.Array(Type.String())),
  broker: Type.Optional(object),
  subscribeTimeout: Type.Optional(Type.Integer({ minimum: 0, maximum: 0x7fffffff })),
  brokerPrefix: Type.Optional(Type.String({ minLength: 1, pattern: '^[A-Za-z0-9_-]+$' })),
  brokerKey: Type.Optional(Type.Unsafe<string | Buffer | Array<string | Buffer>>({})),
  gapEvent: Type.Optional(Type.Union([Type.String({ pattern: '^[^#]', maxLength: 128 }), Type.Literal(false)]))
}, { additionalProperties: false })

const compiled = Compile(optionsSchema)

/** The limits that 0 disables. A disabled limit is a warning in the log. */
const limits = ['socketChannelLimit', 'maxBatchItems', 'maxDepth', 'maxNodes', 'maxKeys', 'hookTimeout', 'handlerTimeout', 'inboundRate', 'inboundByteRate', 'authenticateRate', 'inboundQueue', 'inboundQueueBytes',
  'maxConnections', 'maxConnectionsPerIp', 'maxPendingHandshakes', 'connectionRate', 'maxBufferedBytes', 'maxTotalBufferedBytes'] as const

/** Options that Fastify itself adds to the options of a plugin. */
const fastifyOptions = new Set(['logLevel', 'logSerializers'])

/**
 * Validates the options and adds the defaults.
 * @param contextPrefix the prefix of the context that registers the plugin; the returned `path` includes it and the option
 * `prefix`
 * @returns the frozen options, and the warnings to log
 * @throws InvalidOptionsError with the name of the option, the expected value and the given one
 */
export function resolveOptions (raw: ScPluginOptions = {}, contextPrefix = ''): { options: ResolvedOptions, warnings: string[] } {
  const given: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(raw)) {
    if (value === undefined || fastifyOptions.has(name)) continue
    if (!Object.hasOwn(optionsSchema.properties, name)) throw scError('SC_ERR_OPTIONS', [`There is no option "${name}"`])
    given[name] = value
  }
  if (!compiled.Check(given)) throw scError('SC_ERR_OPTIONS', [explain(given)])
  if (given.brokerKey !== undefined) brokerKeys(given.brokerKey)
  const warnings: string[] = []
  for (const name of limits) {
    if (given[name] === false) given[name] = 0
    if (given[name] === 0) warnings.push(`The limit ${name} is turned off`)
  }
  const options = { ...defaultOptions, ...given as Static<typeof optionsSchema> } as ResolvedOptions
  if (!options.pingTimeoutDisabled && options.pingTimeout <= options.pingInterval) {
    warnings.push(`pingTimeout (${options.pingTimeout} ms) should be longer than pingInterval (${options.pingInterval} ms), or idle clients are closed`)
  }
  // Only the plugin's own options are normalized: the prefix of the context stays as Fastify has it.
  options.path = `${contextPrefix.replace(/\/$/, '')}/${[options.prefix ?? '', options.path].map((part) => part.replace(/^\/+|\/+$/g, '')).filter((part) => part !== '').join('/')}/`.replace(/\/\/$/, '/')
  return { options: Object.freeze(withoutSecrets(options)), warnings }
}

/** Options that are keys, or objects of the application that may contain keys. */
const secretOptions = ['authKey', 'authPrivateKey', 'authPublicKey', 'brokerKey', 'authEngine', 'codecEngine', 'broker'] as const

/** Makes the secret options non-enumerable, so that they are readable by name but not copied or printed. */
function withoutSecrets (options: ResolvedOptions): ResolvedOptions {
  const secrets: Record<string, unknown> = {}
  for (const name of secretOptions) {
    if (options[name] === undefined) continue
    secrets[name] = options[name]
    delete options[name]
  }
  return withHidden(options, secrets)
}

function explain (given: Record<string, unknown>): string {
  const [first] = compiled.Errors(given)
  const name = first?.instancePath.split('/')[1] ?? ''
  let value: string
  try {
    value = JSON.stringify(given[name]) ?? String(given[name])
  } catch {
    value = typeof given[name]
  }
  // An error message must not contain secrets.
  if (name.startsWith('auth')) value = typeof given[name]
  const expected = (optionsSchema.properties as Record<string, object>)[name]
  return `Option ${name}: expected ${describe(expected as Shape)}, got ${value}`
}

interface Shape { type?: string, const?: unknown, anyOf?: Shape[], minimum?: number, maximum?: number, pattern?: string, items?: Shape }

function describe (schema: Shape): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map(describe).join(' or ')
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.type === 'array') return `an array of ${describe(schema.items ?? {})}`
  const range = schema.minimum !== undefined ? (schema.maximum !== undefined ? ` from ${schema.minimum} to ${schema.maximum}` : ` of at least ${schema.minimum}`) : ''
  return `${schema.type ?? 'a value'}${range}${schema.pattern !== undefined ? ` matching ${schema.pattern}` : ''}`
}
