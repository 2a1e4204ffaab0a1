import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { defineChannels, defineEvents, overHttp, type ScHttpClientOptions, type ScRecoveryEvent } from '../../lib/client/index.js'
import { ScRefusal } from '../../lib/errors.js'
import { scHttp } from '../../lib/http/index.js'
import { signToken } from '../../lib/auth/call-engine.js'
import { startApp, type App } from '../helpers/app.js'
import { startChromium } from '../helpers/chromium.js'
import { TcpProxy } from '../helpers/proxy.js'
import { until } from '../helpers/waiting.js'

const Message = Type.Object({ text: Type.String() })
const events = defineEvents({
  double: { http: true, data: Type.Object({ n: Type.Integer() }), response: Type.Object({ n: Type.Integer() }), errors: { TooBigError: Type.Object({ limit: Type.Integer() }) } },
  restock: { http: { method: 'PUT', url: '/stock/room' }, data: Type.Integer() },
  whoami: { http: true, response: Type.Union([Type.String(), Type.Null()]) },
  slow: { http: true }
})
const channels = defineChannels({ 'room/:id': { message: Message }, news: { message: Message } })
interface Contract { events: typeof events, channels: typeof channels }

interface Running extends App {
  readonly url: string
  /** Settles when the handler of `slow` runs. */
  readonly entered: Promise<void>
  /** Settles when its signal is aborted. */
  readonly aborted: Promise<void>
  token (sub: string): Promise<string>
}

async function run (t: Test, setUp: (app: FastifyInstance) => void = () => {}): Promise<Running> {
  let enter!: () => void
  let abort!: () => void
  const entered = new Promise<void>((resolve) => { enter = resolve })
  const aborted = new Promise<void>((resolve) => { abort = resolve })
  const served = await startApp(t, {}, async (app) => {
    setUp(app)
    app.scChannel('room/:id', { ...channels['room/:id'], history: {}, recover: true })
    app.scChannel('news', channels.news)
    app.scChannel('club', { subscribe: ({ socket }) => { if (socket.authToken === null) throw new ScRefusal('members only', { name: 'ClubError' }) } })
    await app.register(async (shop) => {
      shop.scEvent('double', events.double, ({ n }) => {
        if (n > 100) throw Object.assign(new Error('too big'), { name: 'TooBigError', limit: 100 })
        return { n: n * 2 }
      })
      shop.scEvent('restock', events.restock, () => {})
      shop.scEvent('whoami', events.whoami, (_data, { socket }) => socket.authToken?.sub as string ?? null)
      shop.scEvent('slow', events.slow, async (_data, { signal }) => {
        signal.addEventListener('abort', abort)
        enter()
        await aborted
      })
    }, { prefix: '/shop' })
    await app.register(scHttp, { prefix: '/realtime', streams: { maxStreamsPerKey: 3 }, authorize: (_request, { operation }) => operation === 'stream' || operation === 'publish' })
  })
  const { auth, signatureKey } = served.sc
  return Object.assign(served, { url: `http://127.0.0.1:${served.port}`, entered, aborted, token: async (sub: string) => await signToken(auth, { sub }, signatureKey, { async: false, expiresIn: 60 }) })
}

async function readAll (channel: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = []
  for await (const message of channel) all.push(message)
  return all
}

function connect (t: Test, url: string, options: ScHttpClientOptions = {}): ReturnType<typeof overHttp<Contract>> {
  const client = overHttp<Contract>(`${url}/realtime`, { events: '/shop', routes: { restock: events.restock.http }, ...options })
  t.teardown(() => client.close())
  return client
}

