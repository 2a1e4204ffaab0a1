import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { type EventContext, type ScPluginOptions, ScRefusal } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

async function connected (t: Test, setUp: (app: FastifyInstance) => unknown, options: ScPluginOptions = {}, headers: Record<string, string> = {}): Promise<{ client: RawClient, app: FastifyInstance, warnings: any[] }> {
  const { port, app, warnings } = await serve(t, { lifecycle: 'request', ...options }, setUp)
  const client = await RawClient.connect(t, port, { headers })
  return { client, app, warnings }
}

t.test('the real hooks of the context run for each event, in their order', async (t) => {
  const ran: string[] = []
  const { client } = await connected(t, (app) => {
    app.addHook('onRequest', async (request) => { if (request.url.includes('__sc')) ran.push('root onRequest') })
    app.register(async (child) => {
      child.decorateRequest('who', '')
      child.addHook('onRequest', (request, _reply, done) => { (request as any).who = 'ann'; ran.push('onRequest'); done() })
      child.addHook('preParsing', (_request, _reply, payload, done) => { ran.push('preParsing'); done(null, payload) })
      child.addHook('preValidation', async (request) => { ran.push(`preValidation ${JSON.stringify(request.body)}`) })
      child.addHook('preHandler', async () => { ran.push('preHandler') })
      child.addHook('preSerialization', async (_request, _reply, payload) => { ran.push('preSerialization'); return { ...payload as object, more: 1 } })
      child.addHook('onSend', async (_request, _reply, payload) => { ran.push(`onSend ${String(payload)}`); return payload })
      child.addHook('onResponse', async (_request, reply) => { ran.push(`onResponse ${reply.statusCode}`) })
      child.scHook('emit', () => { ran.push('emit') })
      child.scHook('preHandler', () => { ran.push('sc preHandler') })
      child.scHook('onResponse', ({ response }) => { ran.push(`sc onResponse ${(response as { statusCode: number }).statusCode}`) })
      child.scEvent('hello', {
        data: Type.Object({ n: Type.Integer() }),
        response: Type.Object({ n: Type.Integer(), who: Type.String(), more: Type.Integer() }),
        preHandler: () => { ran.push('own preHandler') },
        config: { a: 1 }
      }, async function (data, { request, reply, event, config, socket, log }) {
        ran.push('handler')
        t.equal(this, child)
        t.equal(event, 'hello')
        t.strictSame(config, { a: 1 })
        t.equal(socket.id.length, 20)
        t.type(log.info, 'function')
        t.equal(reply!.request, request)
        return { n: data.n + 1, who: (request as any).who, more: 0, secret: true }
      })
    })
    app.register(async (sibling) => { sibling.addHook('onRequest', async () => { ran.push('sibling') }) })
  })
  const answer = await client.call('hello', { n: 1 })
  t.strictSame(answer.data, { n: 2, who: 'ann', more: 1 }, 'serialized by the schema')
  t.strictSame(ran, [
    'emit', 'root onRequest', 'onRequest', 'preParsing', 'preValidation {"n":1}', 'preHandler', 'sc preHandler', 'own preHandler', 'handler', 'preSerialization',
    'onSend {"n":2,"who":"ann","more":1}', 'onResponse 200', 'sc onResponse 200'
  ])
})

