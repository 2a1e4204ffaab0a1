import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type {} from '@fastify/jwt'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { recovering } from '../lib/client/index.js'
import type {} from '../types/fastify.js'
import { startChromium } from './helpers/chromium.js'
import { refusedStream, startStream } from './helpers/event-stream.js'
import { startProgram } from './helpers/program.js'
import { until } from './helpers/waiting.js'

const require = createRequire(import.meta.url)
const client14: { create (options: object): any } = require('socketcluster-client-14')
const client20: { create (options: object): any } = require('socketcluster-client')

type Test = Pick<typeof t, 'teardown'>

/** Starts an example on a free port, by its file. They import the package by its name too, which is the build in dist/. */
async function start (t: Test, name: string, options: object = {}): Promise<{ app: FastifyInstance, port: number, url: string }> {
  const example = await import(new URL(`../examples/${name}`, import.meta.url).href)
  const app: FastifyInstance = await example.start({ port: 0, ...options })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo
  return { app, port, url: `http://localhost:${port}` }
}

/** socketcluster-client 20, connected. */
async function connect (t: Test, port: number, options: object = {}): Promise<any> {
  const socket = client20.create({ hostname: 'localhost', port, autoReconnect: false, authTokenName: `token ${Math.random()}`, ...options })
  t.teardown(() => socket.disconnect())
  await socket.listener('connect').once(5_000)
  return socket
}

async function subscribe (socket: any, name: string, options: object = {}): Promise<any> {
  const channel = socket.subscribe(name, options)
  const failed = channel.listener('subscribeFail').once()
  const subscribed = channel.listener('subscribe').once()
  await Promise.race([subscribed, failed.then(({ error }: any) => { throw error })])
  return channel
}

t.test('hello', async (t) => {
  const { port } = await start(t, 'hello.js')
  const socket = await connect(t, port)
  t.equal(await socket.invoke('hello', 'Ada'), 'Hello, Ada')
  await t.rejects(socket.invoke('hello', 7), { name: 'ValidationError' })
})

t.test('an example runs from the command line', async (t) => {
  const { stop, line } = await startProgram(t, ['examples/run.js', 'hello'], /Server listening at .*:(\d+)"/, { PORT: '0' })
  const socket = await connect(t, Number(line[1]))
  t.equal(await socket.invoke('hello', 'you'), 'Hello, you')
  socket.disconnect()
  t.equal(await stop(), 0)
})

t.test('events and acks', async (t) => {
  const { port } = await start(t, 'events-and-acks.js')
  const socket = await connect(t, port)
  t.strictSame(await socket.invoke('order', { count: 2 }), { left: 1 })
  await t.rejects(socket.invoke('order', { count: 2 }), { name: 'OutOfStockError', message: 'Only 1 left', left: 1 })
  await t.rejects(socket.invoke('order', { count: 0 }), { name: 'ValidationError' })
  await t.rejects(socket.invoke('order', { count: '1' }), { name: 'ValidationError' }, 'nothing is coerced')
  const broken: Error & { id?: string } = await socket.invoke('broken').catch((err: Error) => err)
  t.equal(broken.message, 'Internal error')
  t.type(broken.id, 'string')
  t.equal(await socket.invoke('stock'), 1)
  t.equal(await socket.invoke('double', 21), 42)
  const noted = socket.receiver('noted').once(5_000)
  socket.transmit('note', 'four')
  t.equal(await noted, 4)
  socket.procedure('favourite color').once(5_000).then((request: any) => request.end('teal'))
  t.equal(await socket.invoke('ask me'), 'You like teal')
})

t.test('events over HTTP', async (t) => {
  const authKey = 'a secret of tests that has more than thirty-two bytes'
  const { port, url } = await start(t, 'http.js', { authKey })
  const token = jwt.sign({ sub: 'ada' }, authKey, { expiresIn: 60 })
  const send = async (method: string, path: string, body: object, headers: object = { authorization: `Bearer ${token}` }) => {
    const response = await fetch(url + path, { method, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) })
    return [response.status, response.status === 204 ? null : await response.json()]
  }
  const socket = await connect(t, port)
  const channel = await subscribe(socket, 'stock')
  const news = channel.once(5_000)
  t.strictSame(await send('POST', '/shop/events/order', { article: 'tea', count: 2 }), [200, { left: 3, by: 'http' }])
  t.strictSame(await news, { article: 'tea', left: 3 })
  await t.rejects(socket.invoke('order', { article: 'tea', count: 2 }), { name: 'NotAuthenticatedError' })
  t.match(await send('POST', '/shop/events/order', { article: 'tea', count: 2 }, {}), [401, { name: 'NotAuthenticatedError' }])
  await socket.authenticate(token)
  t.strictSame(await socket.invoke('order', { article: 'tea', count: 2 }), { left: 1, by: 'websocket' })
  t.match(await send('POST', '/shop/events/order', { article: 'tea', count: 2 }), [409, { name: 'OutOfStockError', message: 'Only 1 left', left: 1 }])
  t.match(await send('POST', '/shop/events/order', { article: 'tea', count: '2' }), [400, { name: 'ValidationError' }])
  t.strictSame(await send('PUT', '/shop/stock', { tea: 9 }), [204, null])
  t.strictSame(await socket.invoke('order', { article: 'tea', count: 1 }), { left: 8, by: 'websocket' })
})

