import type { FastifyInstance } from 'fastify'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { Type } from 'typebox'
import { type ScEventContract, type ScPluginOptions, ScRefusal } from '../../lib/index.js'
import { type App, type Client, connect14, connect20, startApp } from '../helpers/app.js'
import { authKey } from '../helpers/serve.js'

// One declaration, called by clients of both generations and over HTTP: the same hooks run in the same order, and the answers, the
// denials and the validation errors are the same.

/** What a call came to: the answer, or the error, and what ran for it. */
interface Outcome {
  readonly answer?: unknown
  readonly error?: unknown
  readonly status?: number
  readonly ran: unknown[]
}

/** How a hook ends. */
type Ending = (hook: { data?: any, next?: (err?: any, detail?: any) => void }) => unknown

const later = async (): Promise<void> => { await new Promise((resolve) => setImmediate(resolve)) }

/** Endings of hooks and handlers, with the status that an HTTP caller gets when a hook ends like this. */
const endings: Record<string, { readonly end: Ending, readonly denied?: number, readonly middlewareOnly?: true, readonly thrown?: false }> = {
  passes: { end: () => {} },
  'passes later': { end: later },
  'replaces the data': { end: (hook) => { if (hook.data !== undefined) hook.data = { ...hook.data, n: hook.data.n + 1 } } },
  'replaces the data later': {
    end: async (hook) => {
      await later()
      if (hook.data !== undefined) hook.data = { ...hook.data, n: hook.data.n + 1 }
    }
  },
  'calls next later': { end: ({ next }) => { setImmediate(() => next!()) }, middlewareOnly: true },
  'throws a refusal': { end: () => { throw new ScRefusal('no', { name: 'NotYours', code: 'E_NO', seat: 5 }) }, denied: 403 },
  'rejects with a refusal': {
    end: async () => {
      await later()
      throw new ScRefusal('no', { name: 'NotYours', seat: 5 })
    },
    denied: 403
  },
  'throws a refusal with a status': { end: () => { throw new ScRefusal('pay', { name: 'Unpaid', statusCode: 402 }) }, denied: 402 },
  'throws an error that nobody may see': { end: () => { throw new Error('SELECT secret') }, denied: 500 },
  'rejects with an error that nobody may see': { end: async () => { throw Object.assign(new TypeError('secret'), { query: 'secret' }) }, denied: 500 },
  'throws a text': { end: () => { throw 'secret' }, denied: 500 }, // eslint-disable-line no-throw-literal
  'never ends': { end: () => new Promise(() => {}), denied: 504 },
  'calls next with an error': { end: ({ next }) => { next!(Object.assign(new Error('blocked'), { name: 'Blocked' })) }, denied: 403, middlewareOnly: true },
  'calls next with an error later': { end: ({ next }) => { setImmediate(() => next!(new Error('blocked later'))) }, denied: 403, middlewareOnly: true },
  'calls next with a text': { end: ({ next }) => { next!('blocked') }, denied: 403, middlewareOnly: true },
  'blocks silently': { end: ({ next }) => { next!(true) }, denied: 403, middlewareOnly: true }
}

/** Where a hook is added. */
const places = {
  'emit middleware': 'middleware',
  'emit hook': 'hook',
  'preHandler hook': 'hook',
  'preHandler of the contract': 'contract',
  handler: 'handler'
} as const
type Place = keyof typeof places

interface Row {
  readonly name: string
  readonly place: Place
  readonly ending: string
  readonly data: unknown
}

/** Every place with every ending that it can have, and data that do not fit. */
function * rows (): Iterable<Row> {
  for (const place of Object.keys(places) as Place[]) {
    for (const [ending, { middlewareOnly }] of Object.entries(endings)) {
      if (middlewareOnly === true && places[place] !== 'middleware') continue
      yield { name: `${place} ${ending}`, place, ending, data: { n: 1 } }
    }
  }
  for (const data of [undefined, null, 'text', 7, [], {}, { n: '5' }, { n: 1.5 }, { n: 5, more: [1, { a: null }] }]) {
    yield { name: `data ${JSON.stringify(data)}`, place: 'handler', ending: 'passes', data }
  }
}

