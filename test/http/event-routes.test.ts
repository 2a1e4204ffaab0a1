import { once } from 'node:events'
import http2 from 'node:http2'
import { connect as connectTcp, type AddressInfo } from 'node:net'
import swagger from '@fastify/swagger'
import { Validator } from '@seriousme/openapi-schema-validator'
import Fastify, { type FastifyInstance } from 'fastify'
import { generate } from 'selfsigned'
import t, { type Test } from 'tap'
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import { Type } from 'typebox'
import { z } from 'zod'
import { ScRefusal, type ScEventContract, type ScPluginOptions, scPlugin } from '../../lib/index.js'
import { HttpCaller } from '../../lib/http/http-caller.js'
import { ServerSocket } from '../../lib/socket/socket.js'
import { authKey, serve } from '../helpers/serve.js'

interface Answer { status: number, headers: Headers, body: any }

/** Starts an application and returns a function that sends requests to it. */
async function start (t: Test, setUp: (app: FastifyInstance) => unknown, options: ScPluginOptions = {}) {
  const served = await serve(t, options, setUp)
  const send = async (url: string, body?: unknown, { method = 'POST', headers = {} as Record<string, string>, signal = undefined as AbortSignal | undefined } = {}): Promise<Answer> => {
    const response = await fetch(`http://127.0.0.1:${served.port}${url}`, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal })
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
  }
  return { ...served, send }
}

t.test('where an event can be called', async (t) => {
  const { send, app } = await start(t, async (app) => {
    const echo = (data: unknown): unknown => data
    app.scEvent('plain', { http: true }, echo)
    app.scEvent('chat/send:now_1.x~y-z', { http: true }, echo)
    app.scEvent('not over http', { http: false }, echo)
    app.scEvent('bare', Type.Number(), echo)
    app.scEvent('any name: /?#% ü', { http: { url: '/any' } }, echo)
    await app.register(async (child) => {
      child.scEvent('inner', { http: true }, echo)
      child.scEvent('put', { http: { url: '/put::it', method: 'PUT' } }, echo)
      child.scEvent('patch', { http: { url: '/', method: 'PATCH' } }, echo)
      child.scEvent('delete', { http: { method: 'DELETE' } }, echo)
    }, { prefix: '/deep/in' })
  })
  for (const [method, url, status] of [
    ['POST', '/events/plain', 200], ['POST', '/events/chat/send:now_1.x~y-z', 200], ['POST', '/any', 200], ['POST', '/deep/in/events/inner', 200],
    ['PUT', '/deep/in/put:it', 200], ['PATCH', '/deep/in', 200], ['DELETE', '/deep/in/events/delete', 200],
    ['POST', '/events/inner', 404], ['POST', '/events/not%20over%20http', 404], ['POST', '/events/bare', 404], ['POST', '/events/', 404], ['GET', '/events/plain', 404], ['PUT', '/events/plain', 404],
    ['POST', '/events/plain/', 404], ['POST', '/events/PLAIN', 404], ['POST', '/events%2Fplain', 404], ['POST', '/events/chat%2Fsend:now_1.x~y-z', 404], ['POST', '/events/any%20name%3A%20%2F%3F%23%25%20%C3%BC', 404], ['POST', '/events/../events/plain', 200], ['POST', '/events/plain?x=%00', 200], ['POST', '/events/%', 400]
  ] as const) {
    const { body, ...answer } = await send(url, ...method === 'GET' ? [undefined, { method }] : [{ n: 1 }, { method }])
    t.equal(answer.status, status, `${method} ${url}`)
    if (status === 200) t.same(body, { n: 1 })
  }
  t.same(app.scDeclarations().events.map(({ http }) => http === null ? null : `${http.method} ${http.url}`),
    ['POST /events/plain', 'POST /events/chat/send:now_1.x~y-z', null, null, 'POST /any', 'POST /deep/in/events/inner', 'PUT /deep/in/put:it', 'PATCH /deep/in', 'DELETE /deep/in/events/delete'])
})