t.test('JWT: one token for HTTP and for sockets', async (t) => {
  const { port, url } = await start(t, 'jwt-auth.js')
  const post = (body: object) => fetch(`${url}/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  t.equal((await post({ name: 'ada', password: 'wrong' })).status, 401)
  const { token } = await (await post({ name: 'ada', password: 'engine' })).json() as { token: string }

  const withHeader = await connect(t, port, { wsOptions: { headers: { authorization: `Bearer ${token}` } } })
  t.equal(await withHeader.invoke('whoami'), 'ada', 'the token of HTTP is good for a socket')

  const grace = await connect(t, port)
  t.equal(await grace.invoke('whoami'), null)
  await t.rejects(grace.invoke('login', { name: 'grace', password: 'wrong' }), { name: 'LoginError' })
  await grace.invoke('login', { name: 'grace', password: 'compiler' })
  t.equal(await grace.invoke('whoami'), 'grace')
  const graceToken: string = grace.signedAuthToken
  const me = await fetch(`${url}/me`, { headers: { authorization: `Bearer ${graceToken}` } })
  t.strictSame(await me.json(), { name: 'grace' }, 'the token of a socket is good for HTTP')

  await t.rejects(grace.invoke('ban', 'ada'), { name: 'LoginError' })
  const dropped = grace.listener('deauthenticate').once(5_000)
  t.equal(await withHeader.invoke('ban', 'grace'), 1)
  await dropped
  t.equal(await grace.invoke('whoami'), null)
  t.match(await grace.authenticate(graceToken).catch((err: Error) => err), { name: 'AuthTokenInvalidError' })
})

t.test('recovery', async (t) => {
  const { port, url } = await start(t, 'recovery.js', { interval: 5 })
  const socket = await connect(t, port, { codecEngine: recovering(), autoReconnect: true, autoReconnectOptions: { initialDelay: 50, randomness: 0 } })
  const recovery = socket.receiver('recovery').once(5_000)
  const channel = socket.subscribe('ticks')
  const seen: number[] = []
  const reading = (async () => {
    for await (const { n } of channel) if (seen.push(n) === 60) break
  })()
  await channel.listener('subscribe').once(5_000)
  socket.transmit('cut me off')
  t.match(await recovery, { channel: 'ticks', recovered: true })
  await reading
  t.strictSame(seen, Array.from({ length: 60 }, (_, i) => seen[0]! + i))
  const last = await (await fetch(`${url}/ticks`)).json() as number[]
  t.equal(last.length, 10)
})

t.test('presence', async (t) => {
  const { app, port, url } = await start(t, 'presence.js')
  const heard = once(app.scServer, 'join')
  const [ada, bob] = [await connect(t, port), await connect(t, port)]
  await t.rejects(subscribe(ada, 'room/lobby#presence'), { message: 'log in first' })
  for (const [socket, name] of [[ada, 'ada'], [bob, 'bob']]) {
    const told = socket.listener('authenticate').once(5_000)
    await socket.invoke('login', { name })
    await told
  }
  await subscribe(bob, 'room/lobby')
  t.same(await heard, ['room/lobby', { key: 'bob', data: { mood: 'fine' } }])
  const users = ada.subscribe('room/lobby#presence')
  t.match(await users.once(5_000), { type: 'state', members: [{ key: 'bob', data: { mood: 'fine' } }], total: 1 })
  let next = users.once(5_000)
  await bob.invoke('#presence', { channel: 'room/lobby', data: { mood: 'great' } })
  t.match(await next, { type: 'diff', joins: [], updates: [{ key: 'bob', data: { mood: 'great' } }], leaves: [] })
  await t.rejects(bob.invoke('#presence', { channel: 'room/lobby', data: 7 }), { message: 'what mood is that?' })
  t.same(await (await fetch(`${url}/rooms/lobby`)).json(), { total: 1, users: ['bob (great)'] })
  next = users.once(5_000)
  bob.disconnect()
  t.match(await next, { type: 'diff', leaves: ['bob'], total: 0 })
})

t.test('operations over HTTP', async (t) => {
  const { port, url } = await start(t, 'http-operations.js', { key: 'a key' })
  const socket = await connect(t, port)
  const news = await subscribe(socket, 'news')
  const call = async (path: string, body?: object, key = 'a key'): Promise<[number, any]> => {
    const response = await fetch(`${url}/operator/${path}`, { headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }) })
    return [response.status, await response.json()]
  }
  const headline = news.once(5_000)
  t.match(await call('publish', { channel: 'news', data: 'It works' }), [200, { results: [{ channel: 'news', position: /./ }] }])
  t.equal(await headline, 'It works')
  t.match(await call('publish', { channel: 'news', data: 7 }), [400, { name: 'ValidationError' }])
  t.match(await call('publish', { channel: 'news', data: 'x' }, 'guessed'), [401, { message: 'The key is wrong' }])
  t.match(await call('sockets'), [200, { items: [{ id: socket.id, subscriptions: 1 }] }])
  t.match(await call('history?channel=news'), [200, { messages: [{ data: 'It works' }] }])
  t.match(await call('disconnect', { filter: {} }), [403, {}])
  t.match(await call('disconnect', { filter: { socketId: socket.id } }), [200, { sockets: 1 }])
})

t.test('streams over HTTP', async (t) => {
  const { app, port, url } = await start(t, 'http-streams.js')
  const path = '/realtime/stream'
  const say = async (channel: string, text: string): Promise<void> => {
    const { status } = await fetch(`${url}/${channel}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ text }) })
    t.equal(status, 204)
  }
  t.match(await refusedStream(t, port, ['headlines', 'gossip'], { path }), { status: 401, body: { message: 'For members' } })
  const guest = await startStream(t, port, ['headlines'], { path })
  const { token } = await (await fetch(`${url}/login`, { method: 'POST' })).json() as { token: string }
  const { ticket } = await (await fetch(`${url}${path}/ticket`, { method: 'POST', headers: { authorization: `Bearer ${token}` } })).json() as { ticket: string }
  const member = await startStream(t, port, ['headlines', 'gossip'], { path, query: { ticket } })
  await say('headlines', 'It works')
  t.strictSame(await guest.data(), { text: 'It works' })
  t.strictSame(await member.data(), { text: 'It works' })
  member.close()
  await say('gossip', 'They say so')
  const again = await startStream(t, port, ['headlines', 'gossip'], { path, headers: { authorization: `Bearer ${token}`, 'last-event-id': member.lastEventId } })
  t.strictSame((await again.next()).data, { channel: 'gossip', data: { text: 'They say so' } })
  t.match(await (await fetch(`${url}/realtime/sockets`)).json(), { statusCode: 403 })

  const open = await startChromium(t)
  if (open === null) return
  const page = await (await open()).newPage()
  await page.goto(url)
  await until('the page listens', () => Object.values(app.scServer.clients).filter(({ channelSubscriptionsCount, authToken }) => authToken !== null && channelSubscriptionsCount === 2).length === 2)
  await say('gossip', 'It is true')
  await page.waitForFunction('document.querySelector("li")?.textContent === "gossip: It is true"')
})

