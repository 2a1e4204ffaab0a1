import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { scPlugin, type ScPluginOptions } from '../lib/index.js'
import type { Broker, BrokerSink } from '../types/broker.js'
import { type Cleanup, NetClient, RawClient } from './helpers/raw.js'
import { authKey, serve } from './helpers/serve.js'
import { Stopwatch } from './helpers/stopwatch.js'
import { closed } from './helpers/waiting.js'

const hookNames = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const
type HookName = typeof hookNames[number]

/** Milliseconds that a promise takes, as a {@link Stopwatch} measures for upper limits. */
async function timed (work: Promise<unknown>): Promise<number> {
  const watch = new Stopwatch()
  await work
  return watch.stop()
}

/** An application on a free port, with things registered before and after the plugin. */
async function build (t: Cleanup, options: ScPluginOptions, before: (app: FastifyInstance) => unknown, after: (app: FastifyInstance) => unknown): Promise<{ app: FastifyInstance, port: number }> {
  const app = Fastify()
  t.teardown(() => app.close())
  await before(app)
  await app.register(scPlugin, { authKey, ...options })
  await after(app)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, port: (app.server.address() as { port: number }).port }
}

const nothing = (): void => {}

t.test('a broker that does not stop is waited for as long as closeTimeout says, and for a second at least', async (t) => {
  const closing = [[100, 1_000], [1_300, 1_300]].map(async ([closeTimeout, waited]) => {
    const broker = { name: 'mine', shared: true, start (sink: BrokerSink) { sink.state('up') }, control () {}, stop: () => new Promise<void>(() => {}) } as unknown as Broker
    const { app, warnings } = await serve(t, { broker, closeTimeout })
    await app.close()
    t.match(warnings, [{ code: 'SC_ERR_BROKER', message: `The broker mine did not stop within ${waited} ms` }])
  })
  await Promise.all(closing)
})

t.test('a hook that answers', async (t) => {
  const answers: Array<[string, number, (app: FastifyInstance, name: HookName) => unknown]> = [
    ['reply.code(401).send()', 401, (app, name) => app.addHook(name as 'onRequest', async (_request, reply) => reply.code(401).header('x-why', 'because').send({ own: 'body' }))],
    ['throw {statusCode: 403}', 403, (app, name) => app.addHook(name as 'onRequest', async () => { throw Object.assign(new Error('no'), { statusCode: 403 }) })],
    ['reply.send() in a callback', 401, (app, name) => app.addHook(name as 'onRequest', (_request, reply) => { reply.code(401).send('no') })]
  ]
  for (const [how, status, add] of answers) {
    for (const name of hookNames) {
      for (const when of ['before', 'after'] as const) {
        const { app, port } = await build(t, {}, when === 'before' ? (app) => add(app, name) : nothing, when === 'after' ? (app) => add(app, name) : nothing)
        const socket = connect(port, '127.0.0.1')
        socket.write('GET /socketcluster/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n')
        let answer = ''
        socket.on('data', (data) => { answer += data.toString() })
        const freed = await timed(closed(socket))
        t.match(answer, new RegExp(`^HTTP/1.1 ${status} `), `${how} in ${name}, added ${when} the plugin`)
        if (how.startsWith('reply.code')) t.match(answer, /x-why: because[^]*\{"own":"body"\}/)
        await t.rejects(RawClient.open(null, port), new RegExp(String(status)), 'a websocket client gets it too')
        const took = await timed(app.close())
        t.ok(freed < 2_000 && took < 1_000, `freed after ${freed.toFixed()} ms, closed in ${took.toFixed()} ms`)
      }
    }
  }
})

