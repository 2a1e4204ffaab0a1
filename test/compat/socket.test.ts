import { once } from 'node:events'
import jwt from 'jsonwebtoken'
import sc14 from 'socketcluster-client-14'
import sc20 from 'socketcluster-client'
import t from 'tap'
import { type ScPluginOptions, type ScServerSocket, ScServerSocket as SocketClass } from '../../lib/index.js'
import { type Cleanup, RawClient, type RawOptions } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'

const fast: ScPluginOptions = { inboundRate: 0, authenticateRate: 0 }
const version1: ScPluginOptions = { ...fast, protocolVersion: 1 }
const version2: ScPluginOptions = { ...fast, protocolVersion: 2 }

/** A server, a client made of packets, and the server's side of it. */
async function pair (t: Cleanup, options: ScPluginOptions = fast, raw: RawOptions & { authToken?: unknown } = {}) {
  const served = await serve(t, options)
  const [socket, client] = await Promise.all([served.nextSocket(), RawClient.connect(t, served.port, { version: options.protocolVersion === 1 ? 1 : 2, ...raw })])
  return { ...served, socket, client }
}

/** The arguments of every local event, in order. */
function record (socket: ScServerSocket, events: string[]): any[][] {
  const seen: any[][] = []
  for (const event of events) socket.on(event, (...args: any[]) => { seen.push([event, ...args]) })
  return seen
}

function next (socket: ScServerSocket, event: string): Promise<any[]> {
  return new Promise((resolve) => socket.once(event, (...args: any[]) => resolve(args)))
}

function connect14 (t: Cleanup, port: number): Promise<any> {
  const client = sc14.create({ hostname: '127.0.0.1', port, autoReconnect: false, multiplex: false, authTokenName: 'compat.socket.14' })
  client.on('error', () => {})
  t.teardown(() => client.destroy())
  return new Promise((resolve) => client.on('connect', () => resolve(client)))
}

async function connect20 (t: Cleanup, port: number): Promise<any> {
  const client = sc20.create({ hostname: '127.0.0.1', port, autoReconnect: false, authTokenName: 'compat.socket.20' })
  t.teardown(() => client.disconnect())
  await client.listener('connect').once()
  return client
}

t.test('properties', async (t) => {
  const { sc, port } = await serve(t, fast)
  let early: any
  sc.once('handshake', (socket) => {
    early = { state: socket.state, getState: socket.getState(), exchange: socket.exchange, server: socket.server, authState: socket.authState, token: socket.authToken }
  })
  const [[socket], client] = await Promise.all([once(sc, 'connection') as Promise<[ScServerSocket]>, RawClient.connect(t, port, { headers: { 'x-forwarded-for': '203.0.113.7, 10.0.0.1', cookie: 'a=b' } })])

  t.match(socket.id, /^[A-Za-z0-9_-]{20}$/)
  t.equal(socket.request.url, '/socketcluster/')
  t.equal(socket.request.headers.cookie, 'a=b')
  t.equal(socket.remoteAddress, '127.0.0.1')
  t.equal(socket.remoteFamily, 'IPv4')
  t.equal(socket.remotePort, ((client.ws as any)._socket as { localPort: number }).localPort)
  t.equal(socket.forwardedForAddress, '203.0.113.7')
  t.same({ ...early, exchange: early.exchange === sc.exchange, server: early.server === sc }, { state: 'connecting', getState: 'connecting', exchange: true, server: true, authState: 'unauthenticated', token: null }, 'before the handshake')
  t.equal(socket.exchange, sc.exchange)
  t.equal(socket.server, sc)
  t.equal(socket.state, socket.OPEN)
  t.equal(socket.getState(), 'open')
  for (const constants of [socket, SocketClass as unknown as ScServerSocket]) {
    t.same([constants.CONNECTING, constants.OPEN, constants.CLOSED, constants.AUTHENTICATED, constants.UNAUTHENTICATED], ['connecting', 'open', 'closed', 'authenticated', 'unauthenticated'])
  }
  t.equal(socket.authState, socket.UNAUTHENTICATED)
  t.equal(socket.signedAuthToken, null)
  t.equal(socket.getAuthToken(), null)
  t.equal(socket.active, true)

  t.same(socket.channelSubscriptions, {})
  await client.call('#subscribe', { channel: 'a' })
  await client.call('#subscribe', { channel: 'constructor' })
  t.same(Object.keys(socket.channelSubscriptions), ['a', 'constructor'])
  t.equal(Object.getPrototypeOf(socket.channelSubscriptions), null)
  t.equal(socket.channelSubscriptionsCount, 2)
  t.same(socket.subscriptions(), ['a', 'constructor'])
  t.same([socket.isSubscribed('a'), socket.isSubscribed('b'), socket.isSubscribed('toString')], [true, false, false])

  const [other] = await Promise.all([once(sc, 'connection'), RawClient.connect(t, port)])
  t.equal((other as [ScServerSocket])[0].forwardedForAddress, undefined)
  t.not((other as [ScServerSocket])[0].id, socket.id)
})

