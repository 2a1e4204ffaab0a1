import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import t from 'tap'
import { ScRefusal, scPlugin, type ScPluginOptions } from '../../lib/index.js'
import { injectSC } from '../../lib/testing/index.js'
import { defineChannels, defineEvents } from '../../lib/contracts/define.js'
import { channels, events, Message } from '../types/contract.js'
import { Stopwatch } from '../helpers/stopwatch.js'

const authKey = 'a secret of tests that has more than thirty-two bytes'

async function build (t: { teardown (fn: () => unknown): void }, setUp: (app: FastifyInstance) => unknown = () => {}, options: ScPluginOptions = {}, fastifyOptions: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const app = Fastify(fastifyOptions)
  await app.register(scPlugin, { authKey, ...options })
  await setUp(app)
  t.teardown(() => app.close())
  return app
}

for (const protocol of [1, 2] as const) {
  t.test(`protocol ${protocol}`, async (t) => {
    t.test('events both ways, with answers and without', async (t) => {
      const app = await build(t, (app) => {
        app.scEvent('double', { data: { type: 'integer' } }, async (data) => data as number * 2)
        app.scServer.on('connection', (socket) => {
          socket.on('note', (data) => socket.transmit('noted', data))
          socket.on('ask-me', (_data, res) => { socket.invoke('question', 20).then((answer) => res(null, answer), res) })
          socket.on('bad', () => { throw new ScRefusal('no', { name: 'BadError', statusCode: 418, hint: 'tea' }) })
          socket.on('mute', () => new Promise(() => {}))
        })
      })
      const client = await injectSC(app, { protocol })
      t.equal(client.protocol, protocol)
      t.equal(app.scServer.clients[client.id]?.id, client.id)
      t.equal(client.pingTimeout, 20_000)

      t.equal(await client.invoke('double', 21), 42)
      await t.rejects(client.invoke('double', 'x'), { name: 'ValidationError', code: 'FST_ERR_VALIDATION' })
      await t.rejects(client.invoke('bad'), { name: 'BadError', hint: 'tea' })
      await t.rejects(client.invoke('mute', undefined, { timeout: 20 }), { name: 'TimeoutError', message: 'No answer to "mute" came within 20 ms; see the option timeout of injectSC' })

      const answered = new Promise((resolve) => client.emit('double', 4, (err, data) => resolve([err, data])))
      t.same(await answered, [null, 8])
      const failed = new Promise<any>((resolve) => client.emit('bad', null, resolve))
      t.equal((await failed).name, 'BadError')

      client.transmit('note', { n: 1 })
      client.emit('note', { n: 2 })
      t.same([await client.event('noted').next(), await client.event('noted').next()], [{ n: 1 }, { n: 2 }])
      t.same(client.event('noted').received, [{ n: 1 }, { n: 2 }])

      client.on('question', (n) => n + 1)
      t.equal(await client.invoke('ask-me'), 21)
      client.on('question', () => { throw Object.assign(new Error('too much'), { name: 'ExcessError' }) })
      await t.rejects(client.invoke('ask-me'), { name: 'ExcessError', message: 'too much' })
      await client.close()
    })

    t.test('channels', async (t) => {
      const app = await build(t, (app) => {
        app.scChannel('room/:id', { subscribe: ({ params, data }) => { if (params.id === '13' && data !== 'please') throw new ScRefusal('not that one') } })
        app.scChannel('closed', { clientPublish: false })
      })
      const [ada, bob] = [await injectSC(app, { protocol }), await injectSC(app, { protocol: protocol === 1 ? 2 : 1 })]
      const room = await ada.subscribe('room/7')
      t.same([room.name, room.state], ['room/7', 'subscribed'])
      t.equal(await ada.subscribe('room/7'), room)
      await bob.publish('room/7', 'one')
      await room.publish('two')
      app.scServer.exchange.publish('room/7', 'three')
      const got: string[] = []
      for await (const message of room) {
        got.push(message)
        if (got.length === 3) break
      }
      t.same(got, ['one', 'two', 'three'])
      t.same(ada.received('room/7'), got)
      t.same(bob.received('room/7'), [])
      await t.rejects(room.next(10), { name: 'TimeoutError' })

      await t.rejects(ada.subscribe('room/13'), { message: 'not that one' })
      t.equal((await ada.subscribe('room/13', { data: 'please' })).state, 'subscribed')
      await t.rejects(ada.subscribe('a\nb'), { code: 'SC_ERR_CHANNEL_NAME' })
      await t.rejects(ada.publish('closed', 1), { name: 'InvalidActionError' })

      await app.scServer.clients[ada.id]!.kickOut('room/7', 'enough')
      for await (const message of room) t.fail(`${message} was read before`)
      t.same([room.state, room.kicked], ['unsubscribed', 'enough'])
      await t.rejects(room.next(), { name: 'BadConnectionError' })
      const again = await ada.subscribe('room/7')
      await again.publish('four')
      t.equal(await again.next(), 'four')
      await again.unsubscribe()
      await bob.publish('room/7', 'five')
      t.equal(again.received.length, 4)
      t.same(app.scServer.clients[ada.id]!.subscriptions(), ['room/13'])
    })

    t.test('authentication', async (t) => {
      const app = await build(t, (app) => {
        app.scServer.on('connection', (socket) => {
          socket.on('login', (data) => socket.setAuthToken({ sub: data }))
          socket.on('logout', () => socket.deauthenticate())
        })
      })
      const nobody = await injectSC(app, { protocol })
      t.same([nobody.isAuthenticated, nobody.signedAuthToken, nobody.authToken], [false, null, null])
      await nobody.invoke('login', 'ada')
      t.same([nobody.isAuthenticated, nobody.authToken?.sub], [true, 'ada'])
      const token = nobody.signedAuthToken as string
      await nobody.invoke('logout')
      t.same([nobody.isAuthenticated, nobody.signedAuthToken], [false, null])

      const ada = await injectSC(app, { protocol, token })
      t.equal(ada.isAuthenticated, true)
      t.equal(app.scServer.clients[ada.id]?.authToken?.sub, 'ada')
      const bob = await injectSC(app, { protocol, token: { sub: 'bob', admin: true } })
      t.match(app.scServer.clients[bob.id]?.authToken, { sub: 'bob', admin: true, exp: Number })

      const bad = await injectSC(app, { protocol, token: token + 'x' })
      t.same([bad.isAuthenticated, bad.authError?.name, bad.signedAuthToken], [false, 'AuthTokenInvalidError', null])
      await t.rejects(bad.authenticate('nonsense'), { name: 'AuthTokenInvalidError' })
      t.same(await bad.authenticate({ sub: 'carl' }), { isAuthenticated: true })
      t.equal(app.scServer.clients[bad.id]?.authToken?.sub, 'carl')
      bad.deauthenticate()
      await bad.invoke('#none').catch(() => {})
      t.equal(app.scServer.clients[bad.id]?.authToken, null)
    })

    t.test('closing, from either side', async (t) => {
      const app = await build(t)
      const closure = (): Promise<unknown> => new Promise((resolve) => app.scServer.once('closure', (_socket, code, data) => resolve([code, data])))

      const leaver = await injectSC(app, { protocol })
      const seen = closure()
      t.same(await leaver.close(4100, 'done'), { code: 4100, reason: 'done' })
      t.same(await seen, [4100, 'done'])
      t.equal(leaver.state, 'closed')
      await t.rejects(leaver.invoke('x'), { name: 'BadConnectionError' })

      const kicked = await injectSC(app, { protocol })
      const waiting = kicked.event('never').next()
      app.scServer.clients[kicked.id]!.disconnect(4200, 'out')
      t.match(await kicked.closed, protocol === 1 ? { code: 4200, data: 'out' } : { code: 4200, reason: 'out' })
      await t.rejects(waiting, { name: 'BadConnectionError' })

      const lost = await injectSC(app, { protocol })
      const gone = closure()
      lost.terminate()
      t.same((await gone as unknown[])[0], 1006)
      t.equal((await lost.closed).code, 1006)

      {
        await using client = await injectSC(app, { protocol })
        t.equal(app.scServer.clientsCount, 1, client.id)
      }
      t.equal(app.scServer.clientsCount, 0)
    })

    t.test('pings: answered, or not', async (t) => {
      const app = await build(t, () => {}, { pingInterval: 50, pingTimeout: 1_500 })
      const [alive, mute] = [await injectSC(app, { protocol }), await injectSC(app, { protocol, pong: false })]
      t.equal((await mute.closed).code, 4001)
      t.equal(alive.state, 'open')
      t.equal(app.scServer.clients[alive.id]?.protocolVersion, protocol)
      t.same(alive.raw.received, [], 'pings are no messages')
      app.scServer.clients[alive.id]!.send('just text')
      t.equal(await alive.raw.next(), 'just text')
    })
  })
}

