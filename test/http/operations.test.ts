// Operations over HTTP, on two nodes with Redis, by curl and fetch, with stock clients that receive.
import { once } from 'node:events'
import http2 from 'node:http2'
import { connect as connectTcp, type AddressInfo } from 'node:net'
import fastifySwagger from '@fastify/swagger'
import { Validator } from '@seriousme/openapi-schema-validator'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import jwt from 'jsonwebtoken'
import { create as create20 } from 'socketcluster-client'
import client14 from 'socketcluster-client-14'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { type ScHttpOperation, type ScHttpOptions, scHttp } from '../../lib/http/index.js'
import { type Broker, memoryBroker, type ScPluginOptions, ScRefusal, scPlugin } from '../../lib/index.js'
import { runCurl } from '../helpers/curl.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve, type Served } from '../helpers/serve.js'
import { startJetStream, startNats, startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'

interface Answer { status: number, headers: Headers, body: any }

interface HttpNode extends Served {
  lines: any[]
  asked: ScHttpOperation[]
  post (path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>
  get (path: string, query?: Record<string, string | number>): Promise<Answer>
}

async function answerOf (response: Response): Promise<Answer> {
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}

const auth = { authorization: 'Bearer let-me' }

async function node (t: Test, options: ScPluginOptions = {}, http: Partial<ScHttpOptions> = {}): Promise<HttpNode> {
  const lines: any[] = []
  const asked: ScHttpOperation[] = []
  const served = await serve(t, { revalidate: 'kick', ...options }, async (app) => {
    app.scChannel('room/:id', { history: { size: 100, ttl: 60_000 }, presence: { key: ({ socket }) => socket.authToken?.sub } })
    app.scChannel('typed', { message: Type.Object({ n: Type.Number() }), maxMessageBytes: 100 })
    app.scHook('publishIn', () => { throw new ScRefusal('clients may not publish') })
    await app.register(scHttp, {
      prefix: '/api',
      authorize (request, operation) {
        asked.push(operation)
        return request.headers.authorization === auth.authorization
      },
      ...http
    })
  }, { logger: { level: 'info', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } })
  const base = `http://127.0.0.1:${served.port}/api`
  return {
    ...served,
    lines,
    asked,
    post: async (path, body, headers = {}) => answerOf(await fetch(base + path, { method: 'POST', headers: { 'content-type': 'application/json', ...auth, ...headers }, body: JSON.stringify(body) })),
    get: async (path, query = {}) => answerOf(await fetch(`${base}${path}?${new URLSearchParams(query as Record<string, string>)}`, { headers: auth }))
  }
}

async function pair (t: Test, options: ScPluginOptions = {}, http: Partial<ScHttpOptions> = {}): Promise<[HttpNode, HttpNode] | null> {
  const redis = await startRedis(t)
  if (redis === null) return null
  return pairOf(t, () => redisBroker({ url: `redis://127.0.0.1:${redis.port}` }), options, http)
}

async function pairOf (t: Test, broker: () => Broker, options: ScPluginOptions = {}, http: Partial<ScHttpOptions> = {}): Promise<[HttpNode, HttpNode]> {
  const nodes: [HttpNode, HttpNode] = [await node(t, { broker: broker(), ...options }, http), await node(t, { broker: broker(), ...options }, http)]
  await until('the nodes', () => nodes.every(({ sc }) => sc.cluster.nodes.length === 2))
  return nodes
}

/** Stock clients 14 and 20 that collect the messages of a channel. */
async function listeners (t: Test, { port }: HttpNode, channel: string): Promise<unknown[][]> {
  const old = client14.create({ hostname: '127.0.0.1', port, autoReconnect: false, multiplex: false })
  t.teardown(() => old.destroy())
  const [of14, of20]: [unknown[], unknown[]] = [[], []]
  const subscribed14 = new Promise((resolve) => old.subscribe(channel).on('subscribe', resolve))
  old.watch(channel, (data: unknown) => { of14.push(data) })
  await subscribed14
  const young = create20({ hostname: '127.0.0.1', port, autoReconnect: false })
  t.teardown(() => { young.disconnect() })
  const subscription = young.subscribe(channel)
  ;(async () => { for await (const data of subscription) of20.push(data) })()
  await subscription.listener('subscribe').once(20_000)
  return [of14, of20]
}

t.test('curl publishes to stock clients on two nodes', async (t) => {
  const nodes = await pair(t)
  if (nodes === null) return t.plan(0, 'redis-server is not installed')
  const got = [...await listeners(t, nodes[0], 'news'), ...await listeners(t, nodes[1], 'news')]
  const stdout = await runCurl(`curl -i http://127.0.0.1:${nodes[0].port}/api/publish -H 'authorization: Bearer let-me' -H 'content-type: application/json' -d '{"channel":"news","data":{"text":"é🙂"}}'`)
  if (stdout === null) return t.pass('curl is not installed')
  t.match(stdout, /^HTTP\/1\.1 200 OK/)
  t.strictSame(JSON.parse(stdout.slice(stdout.indexOf('{'))), { results: [{ channel: 'news' }] })
  await until('the message', () => got.every((list) => list.length === 1))
  for (const list of got) t.strictSame(list, [{ text: 'é🙂' }])
  const several = await nodes[1].post('/publish', { channels: ['news', 'typed', 'bad\u0000name', 'room/1#presence', '__proto__'], data: { text: 'second' } })
  t.equal(several.status, 200)
  t.match(several.body.results, [
    { channel: 'news', error: undefined },
    { channel: 'typed', error: { statusCode: 400, name: 'ValidationError' } },
    { channel: 'bad\u0000name', error: { statusCode: 400, code: 'SC_ERR_CHANNEL_NAME' } },
    { channel: 'room/1#presence', error: { statusCode: 403, code: 'SC_ERR_COMPANION' } },
    { channel: '__proto__', error: undefined }
  ])
  await until('the second message', () => got.every((list) => list.length === 2))
  t.match(nodes[0].asked, [{ operation: 'publish', channels: ['news'] }])
})

t.test('100 parallel equal requests with one key to two nodes make one message', async (t) => {
  await t.test('Redis', async (t) => {
    const nodes = await pair(t)
    if (nodes === null) return t.plan(0, 'redis-server is not installed')
    await sendParallel(t, nodes)
  })
  await t.test('NATS with histories', async (t) => {
    const nats = await startJetStream(t)
    if (nats === null) return t.plan(0, 'nats-server is not installed')
    await sendParallel(t, await pairOf(t, () => natsBroker({ servers: `127.0.0.1:${nats.port}`, history: true })))
  })
})

async function sendParallel (t: Test, nodes: [HttpNode, HttpNode]): Promise<void> {
  for (const channel of ['plain', 'room/7']) {
    const got = [...await listeners(t, nodes[0], channel), ...await listeners(t, nodes[1], channel)]
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => nodes[i % 2]!.post('/publish', { channel, data: 1 }, { 'idempotency-key': `"once ${channel}"` })))
    const statuses = answers.map(({ status }) => status)
    t.ok(statuses.includes(200) && statuses.every((status) => status === 200 || status === 409), String([...new Set(statuses)]))
    t.equal(answers.filter(({ status, headers }) => status === 200 && headers.get('idempotent-replayed') === null).length, 1, 'one of them published')
    for (const { status, body } of answers) t.match(body, status === 200 ? { results: [{ channel }] } : { statusCode: 409, code: 'SC_ERR_KEY_RUNNING', name: 'IdempotencyError' })
    const again = await nodes[1].post('/publish', { channel, data: 1 }, { 'idempotency-key': `"once ${channel}"` })
    t.match([again.status, again.headers.get('idempotent-replayed'), again.body], [200, 'true', { results: [{ channel }] }])
    if (channel === 'room/7') t.match(again.body.results[0].position, /^[\w-]+\.1\.\w+$/, 'with the position')
    t.match(await nodes[0].post('/publish', { channel, data: 2 }, { 'idempotency-key': `"once ${channel}"` }), { status: 422, body: { code: 'SC_ERR_KEY_REUSED' } })
    t.match(await nodes[0].post('/publish', { channels: [channel], data: 1 }, { 'idempotency-key': `"once ${channel}"` }), { status: 422 })
    t.match(await nodes[0].post('/publish', { channel, data: 'last' }, { 'idempotency-key': `another ${channel}` }), { status: 200 })
    await until('the last message', () => got.every((list) => list.includes('last')))
    for (const list of got) t.strictSame(list, [1, 'last'])
  }
  t.match(await nodes[0].get('/history', { channel: 'room/7' }), { body: { messages: [{ data: 1 }, { data: 'last' }] } })
}