t.test('trustProxy decides the address', async (t) => {
  const { nextSocket, port } = await serve(t, fast, undefined, { trustProxy: true })
  const [socket] = await Promise.all([nextSocket(), RawClient.connect(t, port, { headers: { 'x-forwarded-for': '203.0.113.7' } })])
  t.equal(socket.remoteAddress, '203.0.113.7')
})

t.test('disconnect', async (t) => {
  for (const options of [version1, version2]) {
    await t.test(`version ${options.protocolVersion}`, async (t) => {
      const first = await pair(t, options)
      const seen = record(first.socket, ['disconnect', 'close', 'connectAbort', 'error'])
      const events: unknown[] = []
      for (const event of ['disconnection', 'closure', 'connectionAbort'] as const) first.sc.on(event, (socket, code, data) => { events.push([event, socket === first.socket, code, data]) })
      first.socket.disconnect(4321, 'bye')
      t.equal(first.socket.state, 'closed', 'at once')
      t.same(await first.client.closed, { code: 4321, reason: 'bye' })
      const packets = first.client.inbox.items.filter((packet) => packet.event === '#disconnect')
      t.same(packets, options.protocolVersion === 1 ? [{ event: '#disconnect', data: { code: 4321, data: 'bye' } }] : [])
      t.match(seen, [['disconnect', 4321, 'bye'], ['close', 4321, 'bye'], ['error', { name: 'SocketProtocolError', code: 4321 }]])
      t.same(events, [['disconnection', true, 4321, 'bye'], ['closure', true, 4321, 'bye']])
      t.match(first.warnings, [{ name: 'SocketProtocolError', code: 4321 }])
      t.equal(first.socket.active, true)

      const connectOne = async () => (await Promise.all([first.nextSocket(), RawClient.connect(t, first.port, { version: options.protocolVersion === 1 ? 1 : 2 })]))
      const [byDefault, byDefaultClient] = await connectOne()
      const errors = record(byDefault, ['error'])
      byDefault.disconnect()
      t.equal((await byDefaultClient.closed).code, 1000)
      t.same(errors, [], 'a normal end is no error')

      const [object, objectClient] = await connectOne()
      object.disconnect(4400, { why: 'x' })
      t.same(await objectClient.closed, { code: 4400, reason: '{"why":"x"}' })

      const [long, longClient] = await connectOne()
      long.disconnect(4400, 'é'.repeat(200))
      t.equal((await longClient.closed).reason, 'é'.repeat(61), 'cut between characters')

      const [invalid, invalidClient] = await connectOne()
      const refused = record(invalid, ['error'])
      invalid.disconnect(999, 'no such code')
      t.match(refused, [['error', { name: 'InvalidArgumentsError', code: 'SC_ERR_CLOSE_CODE' }]])
      t.equal((await invalidClient.closed).code, 1000)

      const [destroyed, destroyedClient] = await connectOne()
      destroyed.destroy(4500, 'gone')
      t.equal(destroyed.active, false)
      t.same(await destroyedClient.closed, { code: 4500, reason: 'gone' })

      const [terminated, terminatedClient] = await connectOne()
      const closed = next(terminated, 'close')
      terminated.terminate()
      t.equal((await terminatedClient.closed).code, 1006)
      t.equal((await closed)[0], 1006)
    })
  }

  t.test('before the handshake: connectAbort', async (t) => {
    const { sc, port } = await serve(t, fast)
    const [[socket], client] = await Promise.all([once(sc, 'handshake') as Promise<[ScServerSocket]>, RawClient.open(t, port)])
    const seen = record(socket, ['connectAbort', 'disconnect', 'close'])
    const aborted = once(sc, 'connectionAbort')
    socket.disconnect(4100, 'early')
    t.same((await aborted).slice(1), [4100, 'early'])
    await client.closed
    t.same(seen, [['connectAbort', 4100, 'early'], ['close', 4100, 'early']])
  })
})

