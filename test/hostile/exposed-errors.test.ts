import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import createError from '@fastify/error'
import t from 'tap'
import { Type } from 'typebox'
import jwt from 'jsonwebtoken'
import type { ScErrorCode } from '../../lib/errors.js'
import { ScError, ScRefusal, errorTable, type ScServerSocket } from '../../lib/index.js'
import { dehydrateError, hydrateError, presentError } from '../../lib/protocol/wire-errors.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'

const httpErrors = createRequire(import.meta.url)('http-errors') as (status: number, message: string, fields?: object) => Error

/** What no client may read: texts and fields of drivers, HTTP clients and the system. */
const secret = 'SECRET-OF-THE-DATABASE'

class DatabaseError extends Error {
  override name = 'DatabaseError'
  code = '23505'
  query = `select ${secret}`
  parameters = [secret]
}

class HttpClientError extends Error {
  override name = 'HttpClientError'
  config = { headers: { authorization: secret } }
  request = { socket: { key: secret } }
  response = Buffer.from(secret)
}

/** Errors that nobody made for clients, by what they are. `passed` says what is seen of one that was passed on purpose; nothing by default. */
const kept: Record<string, [make: () => unknown, passed?: object | string]> = {
  'a plain error': [() => new Error(secret), { message: secret }],
  'a text': [() => secret, secret],
  // It says of itself that it may be shown, but whoever asked that client has not said so.
  'what another client answered': [() => hydrateError({ name: 'FastifyError', message: secret, code: 'FST', statusCode: 404, expose: true }), { message: secret, code: 'FST', statusCode: 404 }],
  'a native one': [() => new TypeError(secret)],
  'an aggregate': [() => new AggregateError([new Error(secret)], secret)],
  'of the system': [() => Object.assign(new Error(secret), { code: 'ECONNREFUSED', errno: -111, syscall: 'connect', address: secret, port: 5432 })],
  'of a driver without a class': [() => Object.assign(new Error(secret), { errno: 1062, sql: secret, sqlMessage: secret })],
  'of a database': [() => new DatabaseError('duplicate'), { name: 'DatabaseError', message: 'duplicate', code: '23505' }],
  'of an HTTP client': [() => new HttpClientError('failed'), { name: 'HttpClientError', message: 'failed' }],
  'with a 4xx status of its own': [() => Object.assign(new DatabaseError('conflict'), { statusCode: 409 }), { name: 'DatabaseError', message: 'conflict', code: '23505', statusCode: 409 }],
  'expose: false': [() => Object.assign(new Error(secret), { expose: false })],
  '5xx of http-errors': [() => httpErrors(500, secret)],
  '5xx of @fastify/error': [() => new (createError('FST_X', secret, 500))()],
  'the library’s own internal one': [() => new ScError('SC_ERR_INTERNAL', [], { cause: new Error(secret) })]
}

/** Errors that were made for clients, and all that clients see of them. */
const shown: Record<string, [make: () => Error, seen: object]> = {
  'a refusal': [() => new ScRefusal('no', { name: 'NoError', code: 7, left: 1, socket: new DatabaseError('x') }), { name: 'NoError', message: 'no', code: 7, left: 1, socket: { name: 'DatabaseError', message: 'x' } }],
  'a bare refusal': [() => new ScRefusal('no'), { name: 'RefusalError', message: 'no' }],
  'expose: true': [() => Object.assign(new DatabaseError('no'), { expose: true, query: 1, parameters: 2 }), { name: 'DatabaseError', message: 'no', code: '23505' }],
  '4xx of http-errors': [() => httpErrors(401, 'no', { hint: secret }), { name: 'UnauthorizedError', message: 'no', statusCode: 401 }],
  '4xx of @fastify/error': [() => Object.assign(new (createError('FST_X', 'no', 403))(), { hint: secret }), { name: 'FastifyError', message: 'no', code: 'FST_X', statusCode: 403 }],
  'of the library': [() => new ScError('SC_ERR_RATE', [5], { retryAfter: 5, query: secret }), { name: 'RateLimitError', message: 'Too many messages; try again in 5 ms', code: 'SC_ERR_RATE', retryAfter: 5 }]
}