t.test('keys: what is kept, of whom, and where not', async (t) => {
  const http = await node(t, {}, { principal: (request) => String(request.headers['x-who'] ?? 'nobody'), idempotencyTtl: 1_000 })
  const key = { 'idempotency-key': 'k' }
  const channel = 'room/1'
  t.match(await http.post('/publish', { channel: 'typed', data: 'no' }, key), { status: 400 })
  t.match(await http.post('/publish', { channel, data: 1 }, key), { status: 200 }, 'what failed used no key')
  t.match(await http.post('/publish', { channel, data: 1 }, { ...key, 'x-who': 'else' }), { status: 200, headers: new Headers() }, 'each caller has its own')
  t.equal((await http.get('/history', { channel })).body.messages.length, 2)
  const mixed = { channels: [channel, 'typed'], data: 5 }
  const first = await http.post('/publish', mixed, { 'idempotency-key': 'm' })
  const second = await http.post('/publish', mixed, { 'idempotency-key': 'm' })
  t.strictSame(second.body, first.body, 'also the errors')
  t.match([second.headers.get('idempotent-replayed'), first.body.results[1]], ['true', { error: { statusCode: 400 } }])
  const failing = { channels: ['typed', 'a\u0001'], data: 5 }
  for (let i = 0; i < 2; i++) {
    const { status, headers, body } = await http.post('/publish', failing, { 'idempotency-key': 'f' })
    t.match([status, headers.get('idempotent-replayed'), body.results.length], [200, null, 2], 'nothing was published, so nothing is kept')
  }
  for (const wrong of ['', 'x'.repeat(256)]) t.match(await http.post('/publish', { channel, data: 1 }, { 'idempotency-key': wrong }), { status: 400, body: { name: 'ValidationError' } })
  const many = { channels: Array.from({ length: 100 }, (_, i) => `${i} ${'x'.repeat(200)}`), data: 'typed' }
  for (let i = 0; i < 2; i++) t.match(await http.post('/publish', many, { 'idempotency-key': 'many' }), { status: 200, body: { results: { length: 100 } } })

  const nats = await startNats(t)
  if (nats === null) return
  const shared = await node(t, { broker: natsBroker({ servers: `127.0.0.1:${nats.port}`, history: false }) }).catch((err) => err)
  t.match(shared, { code: 'SC_ERR_HISTORY' }, 'without histories the channels of this test cannot be declared')
})