t.test('emit, invoke, transmit, send', async (t) => {
  const { socket, client, warnings } = await pair(t)
  socket.emit('plain', { a: 1 })
  t.same(await client.event('plain'), { event: 'plain', data: { a: 1 } })
  socket.transmit('sent', 2)
  t.same(await client.event('sent'), { event: 'sent', data: 2 })

  const answered = new Promise<unknown[]>((resolve) => socket.emit('asked', 3, (...args) => resolve(args)))
  const asked = await client.event('asked')
  t.type(asked.cid, 'number')
  client.send({ rid: asked.cid, data: { yes: true } })
  t.same(await answered, [null, { yes: true }])

  const failed = new Promise<any[]>((resolve) => socket.emit('asked', 3, (...args) => resolve(args)))
  client.send({ rid: (await client.event('asked')).cid, error: { name: 'OwnError', message: 'no', code: 7 } })
  const [refusal] = await failed
  t.ok(refusal instanceof Error)
  t.match(refusal, { name: 'OwnError', message: 'no', code: 7 })

  const invoked = socket.invoke('asked', 4)
  client.send({ rid: (await client.event('asked')).cid, data: 5 })
  t.equal(await invoked, 5)
  await t.rejects(socket.invoke('asked', 4, { timeout: 10 }), { name: 'TimeoutError' }, 'its own timeout')
  const started = Date.now()
  const impatient = await pair(t, { ...fast, ackTimeout: 80 })
  t.match(await new Promise<any>((resolve) => impatient.socket.emit('mute', 0, resolve)), { name: 'TimeoutError' }, 'ackTimeout')
  t.ok(Date.now() - started >= 70, 'not before its time')

  for (const name of ['subscribe', 'unsubscribe', 'connect', 'disconnect', 'connectAbort', 'close', 'message', 'authStateChange', 'authTokenSigned', 'authenticate',
    'deauthenticate', 'badAuthToken', 'raw', '_raw', '_error', '_close']) {
    const [error] = await Promise.all([next(socket, 'error'), socket.emit(name, 'no')])
    t.match(error, [{ name: 'InvalidActionError', code: 'SC_ERR_EVENT_RESERVED' }], name)
    await t.rejects(socket.invoke(name), { code: 'SC_ERR_EVENT_RESERVED' })
  }
  const own = new Error('local')
  const local = next(socket, 'error')
  socket.emit('error', own)
  t.equal((await local)[0], own)
  t.equal(warnings.at(-1), own, 'a warning of the server')
  await client.barrier()
  t.notOk(client.inbox.items.some((packet) => packet.event !== undefined && packet.event !== 'asked' && packet.event !== 'mute'), 'nothing of that was sent')

  const circular: any = {}
  circular.self = circular
  t.match((await Promise.all([next(socket, 'error'), socket.emit('circular', circular)]))[0], [{ code: 'SC_ERR_ENCODE' }])

  socket.send('some text')
  t.equal(await client.inbox.take((message) => message === 'some text', 'the text'), 'some text')
  socket.send(Buffer.from([1, 2]))
  t.same(await client.inbox.take((message) => Buffer.isBuffer(message), 'the bytes'), Buffer.from([1, 2]))
  socket.send('binary', { binary: true })
  t.same(await client.inbox.take((message) => Buffer.isBuffer(message), 'text as bytes'), Buffer.from('binary'))

  const aborted = new Promise<any>((resolve) => socket.emit('asked', 0, resolve))
  const rejected = t.rejects(socket.invoke('asked'), { name: 'BadConnectionError', type: 'disconnect', code: 4100 })
  socket.disconnect(4100, 'over')
  t.match(await aborted, { name: 'BadConnectionError', type: 'disconnect', code: 4100, reason: 'over' })
  await rejected
  t.match(await new Promise<any>((resolve) => socket.emit('late', 0, resolve)), { name: 'BadConnectionError' })
  t.doesNotThrow(() => socket.emit('late'))
})