t.test('calls have the answers and the errors of a websocket', async (t) => {
  const { url, token } = await run(t)
  const client = connect(t, url)
  t.strictSame(await client.invoke('double', { n: 21 }), { n: 42 })
  t.equal(await client.invoke('restock', 7), undefined)
  t.equal(await client.invoke('whoami'), null)
  t.strictSame(await client.tryInvoke('double', { n: 1 }), { ok: true, data: { n: 2 } })
  const big = await client.tryInvoke('double', { n: 101 })
  t.match(big, { ok: false, error: { name: 'TooBigError', message: 'too big', statusCode: 400 } })
  t.equal(big.error?.name === 'TooBigError' && big.error.limit, 100)
  await t.rejects(client.invoke('double', { n: 'x' } as never), { name: 'ValidationError', code: 'FST_ERR_VALIDATION', validationContext: 'data' })
  await t.rejects(client.invoke('nobody' as 'whoami'), { name: 'BadConnectionError', statusCode: 404 })

  let who = 'ada'
  const user = connect(t, url, { token: async () => await token(who) })
  t.equal(await user.invoke('whoami'), 'ada')
  who = 'bob'
  t.equal(await user.invoke('whoami'), 'bob', 'the token is asked for each time')
  await t.rejects(connect(t, url, { token: 'forged' }).invoke('whoami'), { name: 'AuthTokenInvalidError', statusCode: 401 })
})

t.test('a call ends by its signal, its timeout, or with the client', async (t) => {
  const { url, entered, aborted } = await run(t)
  const client = connect(t, url)
  const abort = new AbortController()
  const call = t.rejects(client.invoke('slow', undefined, { signal: abort.signal }), { message: 'enough' })
  await entered
  abort.abort(new Error('enough'))
  await Promise.all([call, aborted])
  await t.rejects(client.invoke('restock', 1, { signal: abort.signal }), { message: 'enough' })
  const { url: silent } = await serveAnswers(t, () => {})
  await t.rejects(connect(t, silent, { timeout: 50 }).invoke('slow'), { name: 'TimeoutError', message: /within 50 ms/ })
  const last = t.rejects(client.invoke('slow'), { message: 'The client is closed' })
  client.close()
  await last
  await t.rejects(client.invoke('whoami'), { message: 'The client is closed' })
  t.throws(() => client.subscribe('news'), { message: 'The client is closed' })
  const { port } = new URL(url)
  t.throws(() => overHttp('realtime'), TypeError)
  const gone = createServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const { port: free } = gone.address() as AddressInfo
  gone.close()
  await once(gone, 'close')
  t.not(String(free), port)
  await t.rejects(connect(t, `http://127.0.0.1:${free}`).invoke('whoami'), { name: 'BadConnectionError' })
})

t.test('publish and subscribe', async (t) => {
  const { url, sc } = await run(t)
  const client = connect(t, url)
  const room = client.subscribe('room/:id', { id: '7' })
  t.equal(client.subscribe('room/:id', { id: 7 as never }), room)
  t.match(room, { name: 'room/7', state: 'pending', recovered: null })
  const seen: string[] = []
  const stop = room.watch(({ text }) => { seen.push(text) })
  await room.subscribed()
  await room.subscribed()
  t.equal(room.state, 'subscribed')
  const reading = (async () => {
    const read: string[] = []
    for await (const { text } of room) if (read.push(text) === 3) break
    return read
  })()
  await client.publish('room/:id', { id: '7' }, { text: 'é🙂\n' }, { idempotencyKey: 'one' })
  await client.publish('room/:id', { id: '7' }, { text: 'é🙂\n' }, { idempotencyKey: 'one' })
  await room.publish({ text: 'two' })
  await sc.exchange.publish('room/7', { text: 'three' })
  t.strictSame(await reading, ['é🙂\n', 'two', 'three'])
  t.strictSame(seen, ['é🙂\n', 'two', 'three'])
  stop()
  const next = room[Symbol.asyncIterator]().next()
  await sc.exchange.publish('room/7', { text: 'four' })
  t.strictSame(await next, { done: false, value: { text: 'four' } })
  t.equal(seen.length, 3, 'nobody watches')
  await t.rejects(client.publish('room/:id', { id: '7' }, { text: 5 as never }), { name: 'ValidationError' })

  const ended = readAll(room)
  room.unsubscribe()
  await ended
  t.equal(room.state, 'unsubscribed')
  await t.rejects(room.subscribed(), { message: /unsubscribed/ })
  await until('the server knows', () => sc.clientsCount === 0)
  t.not(client.subscribe('room/:id', { id: '7' }), room)
})