t.test('a shared broker that does not remember keys answers 501', async (t) => {
  const memory = memoryBroker()
  const broker = { name: 'own', shared: true, order: 'channel' as const, history: memory.history, start: memory.start.bind(memory), stop: memory.stop.bind(memory), control: async () => {}, publish: async (channel: string, data: string) => memory.publish(channel, data), subscribe: async (names: readonly string[]) => memory.subscribe(names), unsubscribe: async (names: readonly string[]) => memory.unsubscribe(names) }
  const http = await node(t, { broker })
  t.match(await http.post('/publish', { channel: 'a', data: 1 }), { status: 200 })
  t.match(await http.post('/publish', { channel: 'a', data: 1 }, { 'idempotency-key': 'k' }), { status: 501, body: { code: 'SC_ERR_NO_STORE' } })
})

t.test('kick, disconnect and revoke reach all nodes; lists are of all nodes', async (t) => {
  const nodes = await pair(t)
  if (nodes === null) return t.plan(0, 'redis-server is not installed')
  const [one, other] = nodes
  const clients: RawClient[] = []
  for (const [i, user] of ['ann', 'bob', 'ann', 'bob'].entries()) {
    const client = await RawClient.connect(t, nodes[i % 2]!.port)
    clients.push(client)
    await client.call('#authenticate', jwt.sign({ sub: user }, authKey))
    for (const channel of ['room/1', 'all']) t.equal((await client.call('#subscribe', { channel })).error, undefined)
  }
  const sockets = await one.get('/sockets', { limit: 3 })
  t.match(sockets, { status: 200, body: { items: { length: 3 }, missing: [], next: String } })
  const rest = await other.get('/sockets', { limit: 3, cursor: sockets.body.next })
  t.match(rest.body, { items: { length: 1 }, missing: [] })
  t.notOk('next' in rest.body)
  t.match(await one.get('/sockets', { user: 'ann', channel: 'all' }), { body: { items: [{ user: 'ann', subscriptions: 2 }, { user: 'ann' }] } })
  t.strictSame((await one.get('/channels', { prefix: 'a' })).body, { items: [{ name: 'all', sockets: 4 }], missing: [] })
  t.match(await other.get('/nodes'), { body: { items: [{ clients: 2 }, { clients: 2 }], missing: [] } })
  await until('presence', async () => (await one.get('/presence', { channel: 'room/1' })).body.total === 2)
  t.strictSame((await one.get('/presence', { channel: 'room/1', limit: 1 })).body, { members: [{ key: 'ann' }], total: 2, complete: true, next: Buffer.from('ann').toString('base64url') })
  t.strictSame((await other.get('/presence', { channel: 'room/1', cursor: Buffer.from('ann').toString('base64url') })).body, { members: [{ key: 'bob' }], total: 2, complete: true })

  const kicked = clients[0]!.event('#kickOut')
  t.strictSame((await other.post('/kick', { filter: { user: 'ann' }, channel: 'all', message: 'out' })).body, { sockets: 2, missing: [] })
  t.strictSame((await kicked).data, { channel: 'all', message: 'out' })
  const removed = clients[1]!.event('#removeAuthToken')
  t.strictSame((await one.post('/revoke', { filter: { user: 'bob' } })).body, { sockets: 2, missing: [] })
  await removed
  t.strictSame((await one.post('/disconnect', { filter: { user: 'ann' }, code: 4_100, reason: 'bye' })).body, { sockets: 2, missing: [] })
  t.strictSame((await one.post('/disconnect', { filter: {} })).body, { sockets: 2, missing: [] })
  t.match(await one.post('/revoke', { filter: {} }), { status: 400, body: { code: 'SC_ERR_FILTER' } })

  const told = one.lines.filter(({ operation }) => operation !== undefined)
  t.match(told, [
    { level: 30, operation: 'revoke', user: 'bob', sockets: 2, statusCode: 200, reqId: /./ },
    { operation: 'disconnect', user: 'ann', sockets: 2 },
    { operation: 'disconnect', sockets: 2 },
    { operation: 'revoke', statusCode: 400, code: 'SC_ERR_FILTER' }
  ])
  t.equal(told.length, 4, 'one line for each operation that changes something')
  t.match(one.asked.filter(({ operation }) => operation === 'sockets' || operation === 'revoke'), [{ operation: 'sockets' }, { operation: 'sockets', user: 'ann', channel: 'all' }, { operation: 'revoke', filter: { user: 'bob' } }])
})