t.test('what the upgrade is refused with', async (t) => {
  const app = await build(t, (app) => {
    app.addHook('onRequest', async (request, reply) => {
      if (request.headers['x-who'] === 'nobody') return reply.code(401).header('x-reason', 'unknown').send({ message: 'who are you?', ip: request.ip })
    })
    app.scHook('handshakeSC', async ({ socket }) => {
      if (socket.request.headers['x-who'] === 'foe') throw new ScRefusal('never', { statusCode: 4501 })
    })
  })
  await t.rejects(injectSC(app, { headers: { 'x-who': 'nobody' }, remoteAddress: '192.0.2.7' }), {
    code: 'SC_ERR_UPGRADE_REFUSED',
    statusCode: 401,
    headers: { 'x-reason': 'unknown' },
    body: { message: 'who are you?', ip: '192.0.2.7' }
  })
  await t.rejects(injectSC(app, { headers: { origin: 'http://elsewhere.example' } }), { code: 'SC_ERR_UPGRADE_REFUSED', body: { statusCode: 403 } })
  await t.rejects(injectSC(app, { path: '/nowhere' }), { code: 'SC_ERR_UPGRADE_REFUSED', body: { statusCode: 404 } })
  await t.rejects(injectSC(app, { headers: { 'x-who': 'foe' } }), { message: 'never', data: { code: 4501 } })
  const friend = await injectSC(app, { headers: { origin: 'http://localhost', 'x-who': 'friend' }, path: '/socketcluster/?a=1', remoteAddress: '2001:db8::1' })
  const socket = app.scServer.clients[friend.id]!
  t.same([socket.remoteAddress, socket.remoteFamily, (socket.fastifyRequest.query as any).a, socket.request.headers['x-who']], ['2001:db8::1', 'IPv6', '1', 'friend'])

  await t.rejects(injectSC(app, { protocol: 3 as 2 }), { code: 'SC_ERR_OPTIONS' })
  await t.rejects(injectSC(app, { tocken: 'x' } as object), { code: 'SC_ERR_OPTIONS', message: /"tocken".*token/ })
  await t.rejects(injectSC(Fastify() as FastifyInstance), { code: 'SC_ERR_OPTIONS' })
})