const declared = { DatabaseError: Type.Object({ table: Type.String(), inner: Type.Object({ id: Type.Integer() }) }) }

for (const version of [1, 2] as const) {
  t.test(`protocol ${version}`, async (t) => {
    let make: () => unknown = () => new Error('nothing')
    const lines: any[] = []
    const logger = { level: 'error', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } }
    const { port, nextSocket, sc } = await serve(t, { protocolVersion: version, authenticateRate: 0, inboundRate: 0 }, (app) => {
      app.scEvent('handler', {}, () => { throw make() })
      app.scEvent('async handler', {}, async () => { throw make() })
      app.scEvent('of a request', { lifecycle: 'request' }, async () => { throw make() })
      app.scEvent('pre', { preHandler: () => { throw make() } }, () => {})
      app.scEvent('validated', { data: {}, validatorCompiler: () => () => { throw make() } }, () => {})
      app.scEvent('validated later', { data: {}, validatorCompiler: () => async () => { throw make() } }, () => {})
      app.scEvent('hooked', {}, () => {})
      app.scEvent('hooked later', {}, () => {})
      app.scEvent('declared', { errors: declared }, () => { throw Object.assign(new DatabaseError('no'), { table: 'users', inner: { id: 1, key: secret } }) })
      app.scHook('emit', ({ event }) => { if (event === 'hooked') throw make() })
      app.scHook('emit', async ({ event }) => { if (event === 'hooked later') throw make() })
      app.scHook('subscribe', ({ channel }) => { if (channel === 'hook') throw make() })
      app.scHook('publishIn', async ({ channel }) => { if (channel === 'hook') throw make() })
      app.scHook('authenticate', ({ authToken }) => { if (authToken.refuse === true) throw make() })
      app.scHook('handshakeSC', ({ socket }) => { if (socket.request.url!.includes('refuse')) throw make() })
      app.scChannel('policy', { subscribe: () => { throw make() }, publish: async () => { throw make() } })
    }, { logger })
    sc.addMiddleware('emit', async (req) => { if (req.event === 'middleware') throw make() })
    sc.addMiddleware('emit', (req, next) => next(req.event === 'next' ? make() as Error : undefined))
    const [socket, client] = await Promise.all([nextSocket() as Promise<ScServerSocket>, RawClient.connect(t, port, { version })])
    socket.on('listener', () => { throw make() })
    socket.on('async listener', async () => { throw make() })
    socket.on('res', (_data, res) => res(make()))
    const follow = async (): Promise<void> => { for await (const request of socket.procedure('stream')) request.error(make()) }
    follow().catch(() => {})
    const token = jwt.sign({ refuse: true }, authKey)
    const refusedToken = async (): Promise<any> => {
      const { error, data } = await client.call('#authenticate', token)
      return error ?? data.authError
    }
    const handshake = async (): Promise<any> => {
      const other = await RawClient.open(t, port, { version, path: '/socketcluster/?refuse' })
      return (await other.call('#handshake', {})).error
    }
    const call = (event: string, data?: unknown) => async (): Promise<any> => (await client.call(event, data)).error

    const thrown: Record<string, () => Promise<any>> = {
      subscribe: call('#subscribe', { channel: 'hook' }),
      'subscribe policy': call('#subscribe', { channel: 'policy' }),
      publish: call('#publish', { channel: 'hook', data: 1 }),
      'publish policy': call('#publish', { channel: 'policy', data: 1 }),
      authenticate: refusedToken,
      handshake
    }
    for (const event of ['handler', 'async handler', 'of a request', 'pre', 'hooked', 'hooked later', 'middleware', 'listener', 'async listener', 'validated', 'validated later']) thrown[event] = call(event, 1)
    const passed: Record<string, () => Promise<any>> = { next: call('next'), res: call('res'), stream: call('stream') }

    for (const [what, [making, ofPassed]] of Object.entries(kept)) {
      make = making
      for (const [where, act] of [...Object.entries(thrown), ...Object.entries(passed)]) {
        const seen = await act()
        if (where in passed && ofPassed !== undefined) {
          t.strictSame(typeof seen === 'object' ? { ...seen, name: undefined } : seen, typeof ofPassed === 'object' ? { ...ofPassed, name: undefined } : ofPassed, `${what}, passed to ${where}`)
          continue
        }
        t.match(seen, { name: 'Error', message: 'Internal error', code: 'SC_ERR_INTERNAL', id: /^[0-9a-f-]{36}$/ }, `${what}, thrown by ${where}`)
        t.notMatch(JSON.stringify(seen), secret)
        t.ok(lines.some(({ errorId }) => errorId === seen.id), 'its id is in the log')
      }
    }
    for (const [what, [making, expected]] of Object.entries(shown)) {
      make = making
      for (const [where, act] of Object.entries(thrown)) t.strictSame(await act(), expected, `${what}, thrown by ${where}`)
    }
    t.strictSame((await client.call('declared')).error, { name: 'DatabaseError', message: 'no', code: '23505', table: 'users', inner: { id: 1 } }, 'the fields that the contract declares')
    make = () => Object.assign(new Error('no'), { name: 'OwnError', left: 1, deep: { list: [1, { a: null }] }, socket, buffer: Buffer.from(secret), of: new DatabaseError('x'), server: sc })
    for (const [where, act] of Object.entries(passed)) {
      t.strictSame(await act(), { name: 'OwnError', message: 'no', left: 1, deep: { list: [1, { a: null }] }, of: { name: 'DatabaseError', message: 'x' } }, `plain data passed to ${where}`)
    }
  })
}

