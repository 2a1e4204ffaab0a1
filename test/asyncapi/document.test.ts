import { fileURLToPath } from 'node:url'
import { Parser } from '@asyncapi/parser'
import fastifyStatic from '@fastify/static'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { Type } from 'typebox'
import { parse } from 'yaml'
import { z } from 'zod'
import scAsyncApi, { type AsyncApiDocument, type ScAsyncApiOptions } from '../../lib/asyncapi/index.js'
import { scPlugin, type ScPluginOptions } from '../../lib/index.js'
import { channels, events } from '../../examples/demo/contract.js'

const authKey = 'a secret of tests that has more than thirty-two bytes'
const info = { title: 'Chat', version: '1.2.3' }
const parser = new Parser()

/** What the official parser has to say of a document: errors, warnings and hints. */
async function diagnose (document: AsyncApiDocument | string): Promise<string[]> {
  const { document: parsed, diagnostics } = await parser.parse(typeof document === 'string' ? document : JSON.stringify(document))
  const said = diagnostics.map(({ code, message, path }) => `${code} ${path.join('/')}: ${message}`)
  if (parsed === undefined) said.push('the document could not be parsed')
  return said
}

interface Setup { options?: ScAsyncApiOptions, sc?: ScPluginOptions, before?: (app: FastifyInstance) => unknown }

async function build (t: { teardown (fn: () => unknown): void }, declare: (app: FastifyInstance) => unknown, { options = { info }, sc = {}, before }: Setup = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await before?.(app)
  await app.register(scPlugin, { authKey, ...sc })
  await app.register(scAsyncApi, options)
  await declare(app)
  await app.ready()
  return app
}

/** Follows a chain of references. */
function at (document: AsyncApiDocument, node: any): any {
  while (typeof node?.$ref === 'string') {
    node = node.$ref.slice(2).split('/').reduce((value: any, key: string) => value[decodeURIComponent(key).replaceAll('~1', '/').replaceAll('~0', '~')], document)
  }
  return node
}

