import { generateKeyPairSync } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import jwt from 'jsonwebtoken'
import sc14 from 'socketcluster-client-14'
import sc20 from 'socketcluster-client'
import t from 'tap'
import { scPlugin, type ScPluginOptions, type ScServerSocket } from '../../lib/index.js'
import type { Middleware } from '../../types/hooks.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'

t.test('properties and methods', async (t) => {
  const app = Fastify()
  await app.register(scPlugin, { authKey, path: '/live' })
  const sc = app.scServer
  t.teardown(() => app.close())
  t.ok(sc instanceof EventEmitter)
  t.equal(sc.isReady, false)
  let readies = 0
  sc.on('ready', () => { readies++ })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as { port: number }
  t.equal(readies, 1)
  t.equal(sc.isReady, true)
  t.match({ ...sc.options }, {
    path: '/live/',
    ackTimeout: 10_000,
    handshakeTimeout: 10_000,
    strictHandshake: true,
    pingInterval: 8_000,
    pingTimeout: 20_000,
    pingTimeoutDisabled: false,
    allowClientPublish: true,
    authDefaultExpiry: 86_400,
    authSignAsync: false,
    authVerifyAsync: true,
    middlewareEmitWarnings: true
  }, 'the defaults')
  t.throws(() => { (sc.options as any).ackTimeout = 1 }, TypeError, 'frozen')
  t.same([sc.MIDDLEWARE_HANDSHAKE_WS, sc.MIDDLEWARE_HANDSHAKE_SC, sc.MIDDLEWARE_AUTHENTICATE, sc.MIDDLEWARE_SUBSCRIBE, sc.MIDDLEWARE_PUBLISH_IN, sc.MIDDLEWARE_PUBLISH_OUT,
    sc.MIDDLEWARE_EMIT, sc.MIDDLEWARE_PUBLISH], ['handshakeWS', 'handshakeSC', 'authenticate', 'subscribe', 'publishIn', 'publishOut', 'emit', 'publishIn'])
  t.equal(sc.getPath(), '/live/')
  t.match(sc.generateId(), /^[A-Za-z0-9_-]{20}$/)
  t.not(sc.generateId(), sc.generateId())
  const now = Math.floor(Date.now() / 1000)
  t.same([{ exp: now - 5 }, { exp: now + 5 }, {}, null].map((token) => sc.isAuthTokenExpired(token)), [true, false, false, false])

  t.equal(Object.getPrototypeOf(sc.clients), null)
  t.equal(Object.getPrototypeOf(sc.pendingClients), null)
  const [[socket], client] = await Promise.all([once(sc, 'handshake') as Promise<[ScServerSocket]>, RawClient.open(t, port, { path: '/live/' })])
  t.same([sc.clientsCount, sc.pendingClientsCount], [0, 1])
  t.equal(sc.pendingClients[socket.id], socket)
  await client.handshake()
  t.same([sc.clientsCount, sc.pendingClientsCount], [1, 0])
  t.equal(sc.clients[socket.id], socket)
  t.strictSame(Object.keys(sc.clients), [socket.id])
  t.strictSame(Object.entries(sc.clients), [[socket.id, socket]])
  t.equal(socket.id in sc.clients, true)
  t.equal('toString' in sc.clients, false)
  t.equal((sc.clients as any).constructor, undefined)
  t.match(inspect(sc.clients, { depth: 0 }), socket.id, 'what a console shows')
  t.throws(() => { (sc.clients as any)[socket.id] = null }, TypeError, 'only the server changes it')
  t.throws(() => { delete (sc.clients as any)[socket.id] }, TypeError)
  t.equal(sc.pendingClients[socket.id], undefined)
  t.equal(sc.exchange, socket.exchange)

  t.test('keys may be set while running', async (t) => {
    t.same([sc.signatureKey, sc.verificationKey], [authKey, authKey])
    const other = 'another secret that has more than thirty-two bytes in it'
    sc.signatureKey = sc.verificationKey = other
    t.equal((await client.call('#authenticate', jwt.sign({ sub: 'old' }, authKey))).error.name, 'AuthTokenInvalidError')
    t.match((await client.call('#authenticate', jwt.sign({ sub: 'new' }, other))).data, { isAuthenticated: true })
    t.equal(socket.authToken!.sub, 'new')
    sc.signatureKey = sc.verificationKey = authKey
  })

  t.test('middleware', async (t) => {
    let runs = 0
    const middleware: Middleware<any, any, any> = (_req, next) => { runs++; next(new Error('blocked')) }
    sc.addMiddleware('emit', middleware)
    t.equal((await client.call('x')).error.message, 'blocked')
    sc.removeMiddleware('emit', middleware)
    t.equal((await client.call('x')).error.name, 'InvalidActionError')
    t.equal(runs, 1)
    t.throws(() => sc.addMiddleware('nothing' as any, middleware), { name: 'InvalidArgumentsError' })
    t.throws(() => sc.removeMiddleware('nothing' as any, middleware), { name: 'InvalidArgumentsError' })
    t.throws(() => sc.addMiddleware('emit', 'text' as any), { name: 'InvalidArgumentsError' })
  })

  t.test('engines', async (t) => {
    const { auth, codec } = sc
    const own = { verifyToken: async () => ({ sub: 'by the own engine' }), signToken: async () => 'signed by it' } as any
    sc.setAuthEngine(own)
    t.equal(sc.auth, own)
    t.match((await client.call('#authenticate', 'anything')).data, { isAuthenticated: true })
    t.equal(socket.authToken!.sub, 'by the own engine')
    sc.setAuthEngine(auth)
    const reversed = { encode: (object: unknown) => [...JSON.stringify(object)].reverse().join(''), decode: (message: unknown) => JSON.parse(String(message)) }
    sc.setCodecEngine(reversed)
    t.equal(sc.codec, reversed)
    const message = once(client.ws, 'message')
    socket.emit('e', 1)
    t.equal(String((await message)[0]), '}1:"atad","e":"tneve"{')
    sc.setCodecEngine(codec)
  })

  t.test('close', async (t) => {
    const pending = await RawClient.open(t, port, { path: '/live/' })
    const called = new Promise<void>((resolve) => { sc.close(() => resolve()) })
    t.equal((await client.closed).code, 1001)
    t.equal((await pending.closed).code, 1001)
    await called
    await sc.close()
    t.equal(sc.clientsCount + sc.pendingClientsCount, 0)
    t.equal(sc.isReady, false)
  })
})