t.test('channels', async (t) => {
  const { port } = await start(t, 'channels.js')
  const [ada, grace] = [await connect(t, port), await connect(t, port)]

  const news = await subscribe(ada, 'news')
  const headline = news.once(5_000)
  await grace.invoke('headline', 'It works')
  t.strictSame(await headline, { title: 'It works' })
  await t.rejects(grace.invokePublish('news', { title: 'Mine' }), { name: 'InvalidActionError' })

  await t.rejects(subscribe(ada, 'weather'), /not declared/)
  await t.rejects(subscribe(ada, 'room/7'), { name: 'ValidationError' }, 'a parameter that does not fit')
  await t.rejects(subscribe(ada, 'room/cellar'), { name: 'RefusalError' })
  await subscribe(ada, 'room/cellar', { data: { password: 'please' } })

  const lounge = { ada: await subscribe(ada, 'room/lounge'), grace: await subscribe(grace, 'room/lounge') }
  await t.rejects(ada.invokePublish('room/lounge', { text: 'HEY!!!' }), { name: 'RefusalError' })
  await t.rejects(ada.invokePublish('room/lounge', { txt: 'hey' }), { name: 'ValidationError' })
  const heard: Record<string, string[]> = { ada: [], grace: [] }
  const all = Promise.all((['ada', 'grace'] as const).map(async (name) => {
    for await (const { text } of lounge[name]) {
      heard[name]!.push(text)
      if (text === 'for all') break
    }
  }))
  await ada.invokePublish('room/lounge', { text: 'only for Grace', whisperTo: grace.id })
  await ada.invokePublish('room/lounge', { text: 'for all' })
  await all
  t.strictSame(heard, { ada: ['for all'], grace: ['only for Grace', 'for all'] })
  t.strictSame(await ada.invoke('seen in the lounge'), ['only for Grace', 'for all'])
})