async function rich (app: FastifyInstance): Promise<void> {
  app.addSchema({ $id: 'person', type: 'object', properties: { name: { type: 'string' }, friends: { type: 'array', items: { $ref: '#' } } }, required: ['name'], definitions: { id: { type: 'string', format: 'uuid' } } })
  app.addSchema({ $id: 'https://example.com/colour', enum: ['red', 'green'] })
  app.scEvent('chat', {
    summary: 'Says something',
    description: 'In a **room**',
    tags: ['talk', 'rooms'],
    data: Type.Object({ room: Type.String(), text: Type.String({ maxLength: 500 }), level: Type.Optional(Type.Integer()) }),
    response: Type.Object({ id: Type.String() }),
    errors: { RoomFullError: Type.Object({ limit: Type.Integer() }) },
    examples: [{ room: '7', text: 'hi' }, { room: '8', text: 'ho', level: 2 }],
    deprecated: true
  }, async () => ({ id: '1' }))
  app.scEvent('greet', { data: { $ref: 'person#' }, response: { type: 'array', items: { $ref: 'person#/definitions/id' } } }, async () => [])
  app.scEvent('paint', { data: { type: 'object', properties: { colour: { $ref: 'https://example.com/colour#', description: 'Beside a $ref' } } } }, async () => {})
  app.scEvent('tree', {
    data: { $id: 'tree', type: 'object', properties: { left: { $ref: '#' }, right: { $ref: 'tree#/definitions/leaf' }, kind: { default: { $ref: 'data' } } }, definitions: { leaf: { type: 'number' } } }
  }, async () => {})
  app.scEvent('cycle', Type.Cyclic({ Node: Type.Object({ next: Type.Union([Type.Ref('Node'), Type.Null()]) }) }, 'Node'), async () => {})
  app.scEvent('form', { data: z.object({ age: z.int().min(18) }), validatorCompiler: () => () => true }, async () => {})
  app.scEvent('nothing', {}, async () => {})
  app.scEvent('true', { data: true, response: { type: 'string' } }, async () => 'x')
  app.scEvent('odd {name}?#/~% ü', { data: { type: 'number' } }, async () => {})
  app.scEvent('odd.name', { data: { type: 'number' } }, async () => {})
  app.scEvent('odd name', { data: { type: 'number' } }, async () => {})
  app.scEvent('secret', { hide: true, data: { type: 'number' } }, async () => {})

  app.scChannel('room/:id', {
    history: { size: 5 },
    recover: true,
    presence: { members: 50 },
    summary: 'A room',
    tags: ['rooms'],
    params: Type.Object({ id: Type.Union([Type.Literal('7'), Type.Literal('8')], { description: 'Which', default: '7' }) }),
    message: Type.Object({ from: Type.String(), text: Type.String() }),
    examples: [{ from: 'ada', text: 'hi' }]
  })
  app.scChannel('price/:id', { history: {}, recover: 'latest' })
  app.scChannel('news', { clientPublish: false, message: { $ref: 'person#' } })
  app.scChannel('inbox/:user', { clientSubscribe: false })
  app.scChannel('logs/:level-:day/*', { message: Type.String() })
  app.scChannel('a::b', {})
  app.scChannel('what?', {})
  app.scChannel('hidden/*', { hide: true, history: {}, recover: true, presence: { update: true } })
  app.scChannel('lobby', { history: {}, presence: { update: true } })
  app.scChannel('staff', { history: {}, recover: true, presence: { update: true }, clientSubscribe: false })
  app.scChannel('seen', { presence: { watch: () => {} }, clientSubscribe: false })
  await app.register(async (child) => {
    child.addSchema({ $id: 'local', type: 'boolean' })
    child.scEvent('inner', { data: { $ref: 'local#' } }, async () => {})
  })
  await app.register(async (child) => {
    child.addSchema({ $id: 'local', type: 'integer' })
    child.scEvent('other', { data: { $ref: 'local#' } }, async () => {})
  })
}