t.test('a subscription that is refused ends; the server can end one too', async (t) => {
  const { url, sc, token } = await run(t)
  const errors: unknown[] = []
  const guest = overHttp<{ channels: { club: object, news: object } }>(`${url}/realtime`)
  t.teardown(() => guest.close())
  const club = guest.subscribe('club')
  club.watch(() => {}, (err) => { errors.push(err) })
  await t.rejects(club.subscribed(), { name: 'ClubError', message: 'members only', statusCode: 403 })
  t.match(errors, [{ name: 'ClubError' }])
  await t.rejects(readAll(club), { name: 'ClubError' })

  const member = overHttp<{ channels: { club: object } }>(`${url}/realtime`, { token: await token('ada') })
  t.teardown(() => member.close())
  const joined = member.subscribe('club')
  await joined.subscribed()
  const loop = readAll(joined)
  t.equal(await sc.kickOut({ user: 'ada' }, 'club', 'out'), 1)
  await t.rejects(loop, { message: 'out' })
  t.equal(joined.state, 'unsubscribed')
  await until('nobody is left', () => sc.clientsCount === 0)
})

t.test('after a lost connection a channel goes on', async (t) => {
  const { sc, port } = await run(t)
  const proxy = await new TcpProxy(port).listen()
  t.teardown(() => proxy.close())
  const told: ScRecoveryEvent[] = []
  const client = connect(t, `http://127.0.0.1:${proxy.port}`, { onRecovery: (event) => { told.push(event) } })
  const [room, news] = [client.subscribe('room/:id', { id: '7' }), client.subscribe('news')]
  const seen: string[] = []
  for (const channel of [room, news]) channel.watch(({ text }) => { seen.push(text) })
  await Promise.all([room.subscribed(), news.subscribed()])
  await client.publish('room/:id', { id: '7' }, { text: 'before' })
  await until('it came', () => seen.length === 1)
  proxy.block()
  await until('both are lost', () => sc.clientsCount === 0 && room.state === 'pending' && news.state === 'pending')
  await sc.exchange.publish('room/7', { text: 'missed' })
  await sc.exchange.publish('news', { text: 'lost' })
  proxy.unblock()
  await Promise.all([room.subscribed(), news.subscribed()])
  await until('it came late', () => seen.includes('missed'))
  await sc.exchange.publish('room/7', { text: 'after' })
  await until('all came', () => seen.length === 3)
  t.strictSame(seen, ['before', 'missed', 'after'])
  t.match(told.find(({ channel }) => channel === 'room/7'), { recovered: true, count: 1 })
  t.strictSame(told.find(({ channel }) => channel === 'news'), { channel: 'news', recovered: false, count: 0, reason: 'unknown' })
  t.strictSame([room.recovered, news.recovered], [true, false])
})