t.test('no error of the library tells clients what other parts had to say', async (t) => {
  const lib = fileURLToPath(new URL('../../lib/', import.meta.url))
  /** Rows that quote, and whose quotes are for those who read them. */
  const known: Record<string, string> = {
    SC_ERR_CONTRACT: 'stops the start, or is about names',
    SC_ERR_HANDSHAKE_BLOCKED: 'quotes what may be shown',
    SC_ERR_KICKED_OUT: 'quotes what kickOut tells the client',
    SC_ERR_MESSAGE: 'about what the client sent',
    SC_ERR_SSE_ENDED: 'quotes the reason that disconnect tells the client'
  }
  const quoting = new Set<string>()
  for (const file of readdirSync(lib, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue
    // What is made of another error's text, or of a reason that somebody gave.
    for (const [, code] of readFileSync(`${lib}${file}`, 'utf8').matchAll(/scError\('(SC_ERR_\w+)', \[(?:(?!scError)[^\n{])*?(?:messageOf\(|\.message\b|\breason\b)/g)) quoting.add(code!)
  }
  t.ok(quoting.size > 10, [...quoting].join(', '))
  for (const code of Object.keys(known)) t.ok(quoting.delete(code), `${code} quotes`)
  const rows: Record<string, { message: string, wire?: string }> = errorTable
  for (const code of quoting) t.type(rows[code]!.wire, 'string', `${code} quotes, so clients read another text`)
  for (const [code, { message, wire }] of Object.entries(rows)) {
    if (wire === undefined) continue
    const count = (text: string): number => text.split('%s').length - 1
    // Names that the client knows come first.
    const args = Array.from({ length: count(message) }, (_, i) => i < count(wire) ? 'public' : secret)
    const error = new ScError(code as ScErrorCode, args, { cause: new Error(secret) })
    t.match(error.message, secret, `${code}: the log reads it`)
    for (const shown of [presentError(error, 'thrown'), presentError(error, 'deliberate'), presentError(error, 'own'), dehydrateError(error)]) {
      t.notMatch(JSON.stringify(shown), secret, `${code}: no client does`)
      t.match(shown, { id: error.id }, `${code}: by its id it is found in the log`)
    }
    t.notMatch(error.wireMessage, secret, code)
  }
})