t.test('history', async (t) => {
  const http = await node(t)
  const published: string[] = []
  for (let n = 1; n <= 5; n++) published.push((await http.post('/publish', { channel: 'room/1', data: n })).body.results[0].position)
  const { status, headers, body } = await http.get('/history', { channel: 'room/1', limit: 2 })
  t.strictSame([status, headers.get('cache-control')], [200, 'no-store'])
  t.match(body, { messages: [{ data: 4, position: /./, time: Number }, { data: 5 }], position: /./ })
  t.notOk('gap' in body)
  t.strictSame(body.messages.map(({ position }: any) => position), published.slice(-2))
  t.match(await http.get('/history', { channel: 'room/1', since: body.messages[0].position }), { body: { messages: [{ data: 5 }] } })
  t.match(await http.get('/history', { channel: 'room/1', since: 'nowhere' }), { body: { gap: 'unknown' } })
  t.match(await http.get('/history', { channel: 'none' }), { status: 404, body: { code: 'SC_ERR_NO_HISTORY', name: 'InvalidActionError', error: 'Not Found' } })
  t.match(await http.get('/presence', { channel: 'none' }), { status: 404, body: { code: 'SC_ERR_NO_PRESENCE' } })
})

t.test('a publish is one of the server: its schema counts, publishIn hooks do not', async (t) => {
  const http = await node(t)
  t.match(await http.post('/publish', { channel: 'typed', data: { n: 1 } }), { status: 200 })
  t.match(await http.post('/publish', { channel: 'typed', data: { n: '1' } }), { status: 400, body: { name: 'ValidationError', code: 'FST_ERR_VALIDATION', message: /n must be number/ } }, 'nothing is coerced')
  t.match(await http.post('/publish', { channel: 'typed', data: { n: 1, text: 'x'.repeat(100) } }), { status: 413, body: { code: 'SC_ERR_MESSAGE_SIZE' } })
  t.strictSame(http.warnings, [], 'what the caller is told is no warning')
})