t.test('hooks', async (t) => {
  const lines: string[] = []
  const { port } = await start(t, 'hooks.js', { log: (line: string) => lines.push(line) })
  const socket = await connect(t, port)
  t.equal(await socket.invoke('public'), 'for all')
  await t.rejects(socket.invoke('restart', 'cache'), { name: 'NotAllowedError' })
  await socket.invoke('become admin')
  t.equal(await socket.invoke('restart', 'cache'), 'restarted CACHE')
  t.strictSame(lines, ['emit public', 'emit restart', 'restart failed: For admins', 'emit become admin', 'emit restart', 'restart answered restarted CACHE'])
  const channel = await subscribe(socket, 'any')
  const message = channel.once(5_000)
  await socket.invokePublish('any', { text: 'hi' })
  t.match(await message, { text: 'hi', at: Number, you: socket.id })
})

t.test('authorization, four ways', async (t) => {
  for (const way of ['hook', 'policy', 'middleware']) {
    const { port } = await start(t, 'authorization.js', { way })
    const socket = await connect(t, port)
    await t.rejects(subscribe(socket, 'club'), { name: 'MembersOnlyError' }, `${way}: no subscription`)
    await t.rejects(socket.invokePublish('club', 'hi'), { name: 'MembersOnlyError' }, `${way}: no publishing`)
    await socket.invoke('join')
    const channel = await subscribe(socket, 'club')
    const message = channel.once(5_000)
    await socket.invokePublish('club', 'hi')
    t.equal(await message, 'hi', `${way}: a member may do both`)
  }

  const { app, port, url } = await start(t, 'authorization.js', { way: 'handshake' })
  const upgrade = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' }
  const status = async (headers: object) => (await app.inject({ url: '/socketcluster/', headers: { ...upgrade, ...headers } })).statusCode
  const bearer = (claims: object) => ({ authorization: `Bearer ${app.jwt.sign(claims)}` })
  t.equal(await status({}), 401, 'handshake: nobody without a token')
  t.equal(await status(bearer({ member: false })), 403, 'handshake: nobody who is no member')
  t.match(url, String(port))
  const member = await connect(t, port, { wsOptions: { headers: bearer({ member: true }) } })
  const message = (await subscribe(member, 'club')).once(5_000)
  await member.invokePublish('club', 'hi')
  t.equal(await message, 'hi', 'handshake: a member may do both')

  const stranger = client20.create({ hostname: 'localhost', port, autoReconnect: false })
  stranger.listener('error').once()
  t.match(await stranger.listener('connectAbort').once(5_000), { code: 1006 }, 'handshake: a stranger is not connected')
})