t.test('data is validated by the context, and not coerced', async (t) => {
  let reached = 0
  const { client, app } = await connected(t, (app) => {
    app.addSchema({ $id: 'item', type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] })
    app.scEvent('ref', { data: { $ref: 'item#' } }, () => { reached++ })
    app.scEvent('typebox', Type.Object({ n: Type.Integer() }), () => { reached++ })
    app.scEvent('coerced', { data: Type.Object({ n: Type.Integer() }), validatorCompiler: 'context' }, (data) => data)
    app.register(async (child) => {
      child.setSchemaErrorFormatter((errors, dataVar) => new Error(`formatted ${errors.length} of ${dataVar}`))
      child.scEvent('formatted', Type.Integer(), () => { reached++ })
    })
    app.register(async (child) => {
      child.setErrorHandler((error: any, _request, reply) => { reply.code(error.statusCode).send({ code: 'MINE', message: `mine: ${error.message}`, statusCode: error.statusCode, list: error.validation }) })
      child.scEvent('handled', Type.Integer(), () => { reached++ })
    })
  })
  for (const name of ['ref', 'typebox']) {
    for (const wrong of [{ n: '1' }, {}, null, undefined, 'x']) {
      const { error } = await client.call(name, wrong)
      t.match(error, { code: 'FST_ERR_VALIDATION', statusCode: 400, validationContext: 'data' }, `${name} ${JSON.stringify(wrong)}`)
      t.ok(error.validation.length > 0)
    }
  }
  t.match((await client.call('formatted', 'x')).error, { message: 'formatted 1 of body' }, "the context's own formatter")
  t.match((await client.call('handled', 'x')).error, { code: 'MINE', message: /^mine: body must be integer/, list: [{ message: 'must be integer' }] }, "the context's own error handler")
  t.equal(reached, 0)
  t.strictSame((await client.call('coerced', { n: '5' })).data, { n: 5 })
  t.match((await client.call('typebox', { n: 1 })), { rid: Number })
  t.equal(reached, 1)
  t.equal((await app.inject({ method: 'POST', url: '/typebox', payload: { n: 1 } })).statusCode, 404)
})

t.test('errors', async (t) => {
  const seen: unknown[] = []
  const { client } = await connected(t, (app) => {
    app.addHook('onError', async (_request, _reply, error) => { seen.push(error.message) })
    app.scHook('onError', ({ error }) => { seen.push(`sc ${(error as Error).message}`) })
    app.scEvent('refused', {}, async () => { throw new ScRefusal('not yours', { statusCode: 403, name: 'OwnershipError' }) })
    app.scEvent('secret', {}, async () => { throw new Error('password is 123') })
    app.scEvent('sync', {}, () => { throw new ScRefusal('sync', { statusCode: 400 }) })
    app.scEvent('replied', {}, (_data, { reply }) => reply!.code(409).send({ name: 'ConflictError', message: 'twice', version: 7 }))
    app.scEvent('text', {}, (_data, { reply }) => reply!.code(410).send('gone'))
    app.scEvent('slow', { timeout: 50 }, () => new Promise(() => {}))
    app.register(async (child) => {
      child.addHook('onRequest', async (_request, reply) => reply.code(401).send({ message: 'who are you' }))
      child.scEvent('unauthorized', {}, () => t.fail('it was reached'))
    })
    app.register(async (child) => {
      child.setErrorHandler((error: any, _request, reply) => { reply.code(500).send({ message: `composed: ${error.message}`, hint: 'call us' }) })
      child.scEvent('composed', {}, async () => { throw new Error('boom') })
    })
  })
  const error = async (name: string): Promise<any> => (await client.call(name, {})).error
  t.match(await error('refused'), { name: 'OwnershipError', message: 'not yours', statusCode: 403 })
  t.match(seen, ['not yours', 'sc not yours'])
  t.match(await error('sync'), { message: 'sync', statusCode: 400 })
  const secret = await error('secret')
  t.notMatch(JSON.stringify(secret), /password/)
  t.match(secret.message, 'Internal error')
  t.match(await error('replied'), { name: 'ConflictError', message: 'twice', version: 7, statusCode: 409 })
  t.match(await error('text'), { message: 'gone', statusCode: 410 })
  t.match(await error('slow'), { name: 'TimeoutError' })
  t.match(await error('unauthorized'), { message: 'who are you', statusCode: 401 })
  t.match(await error('composed'), { message: 'composed: boom', hint: 'call us', statusCode: 500 }, 'what the application composed may be told')
  t.notOk('stack' in await error('composed'))
})