t.test('events, with both clients', async (t) => {
  const { sc, port } = await serve(t)
  const seen: any[][] = []
  for (const event of ['handshake', 'connection', 'connectionAbort', 'disconnection', 'closure', 'subscription', 'unsubscription', 'authentication', 'deauthentication',
    'authenticationStateChange', 'badSocketAuthToken', 'warning', 'error'] as const) sc.on(event, (...args: any[]) => { seen.push([event, ...args]) })
  const of = (name: string): any[][] => seen.filter(([event]) => event === name).map(([, ...args]) => args)

  for (const generation of [14, 20]) {
    await t.test(`client ${generation}`, async (t) => {
      seen.length = 0
      const options = { hostname: '127.0.0.1', port, autoReconnect: false, authTokenName: `compat.server.${generation}` }
      const streamed = sc.listener('connection').once(5_000)
      const connected = once(sc, 'connection')
      const client: any = generation === 14 ? sc14.create({ ...options, multiplex: false }) : sc20.create(options)
      if (generation === 14) client.on('error', () => {})
      t.teardown(() => client.disconnect())
      const [socket] = await connected as [ScServerSocket]
      t.equal((await streamed).socket, socket)
      t.match(await streamed, { id: socket.id, isAuthenticated: false })
      t.equal(of('handshake')[0]![0], socket)
      t.same(of('connection')[0]!.slice(1), [{ id: socket.id, pingTimeout: 20_000, isAuthenticated: false }])
      const subscription = once(sc, 'subscription')
      client.subscribe('x', { data: { why: 1 } })
      t.match((await subscription).slice(1), ['x', { channel: 'x', data: { why: 1 } }])
      const unsubscription = once(sc, 'unsubscription')
      client.unsubscribe('x')
      t.same((await unsubscription).slice(1), ['x'])

      await socket.setAuthToken({ sub: 'ann' })
      t.match(of('authentication')[0]!, [{ id: socket.id }, { sub: 'ann' }])
      t.match(of('authenticationStateChange')[0]![1], { oldState: 'unauthenticated', newState: 'authenticated', authToken: { sub: 'ann' } })
      socket.deauthenticateSelf()
      t.match(of('deauthentication')[0]!, [{ id: socket.id }, { sub: 'ann' }])
      t.match(of('authenticationStateChange')[1]![1], { oldState: 'authenticated', newState: 'unauthenticated' })

      const bad = once(sc, 'badSocketAuthToken')
      if (generation === 14) client.authenticate('rubbish', () => {})
      else client.authenticate('rubbish').catch(() => {})
      t.match((await bad).slice(1), [{ authError: { name: 'AuthTokenInvalidError' }, signedAuthToken: 'rubbish' }])

      const closure = once(sc, 'closure')
      client.disconnect(4321, 'bye')
      t.same((await closure).slice(1, 2), [4321])
      t.equal(of('disconnection')[0]![1], 4321)
      t.match(of('warning').at(-1)!, [{ name: 'SocketProtocolError', code: 4321 }])
      t.same(of('error'), [], 'an error of a socket is none of the server')
      t.same(of('connectionAbort'), [])
    })
  }

  t.test('connectionAbort', async (t) => {
    seen.length = 0
    const client = await RawClient.open(t, port)
    const closure = once(sc, 'closure')
    client.send({ event: 'too early' })
    t.equal((await client.closed).code, 4009)
    await closure
    t.equal(of('connectionAbort')[0]![1], 4009)
    t.same(of('disconnection'), [])
  })

  t.test('an error of a socket is a warning, even where nobody listens to errors', async (t) => {
    sc.removeAllListeners('error')
    const [[socket], client] = await Promise.all([once(sc, 'connection') as Promise<[ScServerSocket]>, RawClient.connect(t, port)])
    seen.length = 0
    const own = new Error('of a socket')
    socket.emit('error', own)
    t.equal(of('warning')[0]![0], own)
    await client.barrier()
  })
})