t.test('listeners', async (t) => {
  const { socket, client } = await pair(t)
  const calls: unknown[] = []
  const first = (data: unknown): void => { calls.push(['first', data]) }
  const second = (data: unknown): void => { calls.push(['second', data]) }
  t.equal(socket.on('e', first), socket)
  socket.once('e', second)
  t.same(socket.listeners('e'), [first, second])
  t.equal(socket.hasListeners('e'), true)
  client.send({ event: 'e', data: 1 })
  client.send({ event: 'e', data: 2 })
  await client.barrier()
  t.same(calls, [['first', 1], ['second', 1], ['first', 2]])
  socket.on('e', second)
  socket.off('e', first)
  t.same(socket.listeners('e'), [second])
  socket.off('e')
  t.equal(socket.hasListeners('e'), false)
  t.same(socket.listeners('e'), [])
  socket.on('e', first)
  socket.on('f', first)
  socket.off()
  t.same([socket.hasListeners('e'), socket.hasListeners('f')], [false, false])
  client.send({ event: 'e', data: 3 })
  await client.barrier()
  t.equal(calls.length, 3)
  t.equal((await client.call('#subscribe', { channel: 'still' })).error, undefined, 'the server itself goes on')
})

t.test('once of node:events', async (t) => {
  const { socket, client, warnings } = await pair(t)
  const [data] = await Promise.all([once(socket as any, 'e'), client.send({ event: 'e', data: 1 })])
  t.equal(data[0], 1)
  t.notOk(socket.hasListeners('error'), 'its listener of errors is gone')
  const disconnected = once(socket as any, 'disconnect')
  await client.close()
  t.equal((await disconnected)[0], 1000)
  t.same(warnings, [])
})

t.test('res, in every form, to both clients', async (t) => {
  const served = await serve(t, fast)
  served.sc.on('connection', (socket) => {
    socket.on('text', (_data, res) => { res('text') })
    socket.on('code', (_data, res) => { res(1234, 'text for code 1234') })
    socket.on('error object', (_data, res) => { res(Object.assign(new Error('an error'), { name: 'OwnError', extra: 1 })) })
    socket.on('data', (data, res) => { res(null, data) })
    socket.on('nothing', (_data, res) => { res() })
    socket.on('both', (_data, res) => { res({ name: 'Both', message: 'b' }, { kept: true }) })
    socket.on('async value', async (data: number) => data + 1)
    socket.on('async nothing', async () => {})
    socket.on('async throw', async () => { throw Object.assign(new Error('secret'), { password: 'x' }) })
    socket.on('async res', async (_data, res) => { res(null, 'by res') })
    socket.on('twice', (_data, res) => {
      res(null, 1)
      try {
        res(null, 2)
      } catch (err) {
        socket.emit('second', { name: (err as Error).name, code: (err as { code?: unknown }).code })
      }
    })
  })
  const raw = await RawClient.connect(t, served.port)
  t.equal((await raw.call('text')).error, 'text')
  const coded = await raw.call('code')
  t.equal(coded.error, 1234)
  t.equal(coded.data, 'text for code 1234')
  const object = (await raw.call('error object')).error
  t.match(object, { name: 'OwnError', message: 'an error', extra: 1 })
  t.notOk('stack' in object)
  for (const value of [0, '', false, null, 'a', [1], { b: 2 }]) t.same((await raw.call('data', value)).data, value, JSON.stringify(value))
  t.same(Object.keys(await raw.call('nothing')), ['rid'])
  const both = await raw.call('both')
  t.match(both, { error: { name: 'Both' }, data: { kept: true } })
  t.equal((await raw.call('async value', 1)).data, 2)
  t.same(Object.keys(await raw.call('async nothing')), ['rid'])
  t.match((await raw.call('async throw')).error, { message: 'Internal error' })
  t.equal((await raw.call('async res')).data, 'by res')
  t.equal((await raw.call('twice')).data, 1)
  t.same((await raw.event('second')).data, { name: 'InvalidActionError', code: 'SC_ERR_RESPONSE_SENT' })
  t.match((await raw.call('unknown')).error, { name: 'InvalidActionError' })

  const client14 = await connect14(t, served.port)
  const call14 = (event: string, data?: unknown): Promise<any[]> => new Promise((resolve) => client14.emit(event, data, (...args: any[]) => resolve(args)))
  t.match((await call14('code')), [1234, 'text for code 1234'])
  t.match((await call14('error object'))[0], { name: 'OwnError', message: 'an error', extra: 1 })
  t.same((await call14('data', { a: 1 }))[1], { a: 1 })
  t.equal((await call14('async value', 1))[1], 2)
  const client20 = await connect20(t, served.port)
  await t.rejects(client20.invoke('error object'), { name: 'OwnError', message: 'an error', extra: 1 })
  t.same(await client20.invoke('data', { a: 1 }), { a: 1 })
  t.equal(await client20.invoke('async value', 1), 2)
})