t.test('a wrong http fails where it is declared', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(scPlugin, { authKey })
  app.post('/taken', () => '')
  const declare = (name: string, contract: object): void => { app.scEvent(name, contract as ScEventContract, () => {}) }
  for (const [name, contract, message] of [
    ['a', { http: 'yes' }, /expected http to be a boolean or an object/],
    ['a', { http: { path: '/x' } }, /some of url, method, got "path"/],
    ['a', { http: { method: 'GET' } }, /one of POST, PUT, PATCH, DELETE, got "GET"/],
    ['a', { http: { method: 7 } }, /got number/],
    ['a', { http: { url: 'x' } }, /start with "\/", got "x"/],
    ['a', { http: { url: 7 } }, /got number/],
    ['a', { http: { url: '/x/:id' } }, /without parameters/],
    ['a', { http: { url: '/x/*' } }, /without parameters/],
    ['a', { http: { url: '/x?y' } }, /without parameters/],
    ['a', { http: { url: '/x%20' } }, /without parameters/],
    ['with space', { http: true }, /cannot be a part of a url; expected http: { url }/],
    ['a/../b', { http: true }, /cannot be a part/],
    ['a', { http: { url: '/taken' } }, /there is a route POST \/taken already/],
    ['request', { http: true, lifecycle: 'request' }, /http expects lifecycle 'own'/]
  ] as const) {
    t.throws(() => declare(name, contract), { name: 'InvalidArgumentsError', message }, JSON.stringify(contract))
  }
})

t.test("the context's hooks, error handler and encapsulation", async (t) => {
  const order: string[] = []
  const { send } = await start(t, async (app) => {
    for (const name of ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'preSerialization', 'onSend', 'onResponse'] as const) {
      app.addHook(name, (...args: any[]) => {
        order.push(name)
        args.at(-1)()
      })
    }
    app.scHook('emit', (request) => {
      order.push('sc emit')
      request.data = { n: request.data.n + 1 }
    })
    app.addHook('preHandler', async (request) => { order.push(`body ${JSON.stringify(request.body)}`) })
    app.scHook('preHandler', () => { order.push('sc preHandler') })
    app.scHook('onResponse', () => { order.push('sc onResponse') })
    app.scEvent('order', { http: true, data: Type.Object({ n: Type.Integer() }) }, (data) => {
      order.push('handler')
      return data
    })
    app.register(async (child) => {
      child.setErrorHandler((err: any, _request, reply) => { reply.code(err.statusCode).send({ mine: err.name, seat: err.seat }) })
      child.scEvent('fails', { http: true }, () => { throw new ScRefusal('no', { name: 'Taken', seat: 5, statusCode: 409 }) })
    })
    app.register(async (child) => {
      child.setErrorHandler((err: any, _request, reply) => { reply.code(409).send({ mine: err.name }) })
      child.scEvent('fails with a schema', { http: { url: '/fails' }, data: Type.Any() }, () => { throw new Error('secret') })
    })
    app.register(async (child) => {
      child.setErrorHandler((err: any, _request, reply) => { reply.code(418).send(err) })
      child.post('/plain', () => { throw Object.assign(new Error('only here'), { statusCode: 403 }) })
      child.scEvent('teapot', { http: true, data: Type.Any() }, () => { throw new ScRefusal('no', { name: 'Taken' }) })
      child.scHook('emit', () => { throw new ScRefusal('only here') })
    })
  })
  t.same((await send('/events/order', { n: 1 })).body, { n: 2 })
  t.same(order.splice(0), ['onRequest', 'preParsing', 'preValidation', 'sc emit', 'preHandler', 'body {"n":2}', 'sc preHandler', 'handler', 'onSend', 'sc onResponse', 'onResponse'])
  t.match(await send('/events/fails', {}), { status: 409, body: { mine: 'Taken', seat: 5 } })
  t.strictSame((await send('/fails', {})).body, { mine: 'Error' })
  // Fastify gives an error that is sent its own status.
  t.match(await send('/plain', {}), { status: 403, body: { statusCode: 403, message: 'only here' } })
  t.match(await send('/events/teapot', {}), { status: 403, body: { statusCode: 403, error: 'Forbidden', message: 'only here', name: 'RefusalError' } })
})