t.test('options', async (t) => {
  t.test('handshakeTimeout', async (t) => {
    const { port } = await serve(t, { handshakeTimeout: 60 })
    t.equal((await (await RawClient.open(t, port)).closed).code, 4005)
  })
  t.test('strictHandshake: false', async (t) => {
    const { port } = await serve(t, { strictHandshake: false })
    const client = await RawClient.open(t, port)
    client.send({ event: 'early' })
    t.match(await client.handshake(), { isAuthenticated: false }, 'the connection stays')
  })
  t.test('ackTimeout', async (t) => {
    const { nextSocket, port } = await serve(t, { ackTimeout: 40 })
    const [socket] = await Promise.all([nextSocket(), RawClient.connect(t, port)])
    await t.rejects(socket.invoke('mute'), { name: 'TimeoutError' })
  })
  t.test('pingInterval, pingTimeout, pingTimeoutDisabled', async (t) => {
    const mute = { version: null }
    const lenient = await serve(t, { pingInterval: 40, pingTimeout: 200, pingTimeoutDisabled: true })
    const other = await RawClient.connect(t, lenient.port, mute)
    const strict = await serve(t, { pingInterval: 100, pingTimeout: 1_000 })
    const client = await RawClient.open(t, strict.port, mute)
    t.equal((await client.handshake()).pingTimeout, 1_000, 'the client is told')
    t.equal((await client.closed).code, 4001)
    // It was there before the one that is closed by now.
    t.equal(other.ws.readyState, other.ws.OPEN)
    t.same(other.pings, [], 'and no pings')
  })
  t.test('allowClientPublish: false', async (t) => {
    const { sc, port } = await serve(t, { allowClientPublish: false })
    const client = await RawClient.connect(t, port)
    await client.call('#subscribe', { channel: 'x' })
    t.match((await client.call('#publish', { channel: 'x', data: 1 })).error, { code: 'SC_ERR_PUBLISH_DISABLED' })
    await sc.exchange.publish('x', 2)
    t.equal(await client.publication('x'), 2)
  })
  t.test('socketChannelLimit', async (t) => {
    const { port } = await serve(t, { socketChannelLimit: 1 })
    const client = await RawClient.connect(t, port)
    t.equal((await client.call('#subscribe', { channel: 'a' })).error, undefined)
    t.match((await client.call('#subscribe', { channel: 'b' })).error, { code: 'SC_ERR_CHANNEL_LIMIT' })
  })
  t.test('maxPayload', async (t) => {
    const { port } = await serve(t, { maxPayload: 1_000 })
    const client = await RawClient.connect(t, port)
    client.send({ event: 'x', data: 'x'.repeat(1_000) })
    t.equal((await client.closed).code, 1009)
  })
  t.test('origins', async (t) => {
    const { port } = await serve(t, { origins: 'https://example.com' })
    await RawClient.connect(t, port, { origin: 'https://example.com' })
    await t.rejects(RawClient.open(t, port, { origin: 'https://example.com.evil.test' }), /403/)
  })
  t.test('middlewareEmitWarnings', async (t) => {
    for (const middlewareEmitWarnings of [true, false]) {
      const { sc, port, warnings } = await serve(t, { middlewareEmitWarnings })
      sc.addMiddleware('emit', (_req, next) => next(new Error('blocked')))
      const client = await RawClient.connect(t, port)
      t.equal((await client.call('x')).error.message, 'blocked')
      t.equal(warnings.length, middlewareEmitWarnings ? 1 : 0)
    }
  })
  t.test('perMessageDeflate', async (t) => {
    for (const perMessageDeflate of [true, false]) {
      const { port } = await serve(t, { perMessageDeflate })
      const client = await RawClient.connect(t, port)
      t.equal(client.ws.extensions, perMessageDeflate ? 'permessage-deflate' : '')
    }
  })
  t.test('authDefaultExpiry', async (t) => {
    const { nextSocket, port } = await serve(t, { authDefaultExpiry: 77 })
    const [socket, client] = await Promise.all([nextSocket(), RawClient.connect(t, port)])
    socket.setAuthToken({ sub: 'a' })
    const { exp, iat } = jwt.decode((await client.event('#setAuthToken')).data.token) as { exp: number, iat: number }
    t.equal(exp - iat, 77)
  })
  t.test('a key pair', async (t) => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } })
    const { nextSocket, port } = await serve(t, { authKey: undefined, authPrivateKey: privateKey, authPublicKey: publicKey, authAlgorithm: 'RS256' })
    const [socket, client] = await Promise.all([nextSocket(), RawClient.connect(t, port)])
    socket.setAuthToken({ sub: 'a' })
    const { token } = (await client.event('#setAuthToken')).data
    t.match(jwt.verify(token, publicKey, { algorithms: ['RS256'] }), { sub: 'a' })
    const again = await RawClient.open(t, port)
    t.equal((await again.handshake(token)).isAuthenticated, true)
    const forged = await RawClient.connect(t, port)
    t.equal((await forged.call('#authenticate', jwt.sign({ sub: 'x' }, 'a secret of somebody else, long enough'))).error.name, 'AuthTokenInvalidError')
  })
  t.test('authVerifyAlgorithms', async (t) => {
    const { port } = await serve(t, { authVerifyAlgorithms: ['HS512'] })
    const client = await RawClient.connect(t, port)
    t.equal((await client.call('#authenticate', jwt.sign({ sub: 'x' }, authKey))).error.name, 'AuthTokenInvalidError')
    t.match((await client.call('#authenticate', jwt.sign({ sub: 'x' }, authKey, { algorithm: 'HS512' }))).data, { isAuthenticated: true })
  })
  t.test('codecEngine and authEngine', async (t) => {
    const codecEngine = { encode: (object: unknown) => `!${JSON.stringify(object)}`, decode: (message: unknown) => JSON.parse(String(message).slice(1)) } as any
    const authEngine = { verifyToken: async () => ({ sub: 'own' }), signToken: async () => 'x' } as any
    const { nextSocket, port } = await serve(t, { codecEngine, authEngine })
    const client = await RawClient.open(t, port)
    const connected = nextSocket()
    client.send('!{"event":"#handshake","data":{"authToken":"anything"},"cid":1}')
    t.match(await client.inbox.take((text) => String(text).includes('"rid":1'), 'the ack'), /^!\{/)
    t.equal((await connected).authToken!.sub, 'own')
  })
  t.test('pubSubBatchDuration', async (t) => {
    const { nextSocket, port } = await serve(t, { pubSubBatchDuration: 300 })
    const [socket, client] = await Promise.all([nextSocket(), RawClient.connect(t, port)])
    const message = once(client.ws, 'message')
    socket.sendObject({ event: 'x', data: 1 }, { batch: true })
    await new Promise((resolve) => setImmediate(resolve))
    socket.sendObject({ event: 'x', data: 2 }, { batch: true })
    t.same(JSON.parse(String((await message)[0])).length, 2, 'gathered over more than one turn')
  })

  t.test('bad ones fail when the plugin is registered', async (t) => {
    const cases: Array<[any, RegExp]> = [
      [{ ackTimeout: '10' }, /Option ackTimeout: expected integer.*got "10"/],
      [{ handshakeTimeout: 0 }, /Option handshakeTimeout: expected integer from 1/],
      [{ pingInterval: -1 }, /Option pingInterval/],
      [{ strictHandshake: 'yes' }, /Option strictHandshake: expected boolean, got "yes"/],
      [{ closeCode: 1002 }, /Option closeCode.*got 1002/],
      [{ path: 'a b' }, /Option path/],
      [{ ackTimeOut: 1 }, /There is no option "ackTimeOut"/],
      [{ authKey: undefined, authPrivateKey: 'x' }, /authPublicKey.*authPrivateKey/],
      [{ authKey: undefined, authPublicKey: 'x' }, /authPrivateKey.*authPublicKey/]
    ]
    for (const [options, message] of cases) {
      const app = Fastify()
      app.register(scPlugin, { authKey, ...options } as ScPluginOptions)
      await t.rejects(Promise.resolve(app.ready()), { name: 'InvalidOptionsError', message }, JSON.stringify(options))
      await app.close().catch(() => {})
    }
  })
})
