import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ScHttpOperation, ScHttpOperationName } from '../../types/http.js'
import { cursorOf, keyOf } from '../cluster/page-cursor.js'
import { scError } from '../errors.js'
import { writeLine } from '../log.js'
import { type OperationOptions, textOf } from './operation-options.js'
import { operationError } from './operation-errors.js'
import type { Asked } from './operation-schemas.js'
import { channelsOf, publishAll } from './publish.js'

/** What an operation does for a request. */
interface Operation<Name extends ScHttpOperationName> {
  readonly method: 'GET' | 'POST'
  /** What `authorize` is asked for. */
  describe (asked: Asked[Name]): ScHttpOperation
  run (asked: Asked[Name], call: Call): Promise<object>
}

/** A request that is allowed. */
interface Call {
  readonly instance: FastifyInstance
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly options: OperationOptions
  readonly principal: string | undefined
}

const operations: { readonly [Name in ScHttpOperationName]: Operation<Name> } = {
  publish: {
    method: 'POST',
    describe: (body) => ({ operation: 'publish', channels: channelsOf(body) }),
    async run (body, { instance, request, reply, options, principal }) {
      const given = request.headers['idempotency-key']
      const idempotency = given === undefined
        ? null
        : { key: `http ${hash([instance.prefix, principal ?? null, given])}`, ttl: options.idempotencyTtl }
      const { results, replayed } = await publishAll(instance.scServer, body, idempotency, request.log)
      if (replayed) reply.header('idempotent-replayed', 'true')
      return { results }
    }
  },
  kick: {
    method: 'POST',
    describe: ({ filter, channel }) => ({ operation: 'kick', filter, channel }),
    run: ({ filter, channel, message }, { instance }) => instance.scServer.cluster.kickOut(filter, channel, message)
  },
  disconnect: {
    method: 'POST',
    describe: ({ filter }) => ({ operation: 'disconnect', filter }),
    run: ({ filter, code, reason }, { instance }) => instance.scServer.cluster.disconnectSockets(filter, code, reason)
  },
  revoke: {
    method: 'POST',
    describe: ({ filter }) => ({ operation: 'revoke', filter }),
    run: ({ filter }, { instance }) => instance.scServer.cluster.revoke(filter)
  },
  channels: {
    method: 'GET',
    describe: ({ prefix }) => ({ operation: 'channels', ...(prefix === undefined ? {} : { prefix }) }),
    run: (query, { instance }) => listOf(instance.scServer.cluster.listChannels(query))
  },
  sockets: {
    method: 'GET',
    describe: ({ channel, user }) => ({ operation: 'sockets', ...(channel === undefined ? {} : { channel }), ...(user === undefined ? {} : { user }) }),
    run: (query, { instance }) => listOf(instance.scServer.cluster.listSockets(query))
  },
  nodes: {
    method: 'GET',
    describe: () => ({ operation: 'nodes' }),
    run: (query, { instance }) => listOf(instance.scServer.cluster.listNodes(query))
  },
  history: {
    method: 'GET',
    describe: ({ channel }) => ({ operation: 'history', channel }),
    async run ({ channel, ...query }, { instance }) {
      const { gap, ...history } = await instance.scServer.exchange.history(channel, query)
      return gap === null ? history : { ...history, gap }
    }
  },
  presence: {
    method: 'GET',
    describe: ({ channel }) => ({ operation: 'presence', channel }),
    async run ({ channel, limit = 100, cursor }, { instance }) {
      const after = cursor === undefined ? undefined : keyOf('presence', cursor)
      const { members, total, complete } = await instance.scServer.exchange.presence(channel)
      const left = members.filter(({ key }) => after === undefined || key > after).sort((a, b) => a.key < b.key ? -1 : 1)
      const page = left.slice(0, limit)
      return { members: page, total, complete, ...(left.length > page.length ? { next: cursorOf(page.at(-1)!.key) } : {}) }
    }
  }
}

export function methodOf (name: ScHttpOperationName): 'GET' | 'POST' {
  return operations[name].method
}

/** Carries out an operation for a request: asks `authorize`, acts, answers, and logs what changed. */
export async function handle<Name extends ScHttpOperationName> (name: Name, instance: FastifyInstance, options: OperationOptions, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const operation: Operation<Name> = operations[name]
  const asked = (operation.method === 'POST' ? request.body : request.query) as Asked[Name]
  // Nobody else may get it from a cache, also where cookies tell who asks.
  reply.header('cache-control', 'no-store')
  let principal: string | undefined
  let answer: object
  let denied = true
  try {
    const described = operation.describe(asked)
    if (await options.authorize.call(instance, request, described) !== true) throw scError('SC_ERR_NOT_ALLOWED', [name])
    principal = principalOf(options, instance, request)
    denied = false
    answer = await operation.run(asked, { instance, request, reply, options, principal })
  } catch (err) {
    const { statusCode, headers, body } = operationError(err, request.log, denied)
    log(name, request, principal, asked, { statusCode, code: body.code })
    return reply.code(statusCode).headers(headers).send(body)
  }
  log(name, request, principal, asked, { statusCode: 200, ...countsOf(answer) })
  return reply.send(answer)
}

function principalOf ({ principal }: OperationOptions, instance: FastifyInstance, request: FastifyRequest): string | undefined {
  return principal === undefined ? undefined : textOf('principal', principal.call(instance, request))
}

/** Writes one line for each operation that changes something, also for one that was refused. Messages are not logged. */
function log (name: ScHttpOperationName, { log }: FastifyRequest, principal: string | undefined, asked: object, outcome: Record<string, unknown>): void {
  if (methodOf(name) === 'GET') return
  const { channel, channels, filter } = asked as Partial<Asked['kick'] & Asked['publish']>
  writeLine(log, 'info', `${name} over HTTP`, { operation: name, principal, channel, channels: channels === undefined ? undefined : JSON.stringify(channels), ...filter, ...outcome })
}

function countsOf (answer: object): Record<string, unknown> {
  const { sockets, missing, results } = answer as { sockets?: number, missing?: string[], results?: Array<{ error?: object }> }
  if (results !== undefined) return { failed: results.filter(({ error }) => error !== undefined).length || undefined }
  return { sockets, missing: missing?.length || undefined }
}

async function listOf<Item> (page: Promise<{ items: Item[], next: string | null, missing: string[] }>): Promise<object> {
  const { items, next, missing } = await page
  return next === null ? { items, missing } : { items, next, missing }
}

function hash (value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url')
}