t.test('authorize', async (t) => {
  await t.rejects(async () => { await node(t, {}, { authorize: undefined as never }) }, { name: 'InvalidOptionsError', message: /option authorize/ })
  for (const wrong of [{ authorize: true }, { principal: 'me' }, { operations: [] }, { operations: ['all'] }, { idempotencyTtl: 5 }, { openapi: { tags: [5] } }, { authorise: () => true }]) {
    await t.rejects(async () => { await node(t, {}, wrong as never) }, { name: 'InvalidOptionsError', code: 'SC_ERR_OPTIONS' }, JSON.stringify(wrong))
  }
  await t.rejects(async () => { await Fastify().register(scHttp, { authorize: () => true }).ready() }, /fastify-socketcluster/)
  const answers: Array<[authorize: () => unknown, status: number, body: object]> = [
    [() => false, 403, { code: 'SC_ERR_NOT_ALLOWED' }],
    [() => undefined, 403, { code: 'SC_ERR_NOT_ALLOWED' }],
    [() => 'yes', 403, {}],
    [async () => 1, 403, {}],
    [() => { throw new ScRefusal('log in first') }, 403, { name: 'RefusalError', message: 'log in first' }],
    [async () => { throw new ScRefusal('log in first', { statusCode: 401 }) }, 401, { message: 'log in first' }],
    [() => { throw Object.assign(new Error('who?'), { statusCode: 401, expose: true }) }, 401, { message: 'who?' }],
    [() => { throw new TypeError('SELECT secret') }, 500, { message: 'Internal error', errorId: /./ }]
  ]
  for (const [authorize, status, body] of answers) {
    const http = await node(t, {}, { authorize: authorize as never })
    const requests = [() => http.post('/publish', { channel: 'a', data: 1 }), () => http.post('/kick', { filter: {}, channel: 'a' }), () => http.post('/disconnect', { filter: {} }), () => http.post('/revoke', { filter: { user: 'a' } }),
      () => http.get('/channels'), () => http.get('/sockets'), () => http.get('/nodes'), () => http.get('/history', { channel: 'room/1' }), () => http.get('/presence', { channel: 'room/1' })]
    for (const request of requests) t.match(await request(), { status, body })
    t.equal(http.sc.stats().publishes, 0)
    t.equal(http.lines.filter(({ operation, statusCode }) => operation !== undefined && statusCode === status).length, 4, 'what is refused is logged too')
    t.notMatch(JSON.stringify(await requests[0]!()), /secret/)
  }
})

t.test('a principal that is no text is a mistake of the application', async (t) => {
  const http = await node(t, {}, { principal: ((request: FastifyRequest) => request.headers['x-who'] === 'promise' ? Promise.reject(new Error('secret')) : 5) as never })
  // A rejection that nobody handles would end this process.
  for (const [who, got] of [['promise', 'a promise'], ['number', 'number']] as const) {
    t.match(await http.post('/publish', { channel: 'a', data: 1 }, { 'x-who': who }), { status: 500, body: { message: 'Internal error', errorId: /./ } })
    t.ok(http.lines.some(({ err }) => err?.message === `The option principal of fastify-socketcluster/http must return a string, got ${got}`))
  }
  t.equal(http.sc.stats().publishes, 0)
})

