// Where, how often and beside what the plugin is registered: each row works for a client of either generation, or is refused
// at boot with a sentence that says what to do.
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { type IncomingMessage, type ServerResponse, createServer as createHttpServer } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import { createRequire } from 'node:module'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import express from '@fastify/express'
import proxy from '@fastify/http-proxy'
import middie from '@fastify/middie'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import { generate } from 'selfsigned'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { scAsyncApi } from '../../lib/asyncapi/index.js'
import { scPlugin, type ScPluginOptions } from '../../lib/index.js'
import { injectSC } from '../../lib/testing/index.js'
import { type Client, generations } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { authKey } from '../helpers/serve.js'
import { Stopwatch } from '../helpers/stopwatch.js'
import { closed } from '../helpers/waiting.js'

const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], { keySize: 2048 })

interface Row {
  fastify?: object
  setUp (app: FastifyInstance): unknown
  /** Where clients connect; the first is what `getPath()` says of the first registration. */
  paths?: string[]
  /** Paths that are nobody's. */
  nowhere?: string[]
  /** Other websocket routes, which echo. */
  echoes?: string[]
  /** What the boot fails with instead. */
  refused?: RegExp
  secure?: boolean
  /** Lines of this level or more may be logged. */
  noisy?: boolean
}

/** The plugin with what the test asks of it. */
async function sc (app: FastifyInstance, options: ScPluginOptions & { prefix?: string } = {}): Promise<void> {
  await app.register(scPlugin, { authKey, ...options })
  app.scEvent('where', {}, () => app.scServer.getPath())
}

function echo (app: FastifyInstance, path: string): void {
  app.get(path, { websocket: true }, (socket) => { socket.on('message', (data) => socket.send(data.toString())) })
}

/** An own @fastify/websocket with a route. */
const own = (path = '/own', plugin = websocket) => async (app: FastifyInstance): Promise<void> => {
  await app.register(plugin)
  app.register(async (child) => echo(child, path))
}

/** As npm installs it when the application asks for another release: it knows nothing of the first. */
function otherWebsocket (): typeof websocket {
  const require = createRequire(import.meta.url)
  const path = require.resolve('@fastify/websocket')
  delete require.cache[path]
  return require(path)
}

/** A hook of the application that takes its time. */
const slowHook = (app: FastifyInstance): unknown => app.addHook('onRequest', async () => { await new Promise((resolve) => setImmediate(resolve)) })