t.test('a rich application', async (t) => {
  const app = await build(t, rich, {
    options: {
      info: { ...info, description: 'All of it', contact: { name: 'Ada', url: 'https://example.com', email: 'ada@example.com' }, license: { name: 'MIT', url: 'https://example.com/mit' } },
      servers: { production: { host: 'chat.example.com' }, local: { host: 'localhost:8000', protocol: 'ws', pathname: '/sc/', description: 'Yours' } }
    }
  })
  const document = app.asyncapi()
  const ref = (node: any): any => at(document, node)

  t.same(await diagnose(document), [], 'the official parser finds nothing to say')
  t.same(await diagnose(app.asyncapi({ yaml: true })), [], 'nor of the YAML')
  t.same(parse(app.asyncapi({ yaml: true })), JSON.parse(JSON.stringify(document)))
  t.same(JSON.parse(JSON.stringify(document)), document, 'it is plain JSON')

  t.test('an event', async (t) => {
    const operation = document.operations.chat
    t.match(operation, { action: 'receive', summary: 'Says something', description: 'In a **room**', tags: [{ name: 'talk' }, { name: 'rooms' }], 'x-deprecated': true })
    const channel = ref(operation.channel)
    t.match(channel, { address: 'chat', 'x-sc-kind': 'event', tags: [{ name: 'talk' }, { name: 'rooms' }] })
    const message = ref(operation.messages[0])
    t.same(message.examples, [{ payload: { room: '7', text: 'hi' } }, { payload: { room: '8', text: 'ho', level: 2 } }])
    t.same(ref(message.payload), { type: 'object', required: ['room', 'text'], properties: { room: { type: 'string' }, text: { type: 'string', maxLength: 500 }, level: { type: 'integer' } } })
    t.same(ref(operation.reply.channel), channel)
    const [answer, roomFull, invalid] = operation.reply.messages.map(ref)
    t.same(ref(answer.payload), { type: 'object', required: ['id'], properties: { id: { type: 'string' } } })
    t.equal(roomFull.name, 'RoomFullError')
    t.match(roomFull.payload.allOf.map(ref), [{ properties: { name: { const: 'RoomFullError' } } }, { properties: { limit: { type: 'integer' } } }])
    t.equal(invalid.name, 'ValidationError')
    t.notOk(document.operations.nothing.reply, 'without a response no reply is promised')
  })

  t.test('references', async (t) => {
    const { schemas } = document.components
    t.match(schemas.person, { properties: { friends: { items: { $ref: '#/components/schemas/person' } } } })
    t.same(schemas['greet.data'], { $ref: '#/components/schemas/person' })
    t.same(schemas['greet.response'].items, { $ref: '#/components/schemas/person/definitions/id' })
    t.same(ref(schemas['greet.response'].items), { type: 'string', format: 'uuid' })
    const { colour } = schemas['paint.data'].properties
    t.same(colour, { description: 'Beside a $ref', allOf: [{ $ref: '#/components/schemas/https.example.com.colour' }] })
    t.same(ref(colour.allOf[0]), { enum: ['red', 'green'] })
    t.match(schemas.tree, { properties: { left: { $ref: '#/components/schemas/tree' }, right: { $ref: '#/components/schemas/tree/definitions/leaf' } } })
    t.same(schemas.tree.properties.kind, {}, 'tools would follow a $ref in data')
    t.equal(ref(schemas.tree.properties.right).type, 'number')
    const node = ref(schemas['cycle.data'].allOf[0])
    t.same(ref(node.properties.next.anyOf[0]), node)
    t.match(ref(ref(document.operations.form.messages[0]).payload), { type: 'object', properties: { age: { type: 'integer', minimum: 18 } } })
    t.same(schemas['true.data'], {}, 'true means anything')
    // The same id means another schema in another context.
    t.same([ref(ref(document.operations.inner.messages[0]).payload), ref(ref(document.operations.other.messages[0]).payload)], [{ type: 'boolean' }, { type: 'integer' }])
    t.notMatch(JSON.stringify(document), /"\$id"/)
  })

  t.test('channels', async (t) => {
    const room = ref(document.operations['publish.room.id'].channel)
    t.match(room, { address: 'room/{id}', title: 'room/:id', 'x-sc-kind': 'channel', summary: 'A room' })
    t.same([room['x-sc-history'], room['x-sc-recover']], [{ size: 5, ttl: 300_000 }, { limit: 300, bytes: 262_144, rewind: 0 }])
    t.equal(ref(document.operations['publish.price.id'].channel)['x-sc-recover'], 'latest')
    t.same(room['x-sc-presence'], { pattern: 'room/:id#presence', members: 50, leaveDelay: 30_000, interval: 250 })
    t.same(room.parameters, { id: { description: 'Which', enum: ['7', '8'], default: '7' } })
    t.equal(document.operations['publish.room.id'].action, 'receive')
    t.equal(document.operations['subscribe.room.id'].action, 'send')
    const message = ref(document.operations['subscribe.room.id'].messages[0])
    t.same(message.examples, [{ payload: { from: 'ada', text: 'hi' } }])
    t.match(ref(message.payload), { properties: { from: { type: 'string' } } })
    t.same(Object.keys(document.operations).filter((key) => /news|inbox/.test(key)), ['subscribe.news', 'publish.inbox.user'])
    const logs = ref(document.operations['subscribe.logs.level-.day.wildcard'].channel)
    t.equal(logs.address, 'logs/{level}-{day}/{wildcard}')
    t.same(Object.keys(logs.parameters), ['level', 'day', 'wildcard'])
    t.equal(ref(document.operations['subscribe.a.b'].channel).address, 'a:b')
    t.equal(ref(document.operations['subscribe.what'].channel).address, null, 'what an address cannot hold is in the title')
  })

  t.test('calls about channels, and who is in them', async (t) => {
    const history = document.operations['history.room.id']
    const room = ref(history.channel)
    t.match(history, { action: 'receive', title: 'history room/:id', 'x-sc-event': '#history', tags: [{ name: 'rooms' }] })
    t.equal(room.title, 'room/:id')
    const [query] = history.messages.map(ref)
    t.match(query, { name: '#history', payload: { required: ['channel'], properties: { since: { maxLength: 64 }, limit: { minimum: 1, maximum: 300, default: 100 }, reverse: { type: 'boolean' } } } })
    const [answer, error] = history.reply.messages.map(ref)
    t.same(Object.keys(answer.payload.properties), ['messages', 'pos', 'gap'])
    t.match(ref(answer.payload.properties.messages.items.properties.data), { properties: { from: { type: 'string' } } }, 'with the schema of the channel\'s messages')
    t.match(error.payload, { required: ['name', 'message'] })
    t.match(document.operations['presence.lobby'], { action: 'receive', 'x-sc-event': '#presence' })
    t.same(document.operations['presence.lobby'].reply.messages.map((message: any) => ref(message).title), ['Error answer to #presence'])
    const watched = document.operations['subscribe.room.id.presence']
    t.match(ref(watched.channel), { title: 'room/:id#presence', address: null, 'x-sc-kind': 'presence' })
    t.same(watched.messages.map((message: any) => ref(message).payload.properties.type.const), ['state', 'diff', 'count'])
    const about = (verb: string): string[] => Object.keys(document.operations).filter((key) => key.startsWith(verb))
    t.same([about('history.'), about('presence.'), Object.keys(document.operations).filter((key) => key.endsWith('.presence'))],
      [['history.room.id', 'history.price.id'], ['presence.lobby'], ['subscribe.room.id.presence', 'subscribe.lobby.presence', 'subscribe.seen.presence']], 'only where clients may')
  })

  t.test('names', async (t) => {
    t.same(Object.values(document.channels).map(({ title }) => title).filter((title) => title.startsWith('odd')), ['odd {name}?#/~% ü', 'odd.name', 'odd name'])
    t.notMatch(JSON.stringify(document), /secret|hidden/)
  })

  t.test('info, servers and security', async (t) => {
    t.match(document.info, { title: 'Chat', version: '1.2.3', contact: { name: 'Ada' } })
    t.match(document.servers, { production: { host: 'chat.example.com', protocol: 'wss', pathname: '/socketcluster/' }, local: { protocol: 'ws', pathname: '/sc/', description: 'Yours' } })
    t.match(ref(document.servers.production.security[0]), { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' })
  })
})

t.test('the contract of the demo', async (t) => {
  const app = await build(t, (app) => {
    for (const [name, contract] of Object.entries(events)) app.scEvent(name, contract, (async () => ({})) as never)
    app.scChannel('room/:id', channels['room/:id'])
  })
  const document = app.asyncapi()
  t.same(await diagnose(document), [])
  t.same(Object.keys(document.operations), ['login', 'say', 'typing', 'kick', 'subscribe.room.id', 'history.room.id'])
})

t.test('an application that declares nothing, and one that does not listen', async (t) => {
  const app = await build(t, () => {}, { options: {} })
  t.same(await diagnose(app.asyncapi()), [])
  t.match(app.asyncapi(), { info: { title: 'fastify-socketcluster', version: '0.0.0' }, servers: { default: { host: 'localhost', protocol: 'ws' } } })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.match(app.asyncapi().servers.default.host, /^localhost:\d+$/)
})

t.test('what is shown', async (t) => {
  const declare = (app: FastifyInstance): void => {
    app.scEvent('one', { tags: ['a'] }, async () => {})
    app.scEvent('two', { summary: 'no tags' }, async () => {})
    app.scChannel('three', { tags: ['b'] })
  }
  const titles = (app: FastifyInstance): string[] => Object.values(app.asyncapi().channels).map(({ title }) => title)
  t.same(titles(await build(t, declare)), ['one', 'two', 'three'])
  t.same(titles(await build(t, declare, { options: { hideUntagged: true } })), ['one', 'three'])
  const asked: unknown[] = []
  const app = await build(t, declare, { options: { filter: ({ kind, name, documentation }) => { asked.push([kind, name, documentation.tags]); return name !== 'one' } } })
  t.same(titles(app), ['two', 'three'])
  t.same(asked.slice(0, 3), [['event', 'one', ['a']], ['event', 'two', undefined], ['channel', 'three', ['b']]])

  const quiet = await build(t, declare, { sc: { allowClientPublish: false }, options: { securitySchemes: {} } })
  t.same(Object.keys(quiet.asyncapi().operations), ['one', 'two', 'subscribe.three'])
  t.notOk(quiet.asyncapi().servers.default.security)
  const keyed = await build(t, declare, { options: { info, securitySchemes: { key: { type: 'httpApiKey', in: 'query', name: 'key' } } } })
  t.match(keyed.asyncapi().servers.default.security, [{ $ref: '#/components/securitySchemes/key' }])
  t.same(await diagnose(keyed.asyncapi()), [])
})

t.test('schemas of other libraries', async (t) => {
  class Foreign { constructor (readonly json: object) {} }
  const declare = (app: FastifyInstance): void => {
    app.scEvent('foreign', { data: new Foreign({ type: 'number' }), validatorCompiler: () => () => true }, async () => {})
  }
  const places: unknown[] = []
  const app = await build(t, declare, { options: { transform: (schema, place) => { places.push(place); return schema instanceof Foreign ? schema.json : schema } } })
  t.same(app.asyncapi().components.schemas['foreign.data'], { type: 'number' })
  t.same(places[0], { kind: 'event', name: 'foreign', part: 'data' })
  const fn = (app: FastifyInstance): void => { app.scEvent('foreign', { data: () => {}, validatorCompiler: () => () => true }, async () => {}) }
  await t.rejects(build(t, fn), { code: 'SC_ERR_CONTRACT', message: /"foreign".*option transform/ })
  const lost = (app: FastifyInstance): void => { app.scEvent('lost', { data: { $ref: 'nowhere#' }, validatorCompiler: () => () => true }, async () => {}) }
  await t.rejects(build(t, lost), { code: 'SC_ERR_CONTRACT', message: /"nowhere#"/ })
})

t.test('a property that is called $ref is no reference', async (t) => {
  const app = await build(t, (app) => { app.scEvent('link', { data: { type: 'object', properties: { $ref: { type: 'string' }, $id: { type: 'number' } } } }, async () => {}) })
  t.same(app.asyncapi().components.schemas['link.data'], { type: 'object', properties: { $ref: { type: 'string' }, $id: { type: 'number' } } })
  // The official parser takes it for one, so it is not asked here.
})

t.test('set-up', async (t) => {
  await t.rejects(async () => { await Fastify().register(scAsyncApi) }, /fastify-socketcluster/, 'the plugin comes first')
  const wrong: Array<[object, RegExp]> = [
    [{ inf: {} }, /no option "inf"/],
    [{ info: { title: 1 } }, /Option info: expected/],
    [{ routePrefix: 'docs' }, /Option routePrefix: expected a path.*got "docs"/],
    [{ routePrefix: '/docs/' }, /Option routePrefix/],
    [{ exposeRoute: 1 }, /Option exposeRoute/],
    [{ servers: { a: {} } }, /Option servers/],
    [{ securitySchemes: { a: {} } }, /Option securitySchemes/],
    [{ hooks: { onSend () {} } }, /Option hooks/],
    [{ transform: 'x' }, /Option transform/],
    [{ filter: 'x' }, /Option filter/],
    [{ hideUntagged: 1 }, /Option hideUntagged/]
  ]
  for (const [options, message] of wrong) await t.rejects(build(t, () => {}, { options }), { code: 'SC_ERR_OPTIONS', message })

  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(scPlugin, { authKey })
  await app.register(scAsyncApi)
  t.throws(() => app.asyncapi(), { code: 'SC_ERR_BEFORE_READY' })
})

t.test('routes', async (t) => {
  const app = await build(t, rich)
  const json = await app.inject('/asyncapi.json')
  t.equal(json.headers['content-type'], 'application/json; charset=utf-8')
  t.same(json.json(), app.asyncapi())
  const yaml = await app.inject('/asyncapi.yaml')
  t.equal(yaml.headers['content-type'], 'application/yaml; charset=utf-8')
  t.same(parse(yaml.body), json.json())
  const page = await app.inject('/asyncapi')
  t.match(page.body, '<title>Chat</title>')
  t.notMatch(page.body, /https?:/, 'nothing comes from elsewhere')
  for (const [, url] of page.body.matchAll(/(?:src|href)="(asyncapi[^"]*)"/g)) t.equal((await app.inject(`/${url}`)).statusCode, 200, url ?? '')
  const script = await app.inject('/asyncapi/viewer.js')
  t.match(script.headers['content-type'], /javascript/)
  t.equal((await app.inject({ url: '/asyncapi/viewer.js', headers: { 'if-none-match': String(script.headers.etag) } })).statusCode, 304)
  t.equal((await app.inject('/asyncapi/package.json')).statusCode, 404, 'only the viewer is served')
  t.equal((await app.inject('/asyncapi/../package.json')).statusCode, 404)

  const titled = await build(t, () => {}, { options: { info: { title: '<script>"&' }, routePrefix: '/docs/events' } })
  t.match((await titled.inject('/docs/events')).body, '<title>&lt;script&gt;&quot;&amp;</title>')
  t.match((await titled.inject('/docs/events')).body, 'src="events/viewer.js"')
  t.equal((await titled.inject('/docs/events/viewer.css')).statusCode, 200)

  const none = await build(t, () => {}, { options: { exposeRoute: false } })
  for (const url of ['/asyncapi', '/asyncapi.json', '/asyncapi.yaml']) t.equal((await none.inject(url)).statusCode, 404)
  t.equal(none.asyncapi().asyncapi, '3.1.0')
  const bare = await build(t, () => {}, { options: { exposeRoute: 'document' } })
  t.same([(await bare.inject('/asyncapi')).statusCode, (await bare.inject('/asyncapi.json')).statusCode], [404, 200])

  const guarded = await build(t, () => {}, { options: { hooks: { onRequest: async (_request, reply) => { await reply.code(401).send() } } } })
  for (const url of ['/asyncapi', '/asyncapi.json', '/asyncapi.yaml', '/asyncapi/viewer.js', '/asyncapi/start.js']) t.equal((await guarded.inject(url)).statusCode, 401, url)
})

t.test('the routes write the document once, and know who has it', async (t) => {
  let built = 0
  const info = { get title () { built++; return 'Chat' }, version: '1.0.0' }
  const app = await build(t, rich, { options: { info } })
  for (const url of ['/asyncapi.json', '/asyncapi.yaml']) {
    const first = await app.inject(url)
    const before = built
    const { etag } = first.headers
    t.match(etag, /^"[\w-]{43}"$/)
    t.equal(first.headers['cache-control'], 'no-cache')
    for (const known of [etag, `W/${String(etag)}`, `"other", ${String(etag)}`, '*']) {
      const answer = await app.inject({ url, headers: { 'if-none-match': String(known) } })
      t.same([answer.statusCode, answer.body, answer.headers.etag], [304, '', etag], String(known))
    }
    t.equal((await app.inject({ url, headers: { 'if-none-match': '"other"' } })).body, first.body)
    t.equal(built, before)
    await app.listen({ port: 0 }).catch(() => {})
    t.match((await app.inject(url)).body, /localhost:\d+/, 'the port is known when it listens')
  }
})

t.test('beside @fastify/swagger, @fastify/swagger-ui and @fastify/static', async (t) => {
  const app = await build(t, async (app) => {
    await rich(app)
    app.get('/hello', { schema: { response: { 200: { type: 'string' } } } }, async () => 'hello')
  }, {
    before: async (app) => {
      await app.register(fastifyStatic, { root: fileURLToPath(new URL('.', import.meta.url)), prefix: '/files/' })
      await app.register(swagger, { openapi: { info } })
      await app.register(swaggerUi)
    }
  })
  t.same(Object.keys(app.swagger().paths ?? {}).filter((path) => !path.startsWith('/files')), ['/hello'])
  t.equal((await app.inject('/documentation/json')).statusCode, 200)
  t.equal((await app.inject('/documentation/static/swagger-ui.css')).statusCode, 200)
  t.equal((await app.inject('/files/document.test.ts')).statusCode, 200)
  t.match((await app.inject('/asyncapi/viewer.css')).headers['content-type'], /css/)
  t.match((await app.inject('/asyncapi/viewer.js')).headers['content-type'], /javascript/)
  t.same(await diagnose(app.asyncapi()), [])
})

t.test('names that objects have of their own are names like any other', async (t) => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'proto']
  const app = await build(t, (app) => {
    for (const name of names) {
      app.scEvent(name, { data: Type.Object({ a: Type.String() }) }, () => {})
      app.scChannel(`${name}/:id`, {})
    }
  })
  const { channels } = JSON.parse(JSON.stringify(app.asyncapi())) as AsyncApiDocument
  t.strictSame(Object.values(channels as Record<string, { title: string }>).map(({ title }) => title).sort(), names.flatMap((name) => [name, `${name}/:id`]).sort())
  t.strictSame(await diagnose(app.asyncapi()), [])
})