t.test('two registrations, and the hooks of the application', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(scPlugin, { authKey })
  // What the application has set for its own routes does not count here, its hooks do.
  app.setValidatorCompiler(() => () => ({ error: new Error('the compiler of the application') }))
  app.setSerializerCompiler(() => () => '"the serializer of the application"')
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => { done(null, { channel: 'a', data: body }) })
  app.addHook('onRequest', async (request) => {
    if (request.headers['x-fail'] !== undefined) throw Object.assign(new Error('by a hook'), { statusCode: 418 })
  })
  const operations: unknown[] = []
  await app.register(async (scope) => {
    scope.addHook('onRequest', async (request) => { operations.push(request.routeOptions.config.sc?.operation) })
    await scope.register(scHttp, { prefix: '/internal', authorize: () => true })
  })
  await app.register(scHttp, { prefix: '/public', operations: ['publish'], authorize: (_request, asked) => asked.operation === 'publish' && asked.channels.every((channel) => channel.startsWith('public/')) })
  await app.ready()
  const publish = async (prefix: string, channel: string, headers = {}): Promise<number> => (await app.inject({ method: 'POST', url: `${prefix}/publish`, payload: { channel, data: 1 }, headers })).statusCode
  t.strictSame([await publish('/internal', 'secret'), await publish('/public', 'secret'), await publish('/public', 'public/a'), await publish('/internal', 'a', { 'x-fail': '1' }), await publish('', 'a')], [200, 403, 200, 418, 404])
  t.equal((await app.inject('/public/sockets')).statusCode, 404)
  t.match((await app.inject('/internal/sockets?limit=x')).json(), { statusCode: 400, message: /limit must be integer/ })
  t.match((await app.inject({ url: '/internal/nodes', headers: { 'x-fail': '1' } })).json(), { statusCode: 418, message: 'by a hook' }, "a hook's error is the application's")
  t.ok(operations.includes('publish'))
  t.equal((await app.inject({ method: 'POST', url: '/internal/publish', payload: 'channel=a', headers: { 'content-type': 'application/x-www-form-urlencoded' } })).statusCode, 415, 'a form of another site is not one of ours')
})