t.test('setAuthToken', async (t) => {
  const { socket, client, sc } = await pair(t)
  const names = ['authStateChange', 'authenticate', 'authTokenSigned', 'deauthenticate', 'error']
  const seen = record(socket, names)
  const onServer: string[] = []
  for (const event of ['authenticationStateChange', 'authentication', 'deauthentication'] as const) sc.on(event, (from: ScServerSocket, detail: unknown) => { onServer.push(event); t.equal(from, socket); t.ok(detail) })
  const set = async (claims: object, options?: any): Promise<any> => {
    const stored = socket.setAuthToken(claims, options)
    const packet = await client.event('#setAuthToken')
    client.send({ rid: packet.cid })
    await stored
    return jwt.verify(packet.data.token, authKey, { complete: true })
  }

  const stored = socket.setAuthToken({ sub: 'ann' })
  t.equal(socket.authState, socket.AUTHENTICATED, 'at once')
  t.same(seen.map(([name]) => name).sort(), ['authStateChange', 'authTokenSigned', 'authenticate'], 'events too')
  t.match(seen.find(([name]) => name === 'authStateChange')![1], { oldState: 'unauthenticated', newState: 'authenticated', authToken: { sub: 'ann' } })
  t.match(seen.find(([name]) => name === 'authenticate')![1], { sub: 'ann' })
  t.same(onServer, ['authenticationStateChange', 'authentication'])
  const packet = await client.event('#setAuthToken')
  t.equal(socket.signedAuthToken, packet.data.token)
  t.equal(seen.find(([name]) => name === 'authTokenSigned')![1], packet.data.token)
  t.equal(Object.getPrototypeOf(socket.authToken), Object.prototype)
  t.equal(socket.getAuthToken(), socket.authToken)
  let settled = false
  stored.then(() => { settled = true })
  await client.barrier()
  t.equal(settled, false, 'not before the client has it')
  client.send({ rid: packet.cid })
  await stored
  const claims = jwt.verify(packet.data.token, authKey) as jwt.JwtPayload
  t.equal(claims.exp! - claims.iat!, 86_400)

  seen.length = onServer.length = 0
  const short: any = await set({ sub: 'ann' }, { expiresIn: 60, issuer: 'tests' })
  t.equal(short.payload.exp - short.payload.iat, 60)
  t.equal(short.payload.iss, 'tests')
  t.same(seen.map(([name]) => name).sort(), ['authTokenSigned', 'authenticate'], 'a second call changes no state')
  t.same(onServer, ['authentication'])
  const text: any = await set({ sub: 'ann' }, { expiresIn: '2h' })
  t.equal(text.payload.exp - text.payload.iat, 7200)
  const exp = Math.floor(Date.now() / 1000) + 500
  t.equal((await set({ sub: 'ann', exp }, { expiresIn: 60 })).payload.exp, exp, 'the claim wins')
  const left: any = await set({ sub: 'ann' }, { expiresIn: null, notBefore: null, issuer: null, algorithm: null, encoding: 'utf8' })
  t.equal(left.payload.exp - left.payload.iat, 86_400, 'null counts as left out')
  t.same(Object.keys(left.payload).sort(), ['exp', 'iat', 'sub'])
  seen.length = 0
  t.equal((await set({ sub: 'ann' }, { algorithm: 'HS512' })).header.alg, 'HS256')
  t.match(seen.filter(([name]) => name === 'error'), [['error', { code: 'SC_ERR_TOKEN_ALGORITHM' }]])
  const byCallback = new Promise((resolve) => socket.setAuthToken({ sub: 'bob' }, null, resolve))
  client.send({ rid: (await client.event('#setAuthToken')).cid })
  t.equal(await byCallback, null)
  await t.rejects(socket.setAuthToken('text' as any), { name: 'InvalidArgumentsError' })
  t.equal(socket.authToken!.sub, 'bob')

  t.test('deauthenticate', async (t) => {
    seen.length = onServer.length = 0
    await socket.deauthenticate()
    t.ok(await client.event('#removeAuthToken'))
    t.same([socket.authState, socket.authToken, socket.signedAuthToken], ['unauthenticated', null, null])
    t.match(seen, [['authStateChange', { oldState: 'authenticated', newState: 'unauthenticated' }], ['deauthenticate', { sub: 'bob' }]])
    t.same(onServer, ['authenticationStateChange', 'deauthentication'])
    await set({ sub: 'cat' })
    const removed = new Promise((resolve) => socket.deauthenticate(resolve))
    client.send({ rid: (await client.event('#removeAuthToken')).cid })
    t.equal(await removed, null)
    await set({ sub: 'dan' })
    socket.deauthenticateSelf()
    t.equal(socket.authToken, null)
    await client.barrier()
    t.notOk(client.inbox.items.some((packet) => packet.event === '#removeAuthToken'), 'only here')
  })

  t.test('a signing failure closes with 4002', async (t) => {
    const errors = record(socket, ['error'])
    await t.rejects(socket.setAuthToken({ sub: 'eve' }, { expiresIn: 'never' } as any), { name: 'AuthTokenError' })
    t.equal((await client.closed).code, 4002)
    t.match(errors[0], ['error', { code: 'SC_ERR_TOKEN_SIGNING' }])
  })
})