/** Event names by row; the rows of one server are told apart by the name of the event. */
const table = [...rows()].map((row, at) => ({ ...row, event: `e${at}` }))

const ran: unknown[] = []

function declareRow (app: FastifyInstance, { event, place, ending }: typeof table[number]): void {
  const { end } = endings[ending]!
  const contract: ScEventContract = {
    http: true,
    data: Type.Object({ n: Type.Integer() }),
    response: Type.Object({ n: Type.Integer(), by: Type.String() }),
    // Apart from the time of hooks: one of them is always the first.
    timeout: place === 'handler' && ending === 'never ends' ? 150 : 60_000,
    preHandler: (request) => {
      ran.push(['contract', request.data])
      if (place === 'preHandler of the contract') return end(request) as void
    }
  }
  app.register(async (child) => {
    child.scHook('emit', (request) => {
      ran.push(['emit', request.data])
      if (place === 'emit hook') return end(request) as void
    })
    child.scHook('preHandler', (request) => {
      ran.push(['preHandler', request.data])
      if (place === 'preHandler hook') return end(request) as void
    })
    child.scHook('onResponse', ({ response, data }) => { ran.push(['onResponse', data, response]) })
    child.scHook('onError', ({ error, data }) => { ran.push(['onError', data, error instanceof Error ? error.message : error]) })
    child.scEvent(event, contract, async (data: any, { socket }) => {
      ran.push(['handler', data])
      if (place === 'handler') await end({})
      return { n: data.n, by: String(socket.authToken?.sub), secret: 'not in the schema' }
    })
  })
}