t.test('hostile requests', async (t) => {
  const http = await node(t)
  const { port, post, get } = http
  const invalid: Array<[path: string, body: unknown]> = [
    ['/publish', {}], ['/publish', []], ['/publish', 'a'], ['/publish', null], ['/publish', { channel: 'a' }], ['/publish', { data: 1 }], ['/publish', { channel: 5, data: 1 }], ['/publish', { channel: '', data: 1 }],
    ['/publish', { channel: 'a', channels: ['b'], data: 1 }], ['/publish', { channels: [], data: 1 }], ['/publish', { channels: ['a', 'a'], data: 1 }], ['/publish', { channel: 'a', data: 1, as: 'caller' }],
    ['/publish', { channels: Array.from({ length: 101 }, (_, i) => `c${i}`), data: 1 }], ['/publish', { channel: 'a\r\nx: y', data: 1 }], ['/publish', { channel: 'x'.repeat(300), data: 1 }],
    ['/publish', { channel: '\ud800', data: 1 }], ['/publish', { channel: 'a', data: Array.from({ length: 40 }).reduce((inner: unknown) => [inner], 1) }],
    ['/publish', { channel: 'a', data: Array.from({ length: 10_001 }, () => 1) }],
    ['/kick', { filter: {} }], ['/kick', { channel: 'a' }], ['/kick', { filter: { user: {} }, channel: 'a' }], ['/kick', { filter: { role: 'x' }, channel: 'a' }], ['/kick', { filter: { user: 'x'.repeat(2_000) }, channel: 'a' }],
    ['/disconnect', {}], ['/disconnect', { filter: {}, code: 5 }], ['/disconnect', { filter: {}, code: 1_006 }], ['/disconnect', { filter: {}, code: '4100' }], ['/disconnect', { filter: {}, reason: 'x'.repeat(200) }],
    ['/revoke', {}], ['/revoke', { filter: null }]
  ]
  for (const [path, body] of invalid) t.match(await post(path, body), { status: 400, body: { statusCode: 400, error: 'Bad Request', message: /./, name: /./ } }, `${path} ${JSON.stringify(body).slice(0, 70)}`)
  const queries: Array<[path: string, query: Record<string, string>]> = [
    ['/channels', { cursor: '%' }], ['/channels', { cursor: 'AA==' }], ['/sockets', { cursor: 'x'.repeat(100) + '!' }], ['/sockets', { limit: '0' }], ['/sockets', { limit: '1001' }], ['/sockets', { limit: '1.5' }], ['/sockets', { limit: '' }],
    ['/nodes', { limit: 'Infinity' }], ['/nodes', { cursor: '' }], ['/sockets', { usr: 'a' }], ['/channels', { __proto__x: '1' }], ['/history', {}], ['/history', { channel: '' }], ['/history', { channel: 'a\u0000' }],
    ['/history', { channel: 'room/1', since: 'x'.repeat(65) }], ['/presence', { channel: 'room/1', cursor: '*' }], ['/presence', { channel: 'room/1', limit: '5000' }]
  ]
  for (const [path, query] of queries) t.match(await get(path, query), { status: 400, body: { statusCode: 400, message: /./ } }, `${path} ${JSON.stringify(query).slice(0, 70)}`)
  const twice = await answerOf(await fetch(`http://127.0.0.1:${port}/api/history?channel=room/1&channel=room/2`, { headers: auth }))
  t.equal(twice.status, 400)
  t.match(await answerOf(await fetch(`http://127.0.0.1:${port}/api/sockets?__proto__[x]=1&constructor=2`, { headers: auth })), { status: 400 })

  // Names with slashes are whole.
  await post('/publish', { channel: 'room/a%2Fb', data: 1 })
  t.match(await answerOf(await fetch(`http://127.0.0.1:${port}/api/history?channel=room%2Fa%252Fb`, { headers: auth })), { status: 200, body: { messages: [{ data: 1 }] } })
  t.match(await answerOf(await fetch(`http://127.0.0.1:${port}/api/history?channel=room%2Fb`, { headers: auth })), { status: 200, body: { messages: [] } })
  t.equal((await answerOf(await fetch(`http://127.0.0.1:${port}/api/history/room%2F1`, { headers: auth }))).status, 404)

  const send = async (body: string, type: string | null = 'application/json', headers: Record<string, string> = {}): Promise<Answer> =>
    // A buffer has no type of its own.
    await answerOf(await fetch(`http://127.0.0.1:${port}/api/publish`, { method: 'POST', headers: { ...auth, ...(type === null ? {} : { 'content-type': type }), ...headers }, body: Buffer.from(body) }))
  const good = '{"channel":"a","data":1}'
  t.match(await send(good), { status: 200 })
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/xml', 'text/html;application/json']) t.match(await send(good, type), { status: 415, body: { statusCode: 415, name: 'FastifyError', code: 'FST_ERR_CTP_INVALID_MEDIA_TYPE' } }, type)
  t.match(await send(good, null), { status: 415 })
  t.match(await send(`{"channel":"a","data":"${'x'.repeat(1_100_000)}"}`), { status: 413, body: { statusCode: 413, code: 'FST_ERR_CTP_BODY_TOO_LARGE' } })
  for (const text of ['{', '{"channel":"a","data":}', '', '{"channel":"a","data":{"__proto__":{"x":1}}}', '{"channel":"a","data":{"constructor":{"prototype":{"x":1}}}}', ...['data', 'channel', 'channels'].map((field) => `{"${field}":${'['.repeat(50_000)}${']'.repeat(50_000)}}`), `{"channel":"a","data":${'['.repeat(50_000)}${']'.repeat(50_000)}}`]) {
    for (const headers of [{}, { 'idempotency-key': 'k' }] as Array<Record<string, string>>) t.match(await send(text, undefined, headers), { status: 400, body: { statusCode: 400, message: /./ } }, text.slice(0, 60))
  }
  t.equal(({} as any).x, undefined)

  // A line break cannot come into a header, neither in nor out.
  const socket = connectTcp(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.end(`POST /api/publish HTTP/1.1\r\nhost: x\r\nauthorization: Bearer let-me\r\nidempotency-key: a\rset-cookie: x=y\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${good.length}\r\n\r\n${good}`)
  let text = ''
  socket.on('data', (chunk) => { text += chunk })
  await once(socket, 'close')
  t.match(text, /^HTTP\/1\.1 400/)
  t.notMatch(text, /set-cookie/i)

  // Nothing happens by a GET.
  const before = http.sc.stats().publishes
  for (const path of ['publish', 'kick', 'disconnect', 'revoke']) {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) t.equal((await fetch(`http://127.0.0.1:${port}/api/${path}?channel=a&data=1`, { method, headers: auth })).status, 404, `${method} ${path}`)
  }
  t.equal(http.sc.stats().publishes, before)
  t.strictSame(http.warnings, [])
})