t.test('what a Fastify hook throws has the status that Fastify gives it, and no inner text from 500 on', async (t) => {
  // The status that the hook sets, the fields of the error, the status of the answer.
  const rows: Array<[number | undefined, object, number]> = [
    [undefined, {}, 500], [undefined, { statusCode: 500 }, 500], [undefined, { statusCode: 503 }, 503], [undefined, { statusCode: 404 }, 404], [undefined, { status: 409 }, 409],
    [undefined, { statusCode: 200 }, 500], [undefined, { statusCode: 4003, status: 410 }, 410], [201, {}, 500], [404, {}, 404], [503, {}, 503],
    [404, { statusCode: 500 }, 500], [503, { statusCode: 404 }, 404], [404, { statusCode: 1 }, 404], [undefined, { headers: { 'x-of-error': '1' }, statusCode: 429 }, 429]
  ]
  for (const name of ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'onSend'] as const) {
    const { send } = await start(t, (app) => {
      app.addHook(name as 'onRequest', async (request, reply) => {
        const [set, fields] = rows[Number(request.headers['x-row'])]!
        if (set !== undefined) reply.code(set)
        throw Object.assign(new Error('SELECT secret'), fields)
      })
      app.scEvent('bare', { http: true }, () => 1)
      app.scEvent('documented', { http: true, data: Type.Any(), response: Type.Any() }, () => 1)
      app.post('/plain', () => '1')
    })
    for (const [row, [set, fields, status]] of rows.entries()) {
      const what = `${name} ${set} ${JSON.stringify(fields)}`
      const headers = { 'x-row': String(row) }
      // A plain route keeps the status that it had before `onSend`, be it 201.
      if (name !== 'onSend') t.equal((await send('/plain', {}, { headers })).status, status, `${what}: a plain route`)
      // After an `onSend` hook that throws, no other runs: only a schema of the errors changes the body then.
      for (const event of name === 'onSend' ? ['documented'] : ['bare', 'documented']) {
        const answer = await send(`/events/${event}`, {}, { headers })
        t.match(answer, { status, body: { statusCode: status, name: 'Error', message: status < 500 ? 'SELECT secret' : 'Internal error' } }, `${what}: ${event}`)
        t.equal(/secret/.test(JSON.stringify(answer.body)), status < 500, `${what}: ${event}`)
      }
    }
  }
})