/** Calls an event over HTTP. The error is what the client of a websocket gets: the body without what HTTP adds. */
async function overHttp ({ port }: App, event: string, data: unknown, headers: Record<string, string> = {}): Promise<Omit<Outcome, 'ran'>> {
  const response = await fetch(`http://127.0.0.1:${port}/events/${event}`, {
    method: 'POST',
    headers: { ...(data === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(data === undefined ? {} : { body: JSON.stringify(data) })
  })
  const text = await response.text()
  if (response.ok) return { status: response.status, answer: text === '' ? undefined : JSON.parse(text) }
  const { statusCode, error, ...rest } = JSON.parse(text)
  if (statusCode !== undefined && statusCode !== response.status) throw new Error(`status ${statusCode} in the body, ${response.status} in the head`)
  return { status: response.status, error: comparable({ ...rest, ...(rest.errorId === undefined ? {} : { id: rest.errorId }) }) }
}

async function byClient (client: Client, event: string, data: unknown): Promise<Omit<Outcome, 'ran'>> {
  try {
    return { answer: await client.call(event, data) }
  } catch (err: any) {
    return { error: comparable(typeof err === 'string' ? { message: err } : { ...err, message: err.message, name: err.name }) }
  }
}

/** An error without what differs between two calls or between clients. */
function comparable ({ id, errorId, statusCode, stack, ...error }: any): unknown {
  return { ...error, name: error.name ?? 'Error', ...(id === undefined ? {} : { id: typeof id }) }
}

async function observe (app: App, call: () => Promise<Omit<Outcome, 'ran'>>): Promise<Outcome> {
  ran.length = 0
  const outcome = await call()
  // What observes runs after the answer.
  await later()
  await later()
  return { ...outcome, ran: structuredClone(ran) }
}

const options: ScPluginOptions = { hookTimeout: 1_000, inboundRate: 0, authenticateRate: 0 }

t.test('answers, denials and validation errors are equal, and the same hooks run', async (t) => {
  const app = await startApp(t, options, (app) => {
    for (const row of table) declareRow(app, row)
  })
  app.sc.addMiddleware('emit', (request, next) => {
    const row = table.find(({ event }) => event === request.event)!
    ran.push(['middleware', request.data])
    const { end } = endings[row.ending]!
    if (row.place !== 'emit middleware') return next()
    const hook = Object.defineProperty({ next }, 'data', { get: () => request.data, set: (data) => { request.data = data } })
    const result = end(hook) as Promise<void> | undefined
    if (result instanceof Promise) return result.then(() => { next() }, next)
    if (endings[row.ending]!.middlewareOnly !== true) next()
  })
  const token = jwt.sign({ sub: 'ann' }, authKey, { expiresIn: 60 })
  const clients = [await connect14(t, app), await connect20(t, app)]
  for (const client of clients) await client.authenticate(token)
  let compared = 0
  for (const row of table) {
    const http = await observe(app, () => overHttp(app, row.event, row.data, { authorization: `Bearer ${token}` }))
    const { status, ...outcome } = http
    for (const client of clients) {
      t.strictSame(outcome, await observe(app, () => byClient(client, row.event, row.data)), `${row.name}: client ${client.generation} and HTTP`)
      compared++
    }
    const invalid = row.name.startsWith('data') && !/"n":\d+[,}]/.test(row.name)
    const { denied } = endings[row.ending]!
    const wanted = invalid ? 400 : denied === undefined ? 200 : denied === 403 && row.place === 'handler' ? 400 : denied
    t.equal(status, wanted, `${row.name}: status`)
    if (denied === undefined && !invalid) t.match(http.answer, { n: Number, by: 'ann', secret: undefined }, row.name)
    else t.notMatch(JSON.stringify(http), /secret/.test(JSON.stringify(http.error)) ? /./ : /^$/, `${row.name}: no inner text`)
    if (denied !== undefined && row.place !== 'handler') t.notOk(http.ran.some((step) => (step as unknown[])[0] === 'handler'), `${row.name}: the handler does not run`)
  }
  t.ok(compared >= 120, `${compared} comparisons`)
})

// Hooks of the handshake run for each call: nobody gets past them by calling over HTTP.

const handshakeLines = ['handshakeWS', 'handshakeSC', 'authenticate'] as const

for (const line of handshakeLines) {
  for (const [ending, { end, denied, middlewareOnly }] of Object.entries(endings)) {
    if (ending.startsWith('replaces')) continue
    t.test(`${line} middleware ${ending}`, async (t) => {
      let handled = 0
      const app = await startApp(t, { ...options, exposeErrors: false }, (app) => {
        app.scEvent('act', { http: true }, (_data, { socket }) => {
          handled++
          return { state: socket.authState }
        })
      })
      app.sc.addMiddleware(line, ((_request: unknown, next: (err?: unknown) => void) => {
        const result = end({ next }) as Promise<void> | undefined
        if (result instanceof Promise) return result.then(() => { next() }, next)
        if (middlewareOnly !== true) next()
      }) as never)
      const token = jwt.sign({ sub: 'ann' }, authKey, { expiresIn: 60 })
      const http = await overHttp(app, 'act', undefined, { authorization: `Bearer ${token}` })
      for (const connect of [connect14, connect20]) {
        const client = await connect(t, app, { wait: false, connectTimeout: 5_000 })
        if (denied === undefined) {
          await client.nextEvent('connect')
          await client.authenticate(token)
          t.same(await client.call('act'), { state: 'authenticated' }, `client ${client.generation}`)
          t.match(http, { status: 200, answer: { state: 'authenticated' } }, 'HTTP')
          continue
        }
        if (line === 'authenticate') {
          await client.nextEvent('connect')
          const { authError, ...rest } = await client.authenticate(token).catch((err: unknown) => ({ authError: err })) as { authError: any }
          t.notMatch(rest, { isAuthenticated: true })
          t.equal(client.raw.authState, 'unauthenticated', `client ${client.generation}`)
          if (typeof authError === 'object') t.match(http.error, { name: authError.name, message: authError.message.replace(/^secret$/, 'Internal error') }, `the same error over HTTP as for client ${client.generation}`)
        } else {
          await client.nextEvent('connectAbort')
          t.equal(client.state, 'closed', `client ${client.generation}`)
        }
      }
      if (denied === undefined) return
      t.equal(handled, 0, 'no event was handled')
      t.equal(http.status, line === 'authenticate' && denied === 403 && ending !== 'blocks silently' ? 401 : denied)
      t.notMatch(JSON.stringify(http), /secret/)
      t.ok(app.sc.stats().blocked >= 1)
    })
  }
}

t.test('tokens: expired, revoked, of another key, for another audience, not active', async (t) => {
  const app = await startApp(t, { ...options, authAudience: 'sockets' }, (app) => {
    app.scEvent('who', { http: true }, (_data, { socket }) => ({ sub: socket.authToken?.sub ?? null, signed: socket.signedAuthToken !== null }))
  })
  const sign = (claims: object, key = authKey): string => jwt.sign({ sub: 'ann', aud: 'sockets', ...claims }, key)
  await app.sc.revoke({ user: 'gone' })
  const now = Math.floor(Date.now() / 1000)
  const tokens: Record<string, string> = {
    expired: sign({ exp: now - 60 }),
    revoked: sign({ sub: 'gone', exp: now + 60 }),
    forged: sign({ exp: now + 60 }, 'another key of more than thirty-two bytes, too'),
    'for another audience': sign({ aud: 'api', exp: now + 60 }),
    'not active': sign({ nbf: now + 3_600, exp: now + 7_200 }),
    'no token': 'abc'
  }
  const bad = new Set<string>()
  app.sc.on('badSocketAuthToken', (socket) => bad.add(socket.transport))
  for (const [name, token] of Object.entries(tokens)) {
    const http = await overHttp(app, 'who', undefined, { authorization: `Bearer ${token}` })
    t.equal(http.status, 401, name)
    for (const connect of [connect14, connect20]) {
      const client = await connect(t, app)
      const refusal = await client.authenticate(token).then((status: any) => status.authError, (err: unknown) => err)
      t.match(http.error, { name: refusal.name, message: refusal.message }, `${name}, client ${client.generation}`)
      t.same(await client.call('who'), { sub: null, signed: false })
    }
  }
  t.same([...bad].sort(), ['http', 'websocket'], 'the server tells of both')
  t.same((await overHttp(app, 'who', undefined)).answer, { sub: null, signed: false }, 'without a token')
  t.same((await overHttp(app, 'who', undefined, { authorization: `bearer ${sign({ exp: now + 60 })}` })).answer, { sub: 'ann', signed: true })
})

t.test("a Fastify hook of the application that replies or throws stops the call, and its user is the caller's", async (t) => {
  let handled = 0
  const app = await startApp(t, options, async (app) => {
    app.decorateRequest('user', null as any)
    app.addHook('onRequest', async (request, reply) => {
      const key = request.headers['x-key']
      if (key === 'good') request.user = { sub: 'service' }
      else if (key === 'reply') return reply.code(401).send({ told: 'by the hook' })
      else if (key === 'throw') throw Object.assign(new Error('locked'), { statusCode: 423 })
      else if (key === 'fail') throw new Error('secret')
      else if (key === 'ok') return reply.send({ sub: 'cached', more: 1 })
    })
    app.scEvent('act', { http: true, response: Type.Object({ sub: Type.String() }) }, (_data, { socket }) => {
      handled++
      return { sub: String(socket.authToken?.sub) }
    })
  })
  const call = (key: string) => overHttp(app, 'act', undefined, { 'x-key': key, authorization: 'Bearer key-of-the-application' })
  t.match(await call('good'), { status: 200, answer: { sub: 'service' } })
  t.match(await call('reply'), { status: 401, error: { told: 'by the hook' } })
  t.match(await call('throw'), { status: 423, error: { name: 'Error', message: 'locked' } })
  t.match(await call('ok'), { status: 200, answer: { sub: 'cached', more: undefined } })
  const hidden = await call('fail')
  t.match(hidden, { status: 500, error: { message: 'Internal error', id: 'string' } })
  t.notMatch(JSON.stringify(hidden), /secret/)
  t.equal(handled, 1)
  await app.sc.revoke({ user: 'service' })
  t.match(await call('good'), { status: 401, error: { name: 'AuthTokenInvalidError' } }, 'revocations hold for such a user, too')
})