t.test('kickOut', async (t) => {
  const { socket, client, sc, port } = await pair(t)
  for (const channel of ['a', 'b', 'c']) await client.call('#subscribe', { channel })
  const seen = record(socket, ['unsubscribe'])
  const onServer: unknown[] = []
  sc.on('unsubscription', (_socket, channel) => { onServer.push(channel) })
  t.equal(await new Promise((resolve) => socket.kickOut('a', 'go', resolve)), null)
  t.same((await client.event('#kickOut')).data, { channel: 'a', message: 'go' })
  t.same(socket.subscriptions(), ['b', 'c'])
  await socket.kickOut('nowhere')
  t.equal(socket.channelSubscriptionsCount, 2)
  await socket.kickOut()
  t.same([(await client.event('#kickOut')).data.channel, (await client.event('#kickOut')).data.channel], ['b', 'c'])
  t.equal(socket.channelSubscriptionsCount, 0)
  t.same(seen, [['unsubscribe', 'a'], ['unsubscribe', 'b'], ['unsubscribe', 'c']])
  t.same(onServer, ['a', 'b', 'c'])
  await client.barrier()
  t.notOk(client.inbox.items.some((packet) => packet.event === '#kickOut'))

  const client14 = await connect14(t, port)
  const channel = client14.subscribe('d')
  await new Promise((resolve) => channel.on('subscribe', resolve))
  const kicked = new Promise<unknown[]>((resolve) => channel.on('kickOut', (...args: unknown[]) => resolve(args)))
  Object.values(sc.clients).find((other) => other.isSubscribed('d'))!.kickOut('d', 'out')
  t.same((await kicked)[0], 'out')
})

t.test('encode, decode, sendObject, getBytesReceived', async (t) => {
  const { socket, client } = await pair(t)
  t.equal(socket.encode({ a: 1 }), '{"a":1}')
  t.same(socket.decode('{"a":1}'), { a: 1 })
  t.equal(socket.decode('no json'), 'no json')
  t.same(JSON.parse(socket.encode({ b: Buffer.from('x') }) as string), { b: { base64: true, data: 'eA==' } })
  socket.sendObject({ event: 'own', data: 1 })
  t.same(await client.event('own'), { event: 'own', data: 1 })
  const frame = once(client.ws, 'message')
  socket.sendObject({ event: 'x', data: 1 }, { batch: true })
  socket.sendObject({ event: 'x', data: 2 }, { batch: true })
  t.same(JSON.parse(String((await frame)[0])), [{ event: 'x', data: 1 }, { event: 'x', data: 2 }], 'one array')
  const before = socket.getBytesReceived()
  const text = JSON.stringify({ event: 'counted', data: 'é' })
  const arrived = next(socket, 'counted')
  client.send(text)
  await arrived
  t.equal(socket.getBytesReceived() - before, Buffer.byteLength(text))
})