t.test('every kind of reply becomes an answer', async (t) => {
  const answers: Record<string, (data: any, context: EventContext) => unknown> = {
    object: () => ({ a: 1 }),
    'async object': async () => ({ a: 1 }),
    text: () => 'say "hi"',
    'sent text': (_data, { reply }) => reply!.send('say "hi"'),
    nothing: () => undefined,
    'async nothing': async () => {},
    null: () => null,
    zero: () => 0,
    false: () => false,
    'sent object': (_data, { reply }) => { reply!.send({ a: 1 }) },
    buffer: (_data, { reply }) => reply!.send(Buffer.from([1, 2, 3])),
    stream: (_data, { reply }) => reply!.type('application/json').send(Readable.from(['{"a":', '1}'])),
    'text stream': (_data, { reply }) => reply!.type('text/plain').send(Readable.from(['a', 'b'])),
    'web response': (_data, { reply }) => reply!.send(new Response('{"a":1}', { headers: { 'content-type': 'application/json' } })),
    'broken stream': (_data, { reply }) => reply!.type('application/json').send(new Readable({ read () { this.destroy(new Error('broke')) } }))
  }
  const { client } = await connected(t, (app) => {
    for (const [name, handler] of Object.entries(answers)) app.scEvent(name, {}, handler)
    app.scEvent('schema text', { response: Type.String() }, () => 'say "hi"')
  })
  const data = async (name: string): Promise<unknown> => {
    const answer = await client.call(name, {})
    if (answer.error !== undefined) t.fail(`${name}: ${JSON.stringify(answer.error)}`)
    return answer.data
  }
  for (const name of ['object', 'async object', 'sent object', 'stream', 'web response']) t.strictSame(await data(name), { a: 1 }, name)
  for (const name of ['text', 'sent text', 'schema text']) t.equal(await data(name), 'say "hi"', name)
  t.equal(await data('text stream'), 'ab')
  t.equal(await data('nothing'), undefined)
  t.equal(await data('async nothing'), undefined)
  t.equal(await data('null'), null)
  t.equal(await data('zero'), 0)
  t.equal(await data('false'), false)
  t.strictSame(await data('buffer'), { base64: true, data: 'AQID' })
  t.ok((await client.call('broken stream', {})).error, 'an error and not silence')
})

t.test('headers of the handshake: who the client is, not how a reply is to look', async (t) => {
  const handshake = { authorization: 'Bearer x', cookie: 'a=b', 'accept-encoding': 'gzip', 'if-none-match': 'x', range: 'bytes=0-1', 'content-type': 'text/plain', 'x-custom': 'y', 'x-forwarded-for': '9.9.9.9' }
  const show = (app: FastifyInstance): void => {
    app.scEvent('headers', {}, (_data, { request }) => {
      const { headers, ip, method, hostname, protocol, raw } = request!
      const copy = { ...headers }
      headers.polluted = 'x'
      return { headers: copy, ip, method, hostname, protocol, url: raw.url }
    })
  }
  const { client } = await connected(t, show, {}, handshake)
  for (let call = 0; call < 2; call++) {
    const { data } = await client.call('headers')
    t.match(data, { ip: '127.0.0.1', method: 'POST', hostname: '127.0.0.1', protocol: 'http' })
    t.match(data.headers, { authorization: 'Bearer x', cookie: 'a=b', 'x-forwarded-for': '9.9.9.9' })
    for (const name of ['accept-encoding', 'if-none-match', 'range', 'content-type', 'content-length', 'x-custom', 'upgrade', 'connection', 'polluted']) t.notOk(name in data.headers, name)
  }
  const chosen = await connected(t, show, { requestHeaders: ['X-Custom'] }, handshake)
  t.strictSame((await chosen.client.call('headers')).data.headers, { 'x-custom': 'y' })
})