t.test('what a caller over HTTP has, and what it has not', async (t) => {
  const methods: string[] = []
  for (const prototype of [ServerSocket.prototype, Object.getPrototypeOf(ServerSocket.prototype) as object]) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      t.ok(name in HttpCaller.prototype, `${name} is there`)
      if (typeof value === 'function' && name !== 'constructor') methods.push(name)
    }
  }
  const reads = new Set(['getState', 'getAuthToken', 'subscriptions', 'isSubscribed', 'listeners', 'hasListeners', 'toJSON'])
  const { send, warnings } = await start(t, (app) => {
    app.scEvent('caller', { http: true }, (_data, { socket }) => {
      const full = socket as any
      for (const name of methods.filter((name) => !reads.has(name))) t.throws(() => full[name]('x'), { name: 'InvalidActionError', code: 'SC_ERR_NO_CONNECTION' }, name)
      full.data = { kept: 1 }
      t.match(full, { transport: 'http', state: 'open', active: true, authState: 'unauthenticated', authToken: null, signedAuthToken: null, protocolVersion: null, bufferedAmount: 0, channelSubscriptionsCount: 0, data: { kept: 1 }, OPEN: 'open', remoteAddress: '127.0.0.1', remoteFamily: 'IPv4', forwardedForAddress: '203.0.113.7' })
      t.same([full.getState(), full.getAuthToken(), full.subscriptions(), full.isSubscribed('x'), full.listeners('x'), full.hasListeners('x')], ['open', null, [], false, [], false])
      t.equal(full.server, app.scServer)
      t.equal(full.exchange, app.scServer.exchange)
      t.equal(full.request, full.fastifyRequest.raw)
      t.equal(full.id, full.id)
      return { id: full.id, printed: full }
    })
    app.scEvent('emits', { http: true }, (_data, { socket }) => { (socket as any).emit('x') })
  })
  const { body } = await send('/events/caller', {}, { headers: { 'x-forwarded-for': '203.0.113.7' } })
  t.match(body, { id: /^[\w-]{20}$/, printed: { transport: 'http', authState: 'unauthenticated' } })
  t.not((await send('/events/caller', {}, { headers: { 'x-forwarded-for': '203.0.113.7' } })).body.id, body.id)
  t.match(await send('/events/emits', {}), { status: 500, body: { name: 'InvalidActionError', code: 'SC_ERR_NO_CONNECTION' } })
  t.match(warnings, [{ code: 'SC_ERR_NO_CONNECTION' }])
})

t.test('answers of all kinds', async (t) => {
  const circle: any = {}
  circle.self = circle
  const answers: Record<string, [unknown, number, unknown]> = {
    nothing: [undefined, 204, undefined],
    null: [null, 200, null],
    text: ['text', 200, 'text'],
    number: [7, 200, 7],
    bytes: [{ of: Buffer.from('abc') }, 200, { of: { base64: true, data: 'YWJj' } }]
  }
  const { send } = await start(t, (app) => {
    for (const [name, [answer]] of Object.entries(answers)) app.scEvent(name, { http: true }, () => answer)
    app.scEvent('circle', { http: true }, () => circle)
    app.scEvent('misfit', { http: true, response: Type.Object({ id: Type.String() }) }, () => ({}) as any)
    app.register(async (child) => {
      child.addHook('preHandler', async (_request, reply) => { reply.code(201) })
      child.scEvent('status', { http: true }, () => { throw new ScRefusal('no') })
    })
  })
  for (const [name, [, status, body]] of Object.entries(answers)) t.strictSame(await send(`/events/${name}`, {}).then((answer) => [answer.status, answer.body]), [status, body], name)
  t.match(await send('/events/circle', {}), { status: 500, body: { name: 'InvalidArgumentsError', code: 'SC_ERR_ENCODE', message: 'The data cannot be encoded' } })
  t.match(await send('/events/status', {}), { status: 400, body: { statusCode: 400, name: 'RefusalError' } }, 'an error is never a success')
  t.match(await send('/events/misfit', {}), { status: 500, body: { code: 'SC_ERR_RESPONSE_INVALID' } })
})