t.test('clients 14 and 20 in one channel', async (t) => {
  const { port } = await start(t, 'v14-client.js')
  const { listenAs14, listenAs20 } = await import(new URL('../examples/v14-client.js', import.meta.url).href)
  const old = client14.create({ hostname: 'localhost', port, multiplex: false, autoReconnect: false })
  t.teardown(() => old.destroy())
  await once(old, 'connect')
  const fourteen = listenAs14(client14.create, port, 2)
  // The younger one speaks once the older one listens.
  const watcher = await subscribe(await connect(t, port), 'chat')
  const twenty = listenAs20(client20.create, port, 1)
  t.strictSame(await twenty, ['hello from 20'])
  t.ok(watcher)
  t.strictSame(await fourteen, ['hello from 14', 'hello from 20'])
})

t.test('migrate: a SocketCluster 14 application, before and after', async (t) => {
  const { app, port, url } = await start(t, 'migrate/after.cjs', { authKey: 'the key that the old deployment had, still in use' })
  t.match(app.scServer.options, { path: '/socketcluster/' })
  const socket = client14.create({ hostname: 'localhost', port, multiplex: false, autoReconnect: false })
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  t.strictSame(await (await fetch(`${url}/health`)).json(), { clients: 1 })
  const call = (event: string, data?: unknown) => new Promise<any>((resolve) => socket.emit(event, data, (error: unknown, answer: unknown) => resolve({ error, answer })))
  const publish = (data: unknown) => new Promise<any>((resolve) => socket.publish('announcements', data, resolve))
  t.match(await publish('psst'), { message: 'Log in first' })
  t.equal((await call('login', { username: 'ada', password: 'open' })).error, 'Login failed')
  t.notOk((await call('login', { username: 'ada', password: 'sesame' })).error)
  const channel = socket.subscribe('announcements')
  await once(channel, 'subscribe')
  const message = new Promise((resolve) => channel.watch(resolve))
  t.equal((await call('announce', 'We moved')).answer, 'done')
  t.strictSame(await message, { by: 'ada', text: 'We moved' })

  // What stands inside is the same text, line by line.
  const read = async (name: string) => (await readFile(new URL(`../examples/migrate/${name}.cjs`, import.meta.url), 'utf8')).split('\n').map((line) => line.trim())
  const [before, after] = [await read('before'), await read('after')]
  const unchanged = before.slice(before.findIndex((line) => line.startsWith('scServer.addMiddleware')), before.findIndex((line) => line.startsWith("socket.on('disconnect'")))
  t.ok(unchanged.length > 10)
  t.strictSame(after.slice(after.indexOf(unchanged[0]!)).slice(0, unchanged.length), unchanged)
})