t.test('other events', async (t) => {
  const { sc, port } = await serve(t, fast)
  let seen: any[][] = []
  sc.on('handshake', (socket) => { seen = record(socket, ['connect', 'message', 'raw', 'subscribe', 'unsubscribe', 'badAuthToken', 'error', 'disconnect', 'close']) })
  const [[socket, status], client] = await Promise.all([once(sc, 'connection') as Promise<any[]>, RawClient.connect(t, port)])
  t.same(seen.find(([name]) => name === 'connect')![1], { id: socket.id, pingTimeout: 20_000, isAuthenticated: false })
  t.same(status, { id: socket.id, pingTimeout: 20_000, isAuthenticated: false })
  seen.length = 0
  client.send('just text')
  client.send(Buffer.from([0xff, 1]))
  await client.call('#subscribe', { channel: 'a', data: { why: 1 }, waitForAuth: false })
  await client.call('#unsubscribe', 'a')
  const bad = await client.call('#authenticate', 'rubbish')
  t.equal(bad.error.name, 'AuthTokenInvalidError')
  const of = (name: string): any[] => seen.filter(([event]) => event === name).map(([, ...args]) => args)
  t.same(of('raw')[0], ['just text'])
  t.equal(of('message')[0]![0], 'just text')
  t.same(of('message')[1]![0], Buffer.from([0xff, 1]))
  t.match(of('message')[2]![0], /"#subscribe"/)
  t.match(of('subscribe'), [['a', { channel: 'a', data: { why: 1 }, waitForAuth: false }]])
  t.same(of('unsubscribe'), [['a']])
  t.match(of('badAuthToken'), [[{ authError: { name: 'AuthTokenInvalidError' }, signedAuthToken: 'rubbish' }]])
  t.ok(of('badAuthToken')[0]![0].authError instanceof Error)
  const closed = next(socket, 'close')
  await client.close(1000)
  await closed
  t.same(of('disconnect')[0]![0], 1000)
  t.same(of('close')[0]![0], 1000)

  const errors = once(sc, 'connection')
  await RawClient.connect(t, port, { authToken: 'rubbish' })
  const [, failed] = await errors
  t.ok(failed.authError instanceof Error)
  t.match(failed, { isAuthenticated: false, authError: { name: 'AuthTokenInvalidError' } })
})

t.test('async iteration, as in SocketCluster 15 and later', async (t) => {
  const { sc, port } = await serve(t, fast)
  const [[socket], client] = await Promise.all([once(sc, 'connection') as Promise<[ScServerSocket]>, connect20(t, port)])
  const received: unknown[] = []
  const looped = (async () => { for await (const data of socket.receiver('news')) received.push(data) })()
  const channels: unknown[] = []
  const subscriptions = (async () => { for await (const { channel } of socket.listener('subscribe')) channels.push(channel) })()
  ;(async () => {
    for await (const request of socket.procedure('add')) {
      t.equal(request.procedure, 'add')
      t.equal(request.socket, socket)
      if (request.data.b === undefined) request.error(Object.assign(new Error('b is missing'), { name: 'AddError' }))
      else request.end(request.data.a + request.data.b)
      t.equal(request.sent, true)
      t.throws(() => request.end(1), { code: 'SC_ERR_RESPONSE_SENT' })
    }
  })()
  client.transmit('news', 1)
  client.transmit('news', 2)
  t.equal(await client.invoke('add', { a: 1, b: 2 }), 3)
  await t.rejects(client.invoke('add', { a: 1 }), { name: 'AddError', message: 'b is missing' })
  await client.subscribe('x').listener('subscribe').once()
  t.same(received, [1, 2])
  await t.rejects(socket.listener('raw').once(10), { name: 'TimeoutError' })
  const message = socket.listener('close').once(5_000)
  client.disconnect(4200, 'done')
  t.match(await message, { code: 4200, reason: 'done' })
  await Promise.all([looped, subscriptions])
  t.same(channels, ['x'], 'and the loops end with the socket')
})