t.test('hostile requests: each has its answer', async (t) => {
  let handled = 0
  const { send, port, app } = await start(t, (app) => {
    app.decorateRequest('user', null as any)
    app.scEvent('act', { http: true }, (data) => {
      handled++
      return { proto: [Object.prototype, Array.prototype].includes(Object.getPrototypeOf(data ?? {})) }
    })
  }, { maxPayload: 10_000, maxDepth: 5, maxNodes: 100, maxKeys: 20, inboundRate: 0 })
  const deep = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)
  const json = { 'content-type': 'application/json' }
  for (const [what, body, headers, status, name, code] of [
    ['too large', JSON.stringify('x'.repeat(10_000)), json, 413, 'InvalidMessageError'],
    ['no JSON', '{', json, 400, 'InvalidMessageError'],
    ['an empty body', '', json, 400, 'InvalidMessageError'],
    ['__proto__', '{"__proto__":{"admin":true}}', json, 400, 'InvalidMessageError'],
    ['__proto__ further down', '{"a":[{"__proto__":1}]}', json, 400, 'InvalidMessageError'],
    ['constructor.prototype', '{"constructor":{"prototype":{"admin":true}}}', json, 400, 'InvalidMessageError'],
    ['nested too deep', deep(5), json, 400, 'InvalidMessageError'],
    ['as deep as allowed', deep(4), json, 200],
    ['too many values', JSON.stringify(new Array(101).fill(0)), json, 400, 'InvalidMessageError'],
    ['too many different keys', JSON.stringify(Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`key${n}`, 1]))), json, 400, 'InvalidMessageError', 'SC_ERR_MESSAGE_KEYS'],
    ['as many keys as allowed', JSON.stringify(Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`key${n}`, 1]))), json, 200],
    ['many equal keys', JSON.stringify(Array.from({ length: 40 }, () => ({ key: 1 }))), json, 200],
    ['plain text', '{}', { 'content-type': 'text/plain' }, 415, 'InvalidMessageError'],
    ['a form', 'a=1', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'InvalidMessageError'],
    ['several types', '{}', { 'content-type': 'text/plain, application/json' }, 415, 'InvalidMessageError'],
    ['JSON with a charset', '{}', { 'content-type': 'application/json; charset=utf-8' }, 200],
    ['a page of another site, with cookies', '{}', { ...json, cookie: 'a=b', origin: 'https://evil.example' }, 403, 'ServerProtocolError'],
    ['an opaque origin, with cookies', '{}', { ...json, cookie: 'a=b', origin: 'null' }, 403, 'ServerProtocolError'],
    ['a page of another site, with a password', '{}', { ...json, authorization: 'Basic YTpi', origin: 'https://evil.example' }, 403, 'ServerProtocolError'],
    ['a link of another site, with cookies', '{}', { ...json, cookie: 'a=b', 'sec-fetch-site': 'cross-site' }, 403, 'ServerProtocolError'],
    ['a page of another site, with nothing of the user', '{}', { ...json, origin: 'https://evil.example' }, 200],
    ['its own page, with cookies', '{}', { ...json, cookie: 'a=b', origin: `http://127.0.0.1:${port}` }, 200],
    ['no page, with cookies', '{}', { ...json, cookie: 'a=b' }, 200],
    ['a token that is none', '{}', { ...json, authorization: 'Bearer' }, 401, 'AuthTokenInvalidError'],
    ['a large token', '{}', { ...json, authorization: `Bearer ${'x'.repeat(8_000)}` }, 401, 'AuthTokenInvalidError'],
    ['a token with alg none', '{}', { ...json, authorization: 'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.' }, 401, 'AuthTokenInvalidError']
  ] as Array<[string, string, Record<string, string>, number, string?, string?]>) {
    const before = handled
    // Not fetch, which sets some headers itself.
    const answer = await raw(port, 'POST /events/act', headers, body)
    t.equal(answer.status, status, what)
    t.equal(handled - before, status === 200 ? 1 : 0, `${what}: handled`)
    if (status >= 400) t.match(answer.body, { statusCode: status, error: String, message: String, name, ...(code === undefined ? {} : { code }) }, what)
    else t.same(answer.body, { proto: true }, what)
  }
  t.equal((await send('/events/act', {})).status, 200, 'the server goes on')
  t.equal(({} as any).admin, undefined)
  t.ok(app.scServer.stats().invalid >= 2)
})

/** Sends a request as it is and reads the answer. */
async function raw (port: number, line: string, headers: Record<string, string>, body: string): Promise<{ status: number, body: any }> {
  const socket = connectTcp(port, '127.0.0.1')
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  socket.write(`${line} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${lines}\r\n${body}`)
  let text = ''
  for await (const chunk of socket.setEncoding('utf8')) text += chunk
  const [head, payload = ''] = text.split('\r\n\r\n')
  return { status: Number(/^HTTP\/1.1 (\d+)/.exec(head!)?.[1]), body: payload === '' ? undefined : JSON.parse(payload) }
}