t.test('a hook that hangs', async (t) => {
  for (const when of ['before', 'after'] as const) {
    const hang = (app: FastifyInstance): unknown => app.addHook('onRequest', () => new Promise(() => {}))
    for (const own of [false, true]) {
      const { app, port } = await build(t, { handshakeTimeout: 150 }, (app) => {
        if (when === 'before') hang(app)
        if (own) app.register(websocket)
      }, when === 'after' ? hang : nothing)
      const start = performance.now()
      const took = await timed(t.rejects(RawClient.open(null, port), /503/))
      t.ok(performance.now() - start >= 140 && took < 2_000, `freed after ${took.toFixed()} ms`)
      const closing = await timed(app.close())
      t.ok(closing < 1_000, `closed in ${closing.toFixed()} ms`)
    }
  }
  let decide = nothing
  const slow = await build(t, { handshakeTimeout: 100 }, (app) => app.addHook('onRequest', (_request, _reply, done) => { decide = done }), nothing)
  const socket = connect(slow.port, '127.0.0.1')
  socket.write('GET /socketcluster/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n')
  let answer = ''
  socket.on('data', (data) => { answer += data.toString() })
  await closed(socket)
  t.match(answer, /^HTTP\/1\.1 503 Service Unavailable\r\n/)
  t.match(JSON.parse(answer.split('\r\n\r\n')[1]!.replace(/^[\da-f]+\r\n|\r\n0$/g, '')), { statusCode: 503, code: 'SC_ERR_UPGRADE_TIMEOUT', error: 'Service Unavailable', message: /within 100 ms \(option handshakeTimeout\)/ })
  decide()
  t.match(slow.app.scServer.stats(), { pendingClients: 0, connects: 0 }, 'a hook that decides too late makes no connection')
  const { app, port } = await build(t, { handshakeTimeout: 300 }, (app) => app.addHook('onRequest', () => new Promise(() => {})), nothing)
  const opening = RawClient.open(null, port)
  opening.catch(() => {})
  await sleep(50)
  const took = await timed(app.close())
  t.ok(took < 2_000, `closing does not wait longer than handshakeTimeout for it: ${took.toFixed()} ms`)
  await t.rejects(opening)
})

t.test('what is logged of a hook that hangs has no query: it may hold a token', async (t) => {
  const lines: any[] = []
  const app = Fastify({ logger: { stream: { write (line: string) { lines.push(JSON.parse(line)) } } } })
  t.teardown(() => app.close())
  app.addHook('onRequest', () => new Promise(() => {}))
  await app.register(scPlugin, { authKey, handshakeTimeout: 50 })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as { port: number }
  await t.rejects(RawClient.open(null, port, { path: '/socketcluster/?authToken=hidden' }), /503/)
  const line = lines.find(({ msg }) => msg === 'hooks did not decide about an upgrade in time')
  t.match(line, { level: 40, path: '/socketcluster/', timeout: 50 })
  t.notMatch(JSON.stringify(line), /hidden/)
})

t.test('an upgrade that comes while closing', async (t) => {
  for (const own of [false, true]) {
    const { app, port } = await build(t, { closeTimeout: 300 }, (app) => own ? app.register(websocket, { options: { closeTimeout: 300 } } as object) : undefined, nothing)
    const mute = await NetClient.connect(t, port)
    const early = connect(port, '127.0.0.1')
    await once(early, 'connect')
    const closing = timed(app.close())
    await mute.closeFrame()
    t.equal(app.scServer.draining, true)
    let answer = ''
    early.on('data', (data) => { answer += data.toString() })
    early.write('GET /socketcluster/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n')
    const freed = await timed(closed(early))
    t.match(answer, /^HTTP\/1.1 503 /, 'is refused')
    t.ok(freed < 1_000, `and freed after ${freed.toFixed()} ms`)
    const took = await closing
    t.ok(took < 2_000, `closed in ${took.toFixed()} ms`)
  }
})