t.test('both lifecycles beside each other, in prefixed contexts', async (t) => {
  const { client } = await connected(t, (app) => {
    app.register(async (child) => {
      child.addHook('onRequest', async (request) => { (request as any).seen = true })
      child.scEvent('request', {}, (_data, { request }) => (request as any).seen)
      child.scEvent('own', { lifecycle: 'own' }, (_data, { request }) => request === undefined)
      child.register(async (nested) => { nested.scEvent('nested', {}, (_data, { request }) => request!.params) }, { prefix: '/:room/' })
    }, { prefix: '/api' })
  })
  t.equal((await client.call('request')).data, true)
  t.equal((await client.call('own')).data, true)
  t.ok((await client.call('nested')).data)
  // Without a call id nobody waits, and nothing comes back.
  client.send({ event: 'request', data: 1 })
  t.equal((await client.call('request')).data, true)
})

t.test('a hook may replace the data', async (t) => {
  const { client } = await connected(t, (app) => {
    app.scHook('preHandler', async (request) => { request.data = { n: request.data.n + 1 } })
    app.scEvent('plus', { data: Type.Object({ n: Type.Integer() }) }, (data) => data)
  })
  t.strictSame((await client.call('plus', { n: 1 })).data, { n: 2 })
})

t.test('data that does not fit is the same ValidationError with both lifecycles', async (t) => {
  const schemas = [Type.Object({ n: Type.Integer() }), { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] }, Type.Array(Type.String()), Type.Null()]
  const { client } = await connected(t, (app) => {
    for (const [i, schema] of schemas.entries()) {
      for (const lifecycle of ['own', 'request'] as const) app.scEvent(`${lifecycle} ${i}`, { data: schema, lifecycle }, () => 'passed')
    }
  })
  for (const i of schemas.keys()) {
    for (const data of [{ n: 'x' }, {}, null, undefined, 'x', [1], 7]) {
      const { error: own, data: passed } = await client.call(`own ${i}`, data)
      const answer = await client.call(`request ${i}`, data)
      if (own !== undefined) t.match(own, { name: 'ValidationError', code: 'FST_ERR_VALIDATION', statusCode: 400, validationContext: 'data', message: /^data/ })
      t.strictSame(answer.error, own, `schema ${i}, data ${JSON.stringify(data)}`)
      t.equal(answer.data, passed)
    }
  }
})

t.test("a wrong publish of the server's own is no mistake of the caller", async (t) => {
  const { client, app, warnings } = await connected(t, (app) => {
    app.scChannel('typed', { message: Type.Object({ secret: Type.Integer() }) })
    app.scChannel('formatted', { message: Type.Integer(), schemaErrorFormatter: () => Object.freeze(new Error('frozen')) as Error })
    const publish = (channel: string) => app.scServer.exchange.publish(channel, { secret: 'x' })
    for (const channel of ['typed', 'formatted']) {
      for (const lifecycle of ['own', 'request'] as const) {
        app.scEvent(`async ${lifecycle} ${channel}`, { lifecycle }, async () => { await publish(channel) })
        app.scEvent(`hook ${lifecycle} ${channel}`, { lifecycle, preHandler: async () => { await publish(channel) } }, () => 'reached')
      }
      app.scServer.on('connection', (socket) => {
        socket.on(`listener ${channel}`, async () => { await publish(channel) })
        socket.on(`callback ${channel}`, (_data: unknown, res: (err?: unknown) => void) => { publish(channel).catch(res) })
      })
    }
  })
  for (const channel of ['typed', 'formatted']) {
    for (const way of ['async own', 'async request', 'hook own', 'hook request', 'listener', 'callback']) {
      const { error } = await client.call(`${way} ${channel}`, {})
      t.match(error, { name: 'Error', message: 'Internal error', id: String }, `${way} ${channel}`)
      // The id is random, and may have any digits.
      t.notMatch(JSON.stringify({ ...error, id: '' }), /secret|validation|frozen|400/i)
    }
  }
  await t.rejects(app.scServer.exchange.publish('typed', { secret: 'x' }), { name: 'ValidationError', code: 'FST_ERR_VALIDATION', statusCode: 500, validationContext: 'message' }, 'the server itself is told')
  t.ok(warnings.length > 0)
})