t.test('a rate for each user, and for each address without a user', async (t) => {
  const { send, sc } = await start(t, (app) => {
    app.decorateRequest('user', null as any)
    app.addHook('onRequest', async (request) => { if (request.headers['x-user'] !== undefined) request.user = { sub: request.headers['x-user'] as string } })
    app.scEvent('act', { http: true }, () => 1)
  }, { inboundRate: 0.001, inboundBurst: 2 })
  const as = (user?: string) => send('/events/act', {}, { headers: user === undefined ? {} : { 'x-user': user } })
  for (const user of ['ann', 'bob', undefined]) {
    t.same([(await as(user)).status, (await as(user)).status], [200, 200])
    const refused = await as(user)
    t.match(refused, { status: 429, body: { name: 'RateLimitError', code: 'SC_ERR_RATE', retryAfter: Number } })
    t.ok(Number(refused.headers.get('retry-after')) >= refused.body.retryAfter / 1_000, `as ${user ?? 'nobody'}`)
  }
  const guess = await send('/events/act', {}, { headers: { authorization: 'Bearer guess' } })
  t.equal(guess.status, 429, 'who guesses tokens has the rate of the address')
  t.equal(sc.stats().rateLimited, 4)
})

t.test('the time is up, the client goes, the server closes', async (t) => {
  let entered!: () => void
  let aborted!: () => void
  let release!: () => void
  const { send, app } = await start(t, (app) => {
    app.scEvent('slow', { http: true, timeout: 50 }, (_data, { signal }) => new Promise(() => { signal.addEventListener('abort', () => aborted()) }))
    app.scEvent('left', { http: true }, (_data, { signal }) => new Promise((resolve) => {
      signal.addEventListener('abort', () => {
        aborted()
        resolve('too late')
      })
      entered()
    }))
    app.scEvent('quick', { http: true }, async (_data, { signal }) => {
      signal.addEventListener('abort', () => t.fail('the answer was given'))
      return 1
    })
    app.scEvent('last', { http: true }, () => new Promise((resolve) => {
      release = () => resolve('bye')
      entered()
    }))
  })
  let ended = new Promise<void>((resolve) => { aborted = resolve })
  t.match(await send('/events/slow', {}), { status: 504, body: { name: 'TimeoutError', code: 'SC_ERR_HANDLER_TIMEOUT' } })
  await ended

  ended = new Promise((resolve) => { aborted = resolve })
  const abort = new AbortController()
  const begun = new Promise<void>((resolve) => { entered = resolve })
  const call = send('/events/left', {}, { signal: abort.signal })
  await begun
  abort.abort()
  await t.rejects(call)
  await ended
  t.equal((await send('/events/quick', {})).status, 200)

  const underWay = new Promise<void>((resolve) => { entered = resolve })
  const answer = send('/events/last', {})
  await underWay
  const closed = app.close()
  release()
  t.match(await answer, { status: 200, body: 'bye' }, 'a closing server waits for the answer')
  await closed
})