t.test('frames of any kind reach the server', async (t) => {
  const app = await build(t)
  const client = await injectSC(app)
  const socket = app.scServer.clients[client.id]!
  const raw = new Promise((resolve) => socket.once('raw', resolve))
  client.send('not a packet')
  t.equal(await raw, 'not a packet')
  client.send('x'.repeat(100_000))
  t.equal((await client.closed).code, 1009)
})

t.test('the application closes at once, listening or not, with clients and without', async (t) => {
  for (const listening of [false, true]) {
    for (const clients of [0, 3]) {
      const app = await build(t, () => {}, { closeReason: 'good night' })
      if (listening) await app.listen({ port: 0, host: '127.0.0.1' })
      const all = []
      for (let i = 0; i < clients; i++) all.push(await injectSC(app, { protocol: i % 2 === 0 ? 1 : 2 }))
      const watch = new Stopwatch()
      await app.close()
      const took = watch.stop()
      t.ok(took < 2_000, `${clients} clients: ${took.toFixed(1)} ms`)
      for (const client of all) t.equal((await client.closed).code, 1001)
    }
  }
})

t.test('a hook that hangs is ended by the handshake timeout', async (t) => {
  const app = await build(t, (app) => {
    app.addHook('onRequest', () => new Promise(() => {}))
  }, { handshakeTimeout: 50 })
  await t.rejects(injectSC(app), { code: 'SC_ERR_UPGRADE_REFUSED', body: { statusCode: 503 } })
})

t.test('over TLS', async (t) => {
  const app = await build(t, () => {}, {}, { https: {} } as FastifyServerOptions)
  const client = await injectSC(app)
  t.equal(app.scServer.clientsCount, 1)
  await client.close()
})

t.test('types from a contract', async (t) => {
  const app = await build(t, (app) => {
    app.scEvent('chat', events.chat, async ({ room }, { socket }) => {
      await app.scServer.exchange.publish(`room/${room}`, { from: socket.id, text: 'hi' })
      return { id: '1', state: 'sent' }
    })
    app.scEvent('time', events.time, async () => 1)
    app.scChannel('room/:id', { ...channels['room/:id'] })
  })
  const client = await injectSC(app, { contract: { events, channels } })
  const room = await client.subscribe('room/:id', { id: '7' })
  const { id } = await client.invoke('chat', { room: '7', text: 'x' })
  id satisfies string
  t.equal(id, '1')
  const { from, text } = await room.next()
  t.same([from satisfies string, text satisfies string], [client.id, 'hi'])
  await client.publish('room/:id', { id: '7' }, { from: 'me', text: 'yo' })
  t.same(client.received('room/7').length, 2)
  t.equal(await client.invoke('time') satisfies number, 1)

  // @ts-expect-error wrong data
  await t.rejects(client.invoke('chat', { room: 7 }), { name: 'ValidationError' })
  // @ts-expect-error unknown event
  await t.rejects(client.invoke('chut', {}))
  // @ts-expect-error missing parameter
  await t.rejects(client.subscribe('room/:id', {}), { code: 'SC_ERR_CONTRACT' })
  // @ts-expect-error wrong message
  await t.rejects(client.publish('room/:id', { id: '7' }, { from: 1 }))

  const schemas = {
    events: defineEvents({ add: { data: { type: 'object', properties: { a: { type: 'number' } }, required: ['a'] }, response: { type: 'number' } } }),
    channels: defineChannels({ news: { message: Message } }),
    provider: {} as JsonSchemaToTsProvider
  }
  app satisfies FastifyInstance
  const other = await injectSC(app, { contract: schemas })
  // @ts-expect-error a is a number
  await t.rejects(other.invoke('add', { a: 'x' }), { name: 'InvalidActionError' })
  const untyped = await injectSC(app)
  t.equal(typeof (await untyped.invoke('chat', { room: '1', text: 'y' })).id, 'string')
})