t.test('a client that never answers the close', async (t) => {
  for (const own of [false, true]) {
    const { app, port } = await build(t, { closeTimeout: 400, closeCode: 4321, closeReason: 'bye' }, (app) => own ? app.register(websocket) : undefined, nothing)
    const good = await RawClient.connect(t, port)
    const pending = await RawClient.open(t, port)
    const mute = await NetClient.connect(t, port)
    const paused = await NetClient.connect(t, port)
    paused.socket.pause()
    const start = performance.now()
    const took = await timed(app.close())
    if (!own) {
      t.ok(performance.now() - start >= 380 && took < 2_000, `delays close() by the deadline: ${took.toFixed()} ms`)
      t.same(await good.closed, { code: 4321, reason: 'bye' })
      t.same(await pending.closed, { code: 4321, reason: 'bye' })
      t.same(await mute.closeFrame(), { code: 4321, reason: 'bye' })
    } else {
      // The close frames of an own @fastify/websocket go out first.
      t.ok(took < 2_000, `also with the application's own @fastify/websocket: ${took.toFixed()} ms`)
      await good.closed
      await pending.closed
    }
    await mute.closed
    t.equal(app.scServer.clientsCount + app.scServer.pendingClientsCount, 0)
  }
  const { app, port } = await build(t, { closeTimeout: 3_000 }, nothing, nothing)
  const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(t, port)))
  const took = await timed(app.close())
  t.ok(took < 1_500, `polite clients do not make it wait: ${took.toFixed()} ms`)
  for (const client of clients) t.same(await client.closed, { code: 1001, reason: 'Server closing' })
})

t.test('what is queued and what is under way reaches clients before the close', async (t) => {
  const { app, sc, port } = await serve(t, { closeTimeout: 2_000 }, (app) => {
    app.scEvent('slow', {}, async () => {
      await sleep(100)
      return 'done'
    })
  })
  const client = await RawClient.connect(t, port)
  await client.call('#subscribe', 'news')
  client.send({ event: 'slow', cid: 'slow' })
  await client.barrier()
  for (let i = 0; i < 1_000; i++) sc.exchange.publish('news', i)
  Object.values(sc.clients)[0]!.emit('last')
  const took = await timed(app.close())
  t.ok(took < 1_500, `${took.toFixed()} ms`)
  await client.closed
  const publications = client.inbox.items.filter((packet) => packet.event === '#publish').map((packet) => packet.data.data)
  t.same(publications, Array.from({ length: 1_000 }, (_, i) => i))
  t.ok(client.inbox.items.some((packet) => packet.event === 'last'))
  t.same(client.inbox.items.filter((packet) => packet.rid === 'slow'), [{ rid: 'slow', data: 'done' }], 'an answer that was owed')
  t.equal((await client.closed).code, 1001)
})

t.test("the application's own @fastify/websocket goes on", async (t) => {
  const { port } = await build(t, {}, async (app) => {
    await app.register(websocket)
    app.register(async (child) => child.get('/own', { websocket: true }, (socket) => { socket.on('message', (data) => socket.send(data.toString())) }))
  }, nothing)
  const own = await RawClient.open(t, port, { path: '/own' })
  own.send('echo')
  t.equal(await own.inbox.take(() => true, 'the echo'), 'echo')
  const client = await RawClient.connect(t, port)
  t.notOk('error' in await client.call('#subscribe', 'news'))
})

t.test('a server that was never ready closes too', async (t) => {
  const app = Fastify()
  await app.register(scPlugin, { authKey })
  t.ok(await timed(app.close()) < 1_000)
  const failing = Fastify()
  failing.register(scPlugin, { authKey })
  failing.register(async () => { throw new Error('boot') })
  await t.rejects(async () => failing.ready(), /boot/)
  t.ok(await timed(failing.close()) < 1_000)
})

t.test('nothing is left that keeps a process alive', async (t) => {
  const child = fileURLToPath(new URL('helpers/closing-child.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [...process.execArgv, child], { timeout: 60_000 })
  const { left, took, clients, pending } = JSON.parse(stdout)
  t.same(left, [], 'no timer, no socket')
  t.same([clients, pending], [0, 0])
  t.ok(took < 2_000, `closed in ${took} ms`)
})