t.test('a client that leaves while a hook runs calls no handler, over HTTP/1.1 and HTTP/2', async (t) => {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], { algorithm: 'sha256' })
  for (const version of [1, 2]) {
    let entered!: () => void
    let leave!: () => void
    let handled = 0
    const inHook = new Promise<void>((resolve) => { entered = resolve })
    const app = Fastify(version === 2 ? { http2: true, https: { key, cert, allowHTTP1: true } } as object : {}) as FastifyInstance
    t.teardown(() => app.close())
    await app.register(scPlugin, { authKey })
    app.scHook('emit', ({ event }) => event === 'left' ? new Promise<void>((resolve) => { leave = resolve; entered() }) : undefined)
    app.scEvent('left', { http: true }, () => { handled++ })
    app.scEvent('after', { http: true }, () => { handled++ })
    await app.listen({ port: 0, host: 'localhost' })
    const url = `${version === 2 ? 'https' : 'http'}://localhost:${(app.server.address() as AddressInfo).port}`
    const closed = new Promise<void>((resolve) => { app.server.once('request', (_request, response) => response.once('close', resolve)) })
    if (version === 1) {
      const abort = new AbortController()
      const left = fetch(`${url}/events/left`, { method: 'POST', signal: abort.signal })
      await inHook
      abort.abort()
      await t.rejects(left)
    } else {
      const session = http2.connect(url, { ca: cert })
      t.teardown(() => session.destroy())
      const left = session.request({ ':method': 'POST', ':path': '/events/left' })
      left.on('error', () => {})
      left.end()
      await inHook
      left.close(http2.constants.NGHTTP2_CANCEL)
    }
    await closed
    leave()
    await new Promise(setImmediate)
    t.equal(handled, 0, `HTTP/${version}`)
  }
})

t.test('a closing server does not wait longer than closeTimeout for a handler', async (t) => {
  for (const timeout of [0, 60_000]) {
    let entered!: () => void
    const { send, app } = await start(t, (app) => {
      app.scEvent('hangs', { http: true, timeout }, (_data, { signal }) => new Promise(() => {
        signal.addEventListener('abort', () => t.pass('aborted'))
        entered()
      }))
    }, { closeTimeout: 100 })
    const begun = new Promise<void>((resolve) => { entered = resolve })
    const answer = send('/events/hangs', {})
    await begun
    await app.close()
    t.match(await answer, { status: 504, body: { name: 'TimeoutError' } })
  }
})

t.test('a closing server does not wait longer than closeTimeout for a hook', async (t) => {
  for (const line of ['handshakeSC', 'authenticate', 'emit', 'preHandler'] as const) {
    let entered!: () => void
    const { send, app } = await start(t, (app) => {
      app.decorateRequest('user', null as any)
      app.addHook('onRequest', async (request) => { request.user = { sub: 'ann' } })
      app.scHook(line as 'emit', () => new Promise(() => { entered() }))
      app.scEvent('act', { http: true }, () => t.fail('the handler ran'))
    }, { closeTimeout: 100, hookTimeout: 0 })
    const begun = new Promise<void>((resolve) => { entered = resolve })
    const answer = send('/events/act', {})
    await begun
    await app.close()
    t.match(await answer, { status: 503, body: { code: 'SC_ERR_CLOSING' } }, line)
  }
})

t.test('a closing server waits for the handler after a hook', async (t) => {
  let entered!: () => void
  let pass!: () => void
  let answer!: (value: string) => void
  const { send, app } = await start(t, (app) => {
    app.scHook('emit', () => new Promise((resolve) => {
      pass = resolve
      entered()
    }))
    app.scEvent('act', { http: true }, () => new Promise((resolve) => {
      answer = resolve
      entered()
    }))
  })
  let begun = new Promise<void>((resolve) => { entered = resolve })
  const answered = send('/events/act', {})
  await begun
  begun = new Promise<void>((resolve) => { entered = resolve })
  const closed = app.close()
  pass()
  await begun
  answer('bye')
  t.match(await answered, { status: 200, body: 'bye' })
  await closed
})

t.test('too many different keys in a body without a length', async (t) => {
  const { port } = await start(t, (app) => {
    app.scEvent('act', { http: true }, (data) => Object.keys(data as object).length)
  }, { maxKeys: 20 })
  for (const [keys, status] of [[20, 200], [21, 400]] as const) {
    const body = JSON.stringify(Object.fromEntries(Array.from({ length: keys }, (_, n) => [`key${n}`, 1])))
    const response = await fetch(`http://127.0.0.1:${port}/events/act`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: new Blob([body]).stream(), duplex: 'half' } as RequestInit)
    t.equal(response.status, status)
    t.match(await response.json(), status === 200 ? keys : { code: 'SC_ERR_MESSAGE_KEYS', name: 'InvalidMessageError' })
  }
})