t.test('an event over HTTP has a channel and an operation for its route, on a server of its own', async (t) => {
  const declare = (app: FastifyInstance): void => {
    app.scEvent('say', { http: { url: '/say', method: 'PUT' }, summary: 'Says', tags: ['talk'], data: Type.Object({ text: Type.String() }), response: Type.String(), errors: { Full: Type.Object({ limit: Type.Integer() }) } }, () => '')
    app.scEvent('only here', {}, () => {})
    app.scEvent('hidden', { http: { url: '/hidden' }, hide: true }, () => {})
    app.scChannel('news', {})
  }
  const document = (await build(t, declare)).asyncapi()
  t.same(await diagnose(document), [])
  t.match(document.servers, { default: { protocol: 'ws', pathname: '/socketcluster/' }, http: { protocol: 'http', pathname: undefined } })
  const operation = document.operations['say over HTTP'] ?? Object.values(document.operations).find((one: any) => one.title === 'say over HTTP') as any
  const channel = at(document, operation.channel)
  t.match(operation, { action: 'receive', summary: 'Says', bindings: { http: { method: 'PUT' } } })
  t.match(channel, { address: '/say', servers: [{ $ref: '#/servers/http' }] })
  t.same(operation.messages.map((message: any) => at(document, at(document, message)).name), ['say'])
  t.same(operation.reply.messages.map((message: any) => at(document, at(document, message)).name), ['say response', 'Full', 'ValidationError'])
  for (const { title, servers } of Object.values(document.channels) as any[]) if (title !== 'say over HTTP') t.same(servers, [{ $ref: '#/servers/default' }], title)
  t.equal(Object.values(document.channels).filter((one: any) => one.title.endsWith('over HTTP')).length, 1)

  const named = (await build(t, declare, { options: { info, servers: { edge: { host: 'chat.example.com' }, api: { host: 'api.example.com', protocol: 'https' } } } })).asyncapi()
  t.same(await diagnose(named), [])
  t.match(Object.values(named.channels).find((one: any) => one.title === 'say over HTTP'), { servers: [{ $ref: '#/servers/api' }] })
  const without = (await build(t, (app) => { app.scEvent('plain', {}, () => {}) })).asyncapi()
  t.same(Object.keys(without.servers), ['default'])
  t.notOk(Object.values(without.channels).some((one: any) => 'servers' in one))
})