/** A server whose answers to `GET /stream` are written by the test. */
async function serveAnswers (t: Test, answer: (response: ServerResponse, attempt: number, lastEventId: string | undefined) => void): Promise<{ url: string, times: number[] }> {
  const times: number[] = []
  const server = createServer((request, response) => {
    times.push(performance.now())
    answer(response, times.length, request.headers['last-event-id'] as string | undefined)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, times }
}

const opened = 'retry: 1\n\nid: a\nevent: subscribed\ndata: {"id":"x","channels":[{"channel":"news"}]}\n\n'

t.test('Retry-After counts, a stream that is silent is opened again, and what stops a client stops it', async (t) => {
  const ids: Array<string | undefined> = []
  const { url, times } = await serveAnswers(t, (response, attempt, lastEventId) => {
    ids.push(lastEventId)
    if (attempt === 1) response.writeHead(429, { 'retry-after': '1', 'content-type': 'application/json' }).end('{"statusCode":429,"name":"RateLimitError","message":"slow down"}')
    else if (attempt === 2) response.writeHead(200, { 'content-type': 'text/event-stream' }).write(opened)
    else if (attempt === 3) response.writeHead(502).end('<h1>Bad Gateway</h1>')
    else if (attempt === 4) response.writeHead(200, { 'content-type': 'text/event-stream' }).end(`${opened}id: b\r\nda`)
    else response.writeHead(204).end()
  })
  const news = connect(t, url, { silence: 3_000 }).subscribe('news')
  await t.rejects(readAll(news), { message: /The server ended the subscription of channel "news"/ })
  t.equal(times.length, 5)
  t.ok(times[1]! - times[0]! >= 990, 'it waited for a second')
  t.ok(times[2]! - times[1]! >= 2_990, 'it waited for a sign of life')
  t.strictSame(ids, [undefined, undefined, 'a', 'a', 'a'], 'the id of an event that was cut off does not count')
})

t.test('a page of a proxy is no answer and no stream', async (t) => {
  const { url } = await serveAnswers(t, (response) => { response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Log in</h1>') })
  await t.rejects(connect(t, url).invoke('whoami'), { name: 'BadConnectionError', message: /no answer of the server/ })
  await t.rejects(connect(t, url).subscribe('news').subscribed(), { name: 'BadConnectionError', message: /Status 200 of .*no answer of the server/ })
})

t.test('in a browser', async (t) => {
  const open = await startChromium(t)
  if (open === null) return t.pass('skipped: no Chromium')
  const { outputFiles: [bundle] } = await build({ entryPoints: [fileURLToPath(new URL('../../lib/client/index.ts', import.meta.url))], bundle: true, format: 'esm', write: false })
  const { url, sc } = await run(t, (app) => {
    app.get('/client.js', async (_request, reply) => await reply.type('text/javascript').send(bundle!.text))
    app.get('/page', async (_request, reply) => await reply.type('text/html').send('<!doctype html><title>client</title>'))
  })
  const page = await (await open()).newPage()
  await page.goto(`${url}/page`)
  t.strictSame(await page.evaluate(`(async () => {
    const { overHttp } = await import('/client.js')
    globalThis.seen = []
    globalThis.client = overHttp('${url}/realtime', { events: '/shop' })
    globalThis.room = client.subscribe('room/:id', { id: '7' })
    room.watch(({ text }) => seen.push(text))
    await room.subscribed()
    await client.publish('room/:id', { id: '7' }, { text: 'hi' })
    return await client.invoke('double', { n: 4 })
  })()`), { n: 8 })
  await page.waitForFunction('seen.length === 1')
  t.equal(await sc.disconnectSockets({}, 1001), 1)
  await until('it is back', () => sc.clientsCount === 1)
  await sc.exchange.publish('room/7', { text: 'again' })
  await page.waitForFunction('seen.length === 2')
  t.strictSame(await page.evaluate('[seen, room.state, room.recovered]'), [['hi', 'again'], 'subscribed', true])
  await page.evaluate('client.close()')
  await until('it is gone', () => sc.clientsCount === 0)
})

t.test('an answer that is cut off, and a token that cannot be had', async (t) => {
  const { url, times } = await serveAnswers(t, (response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 }).write('{"n":')
    setImmediate(() => response.destroy())
  })
  await t.rejects(connect(t, url).invoke('whoami'), { name: 'BadConnectionError' })
  let asked = 0
  // eslint-disable-next-line prefer-promise-reject-errors
  const client = connect(t, url, { token: async () => ++asked === 1 ? await Promise.reject() : 'a' })
  await t.rejects(client.subscribe('news').subscribed(), { name: 'BadConnectionError' })
  t.strictSame([asked, times.length], [2, 2], 'it was asked for again')
})

t.test('a loop that is slow slows the server down, and gets everything', async (t) => {
  const { url, sc } = await run(t, (app) => { app.scChannel('log', { history: { size: 2_000 }, recover: { limit: 1_000, bytes: 100_000_000 } }) })
  const client = overHttp<{ channels: { log: { message: object } } }>(`${url}/realtime`)
  t.teardown(() => client.close())
  const log = client.subscribe('log')
  const loop = log[Symbol.asyncIterator]() as AsyncIterator<any>
  await log.subscribed()
  let count = 0
  while (sc.stats().slowConsumers === 0 && count < 1_500) await sc.exchange.publish('log', { n: ++count, text: 'x'.repeat(20_000) })
  t.equal(sc.stats().slowConsumers, 1)
  for (let n = 1; n <= count; n++) t.equal((await loop.next()).value.n, n)
  await loop.return!()
})