t.test('a body that never ends is not waited for by the event', async (t) => {
  const { port } = await start(t, (app) => { app.scEvent('act', { http: true }, () => t.fail('called')) })
  const socket = connectTcp(port, '127.0.0.1')
  socket.write('POST /events/act HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"a":')
  await once(socket, 'connect')
  socket.destroy()
  await once(socket, 'close')
})

t.test('OpenAPI with Zod: its builder accepts the routes, and errors are complete', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(scPlugin, { authKey })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  await app.register(swagger, { openapi: { openapi: '3.1.0', info: { title: 'Chat', version: '1.0.0' } }, transform: jsonSchemaTransform })
  app.scEvent('say', { http: true, data: z.object({ n: z.number() }), response: z.object({ id: z.string() }) }, () => ({ id: '1' }))
  app.scEvent('bare', { http: true }, () => { throw new ScRefusal('no', { seat: 5 }) })
  app.scEvent('data', { http: true, data: z.string() }, () => {})
  await app.ready()
  const document: any = app.swagger()
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  t.ok(valid, JSON.stringify(errors))
  t.match(document.paths['/events/say'].post, { requestBody: { content: { 'application/json': { schema: { properties: { n: { type: 'number' } } } } } } })
  const call = async (name: string, payload: object) => {
    const { statusCode, body } = await app.inject({ method: 'POST', url: `/events/${name}`, payload })
    return { status: statusCode, body: JSON.parse(body) }
  }
  t.match(await call('say', { n: 1 }), { status: 200, body: { id: '1' } })
  t.match(await call('say', { n: '1' }), { status: 400, body: { code: 'FST_ERR_VALIDATION', name: String, validationContext: 'data' } })
  t.match(await call('bare', {}), { status: 400, body: { name: 'RefusalError', seat: 5 } })
})

t.test('OpenAPI shows the routes', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(scPlugin, { authKey })
  await app.register(swagger, { openapi: { openapi: '3.1.0', info: { title: 'Chat', version: '1.0.0' } } })
  app.addSchema({ $id: 'person', type: 'object', properties: { name: { type: 'string' } } })
  app.scEvent('say', { http: true, summary: 'Says something', description: 'In a **room**', tags: ['talk'], deprecated: true, data: Type.Object({ text: Type.String() }), response: Type.Object({ id: Type.String() }) }, () => ({ id: '1' }))
  app.scEvent('meet', { http: { url: '/meet', method: 'PUT' }, data: { $ref: 'person#' } }, () => {})
  app.scEvent('secret', { http: true, hide: true }, () => {})
  app.scEvent('no route', {}, () => {})
  await app.ready()
  const document: any = app.swagger()
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  t.ok(valid, JSON.stringify(errors))
  t.same(Object.keys(document.paths), ['/events/say', '/meet'])
  t.match(document.paths['/events/say'].post, {
    operationId: 'say',
    summary: 'Says something',
    description: 'In a **room**',
    tags: ['talk'],
    deprecated: true,
    requestBody: { content: { 'application/json': { schema: { properties: { text: { type: 'string' } } } } } },
    responses: { 200: { content: { 'application/json': { schema: { properties: { id: { type: 'string' } } } } } }, default: { content: { 'application/json': { schema: { required: ['statusCode', 'error', 'message', 'name'] } } } } }
  })
  t.match(document.paths['/meet'].put, { operationId: 'meet', responses: { 204: { description: String } } })
  t.equal((await app.inject({ method: 'PUT', url: '/meet', payload: { name: 5 } })).statusCode, 400, 'schemas that were added validate')
  t.equal((await app.inject({ method: 'PUT', url: '/meet', payload: { name: 'ann' } })).statusCode, 204)
})