t.test('while the engine is down', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const http = await node(t, { broker: redisBroker({ url: `redis://127.0.0.1:${redis.port}` }) })
  await redis.kill()
  await until('the loss', () => http.sc.brokerState === 'down')
  for (const headers of [{}, { 'idempotency-key': 'k' }] as Array<Record<string, string>>) {
    const { status, headers: answered, body } = await http.post('/publish', { channel: 'a', data: 1 }, headers)
    t.match([status, answered.get('retry-after'), body], [503, '10', { name: 'BrokerError', code: 'SC_ERR_BROKER_DOWN', message: 'The redis broker is down' }])
    t.ok(http.lines.some(({ errorId }) => errorId === body.errorId), 'the log has the details')
  }
  t.match(await http.post('/publish', { channels: ['a', 'b'], data: 1 }), { status: 200, body: { results: [{ channel: 'a', error: { statusCode: 503 } }, { channel: 'b', error: { statusCode: 503 } }] } })
  t.match(await http.get('/history', { channel: 'room/1' }), { status: 503 })
  t.match(await http.get('/sockets'), { status: 200, body: { items: [] } }, 'what this node knows')
})

t.test('HTTP/2', async (t) => {
  const selfsigned = await import('selfsigned')
  const pems = await selfsigned.generate([{ name: 'commonName', value: 'localhost' }], { keySize: 2_048 } as never)
  const app = Fastify({ http2: true, https: { key: pems.private, cert: pems.cert, allowHTTP1: true } }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.register(scPlugin, { authKey })
  await app.register(scHttp, { prefix: '/api', authorize: (request) => request.headers.authorization === auth.authorization })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = http2.connect(`https://127.0.0.1:${(app.server.address() as AddressInfo).port}`, { rejectUnauthorized: false })
  t.teardown(() => { session.destroy() })
  const call = async (method: string, path: string, body?: string): Promise<[number, any]> => {
    const stream = session.request({ ':method': method, ':path': path, ...auth, ...(body === undefined ? {} : { 'content-type': 'application/json', 'idempotency-key': 'k' }) })
    stream.end(body)
    const [headers] = await once(stream, 'response') as [Record<string, number>]
    let text = ''
    for await (const chunk of stream) text += chunk
    return [headers[':status']!, JSON.parse(text)]
  }
  t.strictSame(await call('POST', '/api/publish', '{"channel":"a","data":1}'), [200, { results: [{ channel: 'a' }] }])
  t.match(await call('GET', '/api/nodes'), [200, { items: [{ clients: 0 }] }])
})

for (const openapi of ['3.0.3', '3.1.0'] as const) {
  t.test(`the document of @fastify/swagger, OpenAPI ${openapi}`, async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(fastifySwagger, { openapi: { openapi, info: { title: 'Test', version: '1.0.0' }, components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } } } })
    await app.register(scPlugin, { authKey })
    await app.register(scHttp, { prefix: '/a', authorize: () => true, openapi: { tags: ['Realtime'], security: [{ key: [] }] } })
    await app.register(scHttp, { prefix: '/b', authorize: () => true, operations: ['publish'] })
    await app.register(scHttp, { prefix: '/c', authorize: () => true, openapi: { hide: true } })
    await app.ready()
    const document = app.swagger() as any
    const { valid, errors } = await new Validator().validate(structuredClone(document))
    t.ok(valid, JSON.stringify(errors))
    t.strictSame(Object.keys(document.paths).sort(), [...['publish', 'kick', 'disconnect', 'revoke', 'channels', 'sockets', 'nodes', 'history', 'presence'].map((name) => `/a/${name}`), '/b/publish'].sort())
    const all = Object.values(document.paths).flatMap((path: any) => Object.values(path)) as any[]
    t.equal(new Set(all.map(({ operationId }) => operationId)).size, 10)
    for (const { operationId, summary, tags, responses } of all) {
      t.match(operationId, /^sc[A-Z]/)
      t.ok(summary.length > 5 && tags.length === 1)
      t.match(Object.keys(responses).sort(), ['200', '4XX', '5XX'])
    }
    t.match(document.paths['/a/publish'].post, { operationId: 'scPublish', tags: ['Realtime'], security: [{ key: [] }], parameters: [{ in: 'header', name: 'idempotency-key' }], requestBody: { content: { 'application/json': { schema: { properties: { data: {} } } } } } })
    t.match(document.paths['/b/publish'].post, { operationId: 'scPublish2', tags: ['SocketCluster'] })
    t.match(document.paths['/a/sockets'].get.parameters.map(({ name }: any) => name), ['user', 'channel', 'limit', 'cursor'])
  })
}