const rows: Record<string, Row> = {
  alone: { setUp: (app) => sc(app), nowhere: ['/', '/socketclusters'] },
  'alone, after a hook that waits': { setUp: (app) => { slowHook(app); return sc(app) }, nowhere: ['/'] },
  'a path of its own': { setUp: (app) => sc(app, { path: '/live' }), paths: ['/live/', '/live'], nowhere: ['/socketcluster/'] },
  'the root': { setUp: (app) => sc(app, { path: '/' }), paths: ['/'] },

  // Several
  'two contexts with two paths': {
    setUp: (app) => {
      app.register(async (one) => sc(one, { path: '/one' }))
      app.register(async (two) => sc(two, { path: '/two' }))
    },
    paths: ['/one/', '/two/', '/two', '/one']
  },
  'three contexts with three paths, after a hook that waits': {
    setUp: (app) => {
      slowHook(app)
      for (const path of ['/one', '/two', '/three']) app.register(async (child) => sc(child, { path }))
    },
    paths: ['/one/', '/two/', '/three/']
  },
  'two contexts with one path': {
    setUp: (app) => {
      app.register(async (one) => sc(one))
      app.register(async (two) => sc(two))
    },
    refused: /the path \/socketcluster\/ has a route already.*option path/
  },
  'two contexts with one path and two prefixes': {
    setUp: (app) => {
      app.register(async (one) => sc(one), { prefix: '/one' })
      app.register(async (two) => sc(two), { prefix: '/two' })
    },
    paths: ['/one/socketcluster/', '/two/socketcluster/'],
    nowhere: ['/socketcluster/']
  },
  'twice in one context': { setUp: async (app) => { await sc(app); await sc(app, { path: '/two' }) }, refused: /already registered/ },
  'in a parent and its child': { setUp: async (app) => { await sc(app); app.register(async (child) => sc(child, { path: '/two' })) }, refused: /already registered/ },
  'in a child, then in its parent': {
    setUp: async (app) => {
      await app.register(async (child) => sc(child, { path: '/two' }))
      await sc(app, { path: '/one' })
    },
    paths: ['/one/', '/two/']
  },
  'after ready': { setUp: async (app) => { await app.ready(); await sc(app) }, refused: /Root plugin has already booted/ },
  'a route of the application on its path': {
    setUp: async (app) => { app.get('/socketcluster/', () => 'mine'); await sc(app) },
    refused: /the path \/socketcluster\/ has a route already.*option path/
  },

  // Beside another @fastify/websocket
  'an own @fastify/websocket before it': { setUp: async (app) => { await own()(app); await sc(app) }, echoes: ['/own'] },
  'an own @fastify/websocket before it, and a hook that waits': { setUp: async (app) => { slowHook(app); await own()(app); await sc(app) }, echoes: ['/own'] },
  'an own @fastify/websocket after it': { setUp: async (app) => { await sc(app); await own()(app) }, echoes: ['/own'] },
  'an own @fastify/websocket after it, and a hook that waits': { setUp: async (app) => { await sc(app); await own()(app); slowHook(app) }, echoes: ['/own'] },
  'an own @fastify/websocket in a sibling before it': { setUp: async (app) => { await app.register(async (child) => own()(child)); await app.register(async (child) => sc(child)) }, echoes: ['/own'] },
  'an own @fastify/websocket in a sibling after it': { setUp: async (app) => { await app.register(async (child) => sc(child)); await app.register(async (child) => own()(child)) }, echoes: ['/own'] },
  'an own @fastify/websocket in a child of its context': { setUp: async (app) => { await sc(app); await app.register(async (child) => own()(child)) }, echoes: ['/own'] },
  'an own @fastify/websocket in a parent before it': { setUp: async (app) => { await own()(app); await app.register(async (child) => sc(child)) }, echoes: ['/own'] },
  'an own @fastify/websocket in a parent after it': { setUp: async (app) => { await app.register(async (child) => sc(child)); await own()(app) }, echoes: ['/own'] },
  'two paths beside an own @fastify/websocket': {
    setUp: async (app) => {
      app.register(async (one) => sc(one, { path: '/one' }))
      await own()(app)
      app.register(async (two) => sc(two, { path: '/two' }))
    },
    paths: ['/one/', '/two/'],
    echoes: ['/own']
  },
  'two contexts, each with its own @fastify/websocket': {
    setUp: async (app) => {
      app.register(async (one) => { await own('/own1')(one); await sc(one, { path: '/one' }) })
      app.register(async (two) => { await sc(two, { path: '/two' }); await own('/own2')(two) })
    },
    paths: ['/one/', '/two/'],
    echoes: ['/own1', '/own2'],
    // Two of @fastify/websocket on one server: the second warns of each upgrade that the first has taken.
    noisy: true
  },

  'another release of @fastify/websocket before it': { setUp: async (app) => { await own('/own', otherWebsocket())(app); await sc(app) }, echoes: ['/own'] },
  'another release of @fastify/websocket in a sibling before it': { setUp: async (app) => { await app.register(async (child) => own('/own', otherWebsocket())(child)); await app.register(async (child) => sc(child)) }, echoes: ['/own'] },
  'another release of @fastify/websocket in a sibling after it': { setUp: async (app) => { await app.register(async (child) => sc(child)); await app.register(async (child) => own('/own', otherWebsocket())(child)) }, echoes: ['/own'] },

  // Beside others who take upgrades
  'a websocket server of its own on the HTTP server, before it': { setUp: async (app) => { foreign(app); await sc(app) }, echoes: ['/foreign'] },
  'a websocket server of its own on the HTTP server, after it': { setUp: async (app) => { await sc(app); foreign(app) }, echoes: ['/foreign'] },
  '@fastify/http-proxy with websockets before it': { setUp: async (app) => { await proxied(app); await sc(app) }, echoes: ['/proxied/'] },
  '@fastify/http-proxy with websockets after it': { setUp: async (app) => { await sc(app); await proxied(app) }, echoes: ['/proxied/'] },
  '@fastify/express before it': { setUp: async (app) => { await app.register(express); await sc(app) } },
  '@fastify/express after it': { setUp: async (app) => { await sc(app); await app.register(express) } },
  '@fastify/express with middleware': { setUp: async (app) => { await app.register(express); app.use((_req: unknown, _res: unknown, next: () => void) => next()); await sc(app) } },
  '@fastify/express beside an own @fastify/websocket': { setUp: async (app) => { await app.register(express); await own()(app); await sc(app) }, echoes: ['/own'] },
  '@fastify/express with an application that answers everything but upgrades': {
    setUp: async (app) => {
      await app.register(express)
      app.use((request: IncomingMessage & { upgrade?: boolean }, response: ServerResponse, next: () => void) => request.upgrade === true ? next() : response.end('everything'))
      await sc(app)
    }
  },
  '@fastify/middie before it': { setUp: async (app) => { await app.register(middie); app.use((_req: unknown, _res: unknown, next: () => void) => next()); await sc(app) } },
  '@fastify/middie after it': { setUp: async (app) => { await sc(app); await app.register(middie); app.use((_req: unknown, _res: unknown, next: () => void) => next()) } },

  // Prefixes
  'the option prefix': { setUp: (app) => sc(app, { prefix: '/v1' }), paths: ['/v1/socketcluster/', '/v1/socketcluster'], nowhere: ['/socketcluster/'] },
  'the option prefix, with slashes': { setUp: (app) => sc(app, { prefix: '/v1/', path: 'live/' }), paths: ['/v1/live/', '/v1/live'] },
  'the option prefix and the path of the root': { setUp: (app) => sc(app, { prefix: '/v1', path: '/' }), paths: ['/v1/', '/v1'], nowhere: ['/'] },
  'a context with a prefix': { setUp: (app) => { app.register(async (child) => sc(child), { prefix: '/v1' }) }, paths: ['/v1/socketcluster/', '/v1/socketcluster'], nowhere: ['/socketcluster/'] },
  'a context with a prefix in another, and the option': {
    setUp: (app) => { app.register(async (outer) => { outer.register(async (inner) => sc(inner, { prefix: 'here', path: '/live' }), { prefix: '/v2' }) }, { prefix: '/v1' }) },
    paths: ['/v1/v2/here/live/', '/v1/v2/here/live'],
    nowhere: ['/live/', '/v1/v2/live']
  },
  'a context with a prefix, and the path of the root': { setUp: (app) => { app.register(async (child) => sc(child, { path: '/' }), { prefix: '/v1' }) }, paths: ['/v1/', '/v1'], nowhere: ['/'] },

  // Options of Fastify
  ignoreTrailingSlash: { fastify: { routerOptions: { ignoreTrailingSlash: true } }, setUp: (app) => sc(app), paths: ['/socketcluster/', '/socketcluster'] },
  'ignoreTrailingSlash, as it was written before': { fastify: { ignoreTrailingSlash: true }, setUp: (app) => sc(app), paths: ['/socketcluster/', '/socketcluster'], noisy: true },
  'ignoreTrailingSlash and a prefix': { fastify: { routerOptions: { ignoreTrailingSlash: true } }, setUp: (app) => { app.register(async (child) => sc(child, { path: '/' }), { prefix: '/v1' }) }, paths: ['/v1/', '/v1'] },
  ignoreDuplicateSlashes: { fastify: { routerOptions: { ignoreDuplicateSlashes: true } }, setUp: (app) => sc(app), paths: ['/socketcluster/', '//socketcluster//', '/socketcluster'] },
  both: { fastify: { routerOptions: { ignoreDuplicateSlashes: true, ignoreTrailingSlash: true } }, setUp: (app) => sc(app), paths: ['/socketcluster/', '//socketcluster//', '/socketcluster'] },
  'caseSensitive: false': { fastify: { routerOptions: { caseSensitive: false } }, setUp: (app) => sc(app, { path: '/Live' }), paths: ['/Live/', '/live', '/LIVE/'] },
  useSemicolonDelimiter: { fastify: { routerOptions: { useSemicolonDelimiter: true } }, setUp: (app) => sc(app), paths: ['/socketcluster/', '/socketcluster/;a=1'] },
  rewriteUrl: { fastify: { rewriteUrl: (request: { url: string }) => request.url.replace(/^\/old\//, '/socketcluster/') }, setUp: (app) => sc(app), paths: ['/socketcluster/', '/old/'] },
  'exposeHeadRoutes: false': { fastify: { exposeHeadRoutes: false }, setUp: (app) => sc(app) },
  'no logger': { fastify: { logger: false }, setUp: (app) => sc(app) },
  'disableRequestLogging, bodyLimit, return503OnClosing': { fastify: { disableRequestLogging: true, bodyLimit: 1, return503OnClosing: false }, setUp: (app) => sc(app), noisy: true },
  'requestTimeout, connectionTimeout, keepAliveTimeout, maxRequestsPerSocket': { fastify: { requestTimeout: 1_000, connectionTimeout: 60_000, keepAliveTimeout: 1_000, maxRequestsPerSocket: 2 }, setUp: (app) => sc(app) },
  'a server of the application': { fastify: { serverFactory: (handler: any) => createHttpServer(handler) }, setUp: (app) => sc(app) },
  forceCloseConnections: { fastify: { forceCloseConnections: true }, setUp: (app) => sc(app) },
  TLS: { fastify: { https: { key, cert } }, setUp: (app) => sc(app), secure: true },

  // HTTP/2
  'HTTP/2 with TLS and HTTP/1.1': { fastify: { http2: true, https: { key, cert, allowHTTP1: true } }, setUp: (app) => sc(app), secure: true },
  'HTTP/2 with TLS and HTTP/1.1, beside an own @fastify/websocket': { fastify: { http2: true, https: { key, cert, allowHTTP1: true } }, setUp: async (app) => { await own()(app); await sc(app) }, secure: true },
  'HTTP/2 with TLS': { fastify: { http2: true, https: { key, cert } }, setUp: (app) => sc(app), refused: /HTTP\/1\.1.*https\.allowHTTP1: true/ },
  'HTTP/2 without TLS': { fastify: { http2: true }, setUp: (app) => sc(app), refused: /HTTP\/1\.1.*https\.allowHTTP1: true/ },
  'an HTTP/2 server of the application': { fastify: { serverFactory: (handler: any) => createHttp2Server(handler) }, setUp: (app) => sc(app), refused: /HTTP\/1\.1.*https\.allowHTTP1: true/ }
}

/** A websocket server beside Fastify. */
function foreign (app: FastifyInstance): void {
  const server = new WebSocketServer({ noServer: true })
  server.on('connection', (socket) => { socket.on('message', (data) => socket.send(data.toString())) })
  app.server.on('upgrade', (request, socket, head) => {
    if (request.url === '/foreign') server.handleUpgrade(request, socket, head, (ws) => server.emit('connection', ws, request))
  })
  app.addHook('preClose', async () => { for (const client of server.clients) client.close() })
}

/** A proxy to an application that echoes. */
async function proxied (app: FastifyInstance): Promise<void> {
  const upstream = Fastify()
  await upstream.register(websocket)
  upstream.register(async (child) => echo(child, '/'))
  const address = await upstream.listen({ port: 0, host: '127.0.0.1' })
  app.addHook('onClose', () => upstream.close())
  await app.register(proxy, { upstream: address, prefix: '/proxied', websocket: true })
}

/** What a client does: connects, calls, subscribes, gets a message, and leaves. */
async function visit (t: any, client: Client, path: string): Promise<void> {
  const where = await client.call('where')
  await client.subscribe('news')
  await client.publish('news', { path })
  t.same(await client.next('news'), { path }, `${path}: a message`)
  t.type(where, 'string')
  await client.close()
}

for (const [name, row] of Object.entries(rows)) {
  t.test(name, async (t) => {
    const logs: any[] = []
    const stream = new Writable({ write (chunk: Buffer, _encoding, done) { logs.push(JSON.parse(chunk.toString())); done() } })
    const app = Fastify({ logger: { level: 'warn', stream }, ...row.fastify })
    t.teardown(() => app.close())
    const start = async (): Promise<void> => {
      await row.setUp(app)
      await app.listen({ port: 0, host: '127.0.0.1' })
    }
    if (row.refused !== undefined) {
      await t.rejects(start(), row.refused)
      return
    }
    await start()
    const { port } = app.server.address() as { port: number }
    const paths = row.paths ?? ['/socketcluster/']
    if (app.hasDecorator('scServer')) t.equal(app.scServer.getPath(), paths[0])
    const tls = row.secure === true ? { secure: true, wsOptions: { rejectUnauthorized: false }, rejectUnauthorized: false } : {}
    for (const path of paths) {
      for (const [, connect] of generations) await visit(t, await connect(t, { port }, { path, ...tls }), path)
    }
    for (const path of row.echoes ?? []) {
      const client = await RawClient.open(t, port, { path, secure: row.secure === true })
      client.send('hello')
      t.equal(await client.inbox.take(() => true, 'the echo'), 'hello', `${path} echoes`)
      await client.close()
    }
    for (const path of row.nowhere ?? []) {
      await t.rejects(RawClient.open(t, port, { path, secure: row.secure === true }), /Unexpected server response: 404/, `nothing at ${path}`)
    }
    // Sockets, upgraded and refused, are gone, and do not hold up the end.
    const stays = await Promise.all(paths.map((path) => RawClient.connect(t, port, { path, secure: row.secure === true })))
    const watch = new Stopwatch()
    await app.close()
    for (const client of stays) t.same(await client.closed, { code: 1001, reason: 'Server closing' })
    t.ok(watch.stop() < 4_000, 'closes at once')
    if (row.noisy !== true) t.same(logs, [], 'nothing to warn of')
  })
}

async function start (t: any, options: object, setUp: (app: FastifyInstance) => unknown, listen: object = { port: 0, host: '127.0.0.1' }): Promise<FastifyInstance> {
  const app = Fastify(options)
  t.teardown(() => app.close())
  await setUp(app)
  await app.listen(listen)
  return app
}

t.test('every address of localhost', async (t) => {
  const app = await start(t, {}, (app) => sc(app), { port: 0, host: 'localhost' })
  const addresses = app.addresses() as AddressInfo[]
  t.ok(addresses.length >= 1)
  const clients = []
  for (const { address, family, port } of addresses) {
    const ws = new WebSocket(`ws://${String(family).endsWith('6') ? `[${address}]` : address}:${port}/socketcluster/`)
    const client = new RawClient(ws, 2)
    clients.push(client)
    await once(ws, 'open')
    await client.handshake()
    t.equal((await client.call('where')).data, '/socketcluster/', `at ${address}`)
  }
  await app.close()
  for (const client of clients) t.same(await client.closed, { code: 1001, reason: 'Server closing' })
})

t.test('a port as text, and a unix socket', async (t) => {
  const free = await start(t, {}, () => {})
  const { port } = free.server.address() as AddressInfo
  await free.close()
  await start(t, {}, (app) => sc(app), { port: String(port), host: '127.0.0.1' })
  t.equal((await (await RawClient.connect(t, port)).call('where')).data, '/socketcluster/')

  const path = join(tmpdir(), `fastify-socketcluster-${process.pid}.sock`)
  t.teardown(() => rm(path, { force: true }))
  const app = await start(t, {}, (app) => sc(app), { path })
  const ws = new WebSocket(`ws+unix://${path}:/socketcluster/`)
  const client = new RawClient(ws, 2)
  await once(ws, 'open')
  await client.handshake()
  t.equal((await client.call('where')).data, '/socketcluster/')
  await app.close()
  t.equal((await client.closed).code, 1001)
})

t.test('requests on the path that are no upgrades', async (t) => {
  const app = await start(t, {}, (app) => sc(app))
  for (const url of ['/socketcluster/', '/socketcluster']) {
    const { statusCode, headers } = await app.inject({ url, headers: { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-version': '13' } })
    t.same([statusCode, headers.upgrade], [426, 'websocket'], 'inject() has no connection to upgrade')
    t.equal((await app.inject({ method: 'HEAD', url })).statusCode, 426)
    t.equal((await app.inject({ method: 'POST', url })).statusCode, 404)
  }
})

/** What a server answers to the bytes of a request, until it closes. */
async function answer (port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.on('data', (data) => { answer += data.toString() })
  socket.write(text)
  await closed(socket)
  return answer
}

t.test('upgrades that are nobody\'s are answered as requests, and their connections end', async (t) => {
  for (const beside of [false, true]) {
    const app = await start(t, {}, async (app) => {
      await sc(app)
      app.get('/plain', () => 'plain')
      app.post('/plain', () => 'posted')
      if (beside) app.register(async (child) => own()(child))
    })
    const { port } = app.server.address() as AddressInfo
    const ask = (line: string, upgrade = 'h2c'): Promise<string> => answer(port, `${line} HTTP/1.1\r\nHost: x\r\nUpgrade: ${upgrade}\r\nConnection: Upgrade\r\n\r\n`)
    t.match(await ask('GET /nowhere'), /^HTTP\/1\.1 404 /)
    t.match(await ask('GET /plain'), /^HTTP\/1\.1 200 [^]*plain$/)
    if (!beside) t.match(await ask('POST /plain'), /^HTTP\/1\.1 405 /, 'a body could not be read')
    t.match(await ask('GET /socketcluster/'), /^HTTP\/1\.1 400 /)
    t.match(await ask('GET /socketcluster/', 'websocket'), /^HTTP\/1\.1 400 /, 'without a key')
    t.match(await ask('HEAD /socketcluster/', 'websocket'), /^HTTP\/1\.1 405 /)
    const watch = new Stopwatch()
    await app.close()
    t.ok(watch.stop() < 4_000)
  }
})

t.test('hooks of the application that refuse an upgrade, wherever they stand', async (t) => {
  for (const beside of ['nothing', 'before', 'after']) {
    for (const wait of [false, true]) {
      const app = await start(t, {}, async (app) => {
        app.addHook('onRequest', async () => {
          if (wait) await new Promise((resolve) => setImmediate(resolve))
          throw Object.assign(new Error('not you'), { statusCode: 403 })
        })
        if (beside === 'before') await own()(app)
        await sc(app)
        if (beside === 'after') await own()(app)
      })
      const { port } = app.server.address() as AddressInfo
      await t.rejects(RawClient.open(t, port), /Unexpected server response: 403/)
      t.match(await answer(port, 'GET /socketcluster/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'), /^HTTP\/1\.1 403 /, `${beside}, ${wait ? 'after a while' : 'at once'}`)
    }
  }
})

t.test('hooks that never decide about an upgrade, whoever brought it to the route', async (t) => {
  for (const [name, setUp] of Object.entries<(app: FastifyInstance) => unknown>({
    'our own': (app) => sc(app, { handshakeTimeout: 200 }),
    'an own @fastify/websocket before it': async (app) => { await own()(app); await sc(app, { handshakeTimeout: 200 }) },
    'an own @fastify/websocket after it': async (app) => { await sc(app, { handshakeTimeout: 200 }); await own()(app) },
    'in a context with a prefix': async (app) => { await own()(app); await app.register(async (child) => { await sc(child, { handshakeTimeout: 200 }) }, { prefix: '/socketcluster' }) }
  })) {
    const app = Fastify()
    t.teardown(() => app.close())
    app.addHook('onRequest', ({ url }, _reply, done) => { if (!url.startsWith('/socketcluster')) done() })
    await setUp(app)
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo
    await t.rejects(RawClient.open(t, port, { path: app.hasDecorator('scServer') ? app.scServer.getPath() : '/socketcluster/socketcluster/' }), /Unexpected server response: 503/, name)
  }
})

t.test('one registration ends, another goes on', async (t) => {
  let one!: FastifyInstance
  const app = await start(t, {}, (app) => {
    app.register(async (child) => { one = child; await sc(child, { path: '/one' }) })
    app.register(async (child) => sc(child, { path: '/two' }))
  })
  const { port } = app.server.address() as AddressInfo
  await one.scServer.close()
  await t.rejects(RawClient.open(t, port, { path: '/one' }), /Unexpected server response: 503/)
  t.equal((await (await RawClient.connect(t, port, { path: '/two' })).call('where')).data, '/two/')
})

t.test('two registrations share nothing but the HTTP server', async (t) => {
  const contexts: FastifyInstance[] = []
  const app = await start(t, {}, (app) => {
    for (const path of ['/one', '/two']) {
      app.register(async (child) => {
        contexts.push(child)
        await sc(child, { path })
        child.scHook('subscribe', async () => { if (path === '/one') throw new Error('not here') })
      })
    }
  })
  const { port } = app.server.address() as AddressInfo
  const [first, second] = await Promise.all(['/one', '/two'].map((path) => RawClient.connect(t, port, { path })))
  t.ok('error' in await first!.call('#subscribe', 'news'))
  t.notOk('error' in await second!.call('#subscribe', 'news'))
  contexts[0]!.scServer.exchange.publish('news', 'of one')
  contexts[1]!.scServer.exchange.publish('news', 'of two')
  t.equal(await second!.publication('news'), 'of two')
  t.same(contexts.map(({ scServer }) => scServer.clientsCount), [1, 1])
})

t.test('the test kit and the AsyncAPI document say the true path', async (t) => {
  let context!: FastifyInstance
  const app = await start(t, {}, (app) => {
    app.register(async (child) => {
      await sc(child, { prefix: '/live', path: '/ws' })
      await child.register(scAsyncApi)
      child.get('/document', () => child.asyncapi())
      context = child
    }, { prefix: '/v1' })
  })
  const client = await injectSC(context)
  t.equal(await client.invoke('where'), '/v1/live/ws/')
  const { servers } = (await app.inject('/v1/document')).json()
  t.match(Object.values(servers), [{ pathname: '/v1/live/ws/' }])
})

t.test('the test kit on HTTP/2 with HTTP/1.1', async (t) => {
  const app = await start(t, { http2: true, https: { key, cert, allowHTTP1: true } }, (app) => sc(app))
  const client = await injectSC(app)
  t.equal(await client.invoke('where'), '/socketcluster/')
})

t.test('a prefix that is no text', async (t) => {
  await t.rejects(async () => Fastify().register(scPlugin, { authKey, prefix: 5 } as object), /prefix/)
})
