import t from 'tap'
import { ScRefusal } from '../../lib/index.js'
import { openStream, refusedStream, startStream } from '../helpers/event-stream.js'
import { serveStreams } from '../helpers/serve-streams.js'
import { bestOf } from '../helpers/waiting.js'

const kept = { history: {}, recover: true } as const

t.test('a stream gets what is published to its channels, with ids where there is a history', async (t) => {
  const { app, sc, port } = await serveStreams(t, {}, (app) => { app.scChannel('room/:id', kept) })
  const stream = await openStream(t, port, ['room/1', 'news'])
  t.equal(stream.status, 200)
  t.match(stream.headers, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' })
  const first = await stream.next('subscribed')
  t.match(first.data, { id: Object.keys(sc.clients)[0], channels: [{ channel: 'room/1' }, { channel: 'news' }] })
  t.ok(stream.retry! >= 2_000 && stream.retry! <= 5_000, 'clients do not come back all at once')
  t.not(first.id, '', 'it can be resumed before the first message')

  await app.scServer.exchange.publish('room/1', { text: 'a\r\nid: forged\n\ndata: b' })
  const message = await stream.next()
  t.strictSame(message.data, { channel: 'room/1', data: { text: 'a\r\nid: forged\n\ndata: b' } })
  t.not(message.id, first.id)
  await app.scServer.exchange.publish('news', 1)
  const plain = await stream.next()
  t.strictSame(plain.data, { channel: 'news', data: 1 })
  t.equal(plain.id, message.id, 'a message without a position moves nothing')
  await app.scServer.exchange.publish('news')
  t.strictSame((await stream.next()).data, { channel: 'news' })

  const [socket] = Object.values(sc.clients)
  t.match(socket, { transport: 'sse', protocolVersion: null, state: 'open', authState: 'unauthenticated' })
  t.strictSame(socket!.subscriptions().sort(), ['news', 'room/1'])
  t.equal(sc.stats().subscriptions, 2)
  t.ok(sc.stats().outboundBytes > 0)
  t.ok(app.server.listening)
})

t.test('slashes in the names of channels are whole, also encoded ones', async (t) => {
  const { sc, port } = await serveStreams(t)
  const names = ['a/b', 'a%2Fb', 'a%252Fb']
  for (const channel of names) {
    const stream = await startStream(t, port, [channel])
    for (const other of names) if (other !== channel) await sc.exchange.publish(other, other)
    await sc.exchange.publish(channel, 'own')
    t.strictSame((await stream.next()).data, { channel, data: 'own' })
    stream.close()
  }
})

t.test('a stream goes on after the last event', async (t) => {
  const { sc, port } = await serveStreams(t, {}, (app) => { app.scChannel('room/:id', kept) })
  const { exchange } = sc
  const before = await startStream(t, port, ['room/1', 'room/2', 'news'])
  for (let i = 1; i <= 3; i++) for (const channel of ['room/1', 'room/2', 'news']) await exchange.publish(channel, i)
  for (let i = 0; i < 9; i++) await before.next()
  const { lastEventId } = before
  before.close()
  for (let i = 4; i <= 40; i++) for (const channel of ['room/1', 'room/2', 'news']) await exchange.publish(channel, i)

  for (const where of [{ headers: { 'last-event-id': lastEventId } }, { query: { lastEventId } }, { headers: { 'last-event-id': lastEventId }, query: { lastEventId: 'an old one' } }]) {
    const after = await openStream(t, port, ['room/2', 'news', 'room/1', 'room/3'], where)
    t.match(await after.next('gap'), { data: { channel: 'news', recovered: false, reason: 'unknown' } }, 'without a history nobody knows')
    t.match(await after.next('subscribed'), { data: { channels: [{ channel: 'room/2', recovered: true, count: 37 }, { channel: 'news', recovered: false }, { channel: 'room/1', recovered: true, count: 37 }, { channel: 'room/3' }] } })
    const got = new Map<string, number[]>()
    for (let i = 0; i < 74; i++) {
      const { data: { channel, data }, id } = await after.next()
      got.set(channel, [...got.get(channel) ?? [], data])
      t.not(id, lastEventId)
    }
    const missed = Array.from({ length: 37 }, (_, i) => i + 4)
    t.strictSame(Object.fromEntries(got), { 'room/1': missed, 'room/2': missed })
    await exchange.publish('room/3', 'new')
    t.equal(await after.data(), 'new')
    after.close()
  }
})

t.test('any cut of a stream is a place to go on from: each message comes once', async (t) => {
  const { sc, port } = await serveStreams(t, {}, (app) => { app.scChannel('room/:id', kept) })
  const whole = await startStream(t, port, ['room/1', 'room/2'])
  const { text: head } = whole
  for (let i = 1; i <= 12; i++) await sc.exchange.publish(`room/${1 + i % 2}`, i)
  for (let i = 0; i < 12; i++) await whole.next()
  const ids = [/^id: (.+)$/m.exec(head)![1]!, ...whole.all.slice(1).map(({ id }) => id)]
  for (const [seen, lastEventId] of ids.entries()) {
    const after = await startStream(t, port, ['room/1', 'room/2'], { query: { lastEventId } })
    const rest = []
    for (let i = seen; i < 12; i++) rest.push(await after.data())
    t.strictSame(rest.sort((a, b) => a - b), Array.from({ length: 12 - seen }, (_, i) => seen + i + 1))
    after.close()
  }
})

t.test('text that is no cursor, and a position that is gone, are told as losses', async (t) => {
  const { sc, port } = await serveStreams(t, {}, (app) => { app.scChannel('room/:id', { history: { size: 5 }, recover: true }) })
  const before = await startStream(t, port, ['room/1'])
  for (let i = 0; i < 10; i++) await sc.exchange.publish('room/1', i)
  const old = before.lastEventId
  for (const lastEventId of ['garbage', '~', 'x'.repeat(4_000), old.slice(0, 8), `${old}~`, old.replace(/\.[^.]*$/, '.zzzzzzzz'), 'a b', '%0d%0adata: 1']) {
    const after = await openStream(t, port, ['room/1'], { query: { lastEventId } })
    t.match(await after.next('gap'), { data: { channel: 'room/1', recovered: false, reason: 'unknown' } }, JSON.stringify(lastEventId).slice(0, 40))
    await after.next('subscribed')
    after.close()
  }
  const after = await openStream(t, port, ['room/1'], { query: { lastEventId: old } })
  t.equal((await after.next('gap')).data.reason, 'trimmed')
})

t.test('what is refused has the status of its error, and leaves nothing behind', async (t) => {
  let hook = ''
  const { sign, app, sc, core, port, warnings } = await serveStreams(t, { origins: 'https://example.com' }, (app) => {
    app.scHook('handshakeSC', async () => { if (hook === 'handshakeSC') throw new ScRefusal('not today') })
    app.scHook('authenticate', async () => { if (hook === 'authenticate') throw new ScRefusal('not you') })
    app.scHook('subscribe', async ({ channel, socket }) => {
      if (channel === 'members' && socket.authToken === null) throw new ScRefusal('members only', { reason: 'guest' })
      if (channel === 'broken') throw new Error('SELECT secret')
    })
    app.scChannel('room/:id', kept)
  }, { authorize: (_request, channels) => { if (channels?.includes('forbidden')) throw new ScRefusal('no', { statusCode: 403 }) } })
  const signed = await sign({ sub: 'ada' })
  const refused = async (channels: string[], expected: object, options: Parameters<typeof refusedStream>[3] = {}): Promise<void> => {
    const { status, headers, body } = await refusedStream(t, port, channels, options)
    t.match({ status, headers, ...body }, expected, JSON.stringify([channels.slice(0, 2), options]))
    t.equal(body.statusCode, status)
  }
  await refused([], { status: 400, code: 'SC_ERR_HTTP_QUERY' })
  await refused(Array.from({ length: 21 }, (_, i) => `c${i}`), { status: 400, code: 'SC_ERR_HTTP_QUERY' })
  await refused(['a\nid: 1'], { status: 400, code: 'SC_ERR_CHANNEL_NAME' })
  await refused([''], { status: 400, code: 'SC_ERR_CHANNEL_NAME' })
  await refused(['x'.repeat(300)], { status: 400, code: 'SC_ERR_CHANNEL_NAME' })
  await refused(['room/1', 'members'], { status: 403, name: 'RefusalError', message: 'members only', reason: 'guest' })
  await refused(['broken'], { status: 500, message: 'Internal error', errorId: String })
  await refused(['forbidden'], { status: 403, message: 'no' })
  await refused(['news'], { status: 401, code: 'SC_ERR_TOKEN_INVALID', headers: { 'www-authenticate': /Bearer/ } }, { headers: { authorization: 'Bearer nope' } })
  await refused(['news'], { status: 401, code: 'SC_ERR_TOKEN_INVALID' }, { headers: { authorization: 'Bearer' } })
  await refused(['news'], { status: 401, code: 'SC_ERR_TOKEN_INVALID' }, { query: { ticket: signed.slice(0, -2) } })
  await refused(['news'], { status: 401, code: 'SC_ERR_SSE_TICKET' }, { query: { ticket: signed } })
  await refused(['news'], { status: 403, code: 'SC_ERR_ORIGIN' }, { headers: { cookie: 'session=1', origin: 'https://evil.example' } })
  await refused(['news'], { status: 403, code: 'SC_ERR_ORIGIN' }, { headers: { cookie: 'session=1', 'sec-fetch-site': 'cross-site' } })
  await refused(['news'], { status: 403, code: 'SC_ERR_ORIGIN' }, { headers: { authorization: 'Basic YTpi', origin: 'https://evil.example' } })
  hook = 'handshakeSC'
  await refused(['news'], { status: 403, message: 'not today' })
  hook = 'authenticate'
  await refused(['news'], { status: 401, message: 'not you' }, { headers: { authorization: `Bearer ${signed}` } })
  hook = ''
  sc.addMiddleware(sc.MIDDLEWARE_HANDSHAKE_WS, (_req, next) => { next(new Error('no upgrade')) })
  await refused(['news'], { status: 401, code: 'SC_ERR_HANDSHAKE_BLOCKED' })
  t.equal((await app.inject({ method: 'HEAD', url: '/stream?channel=news' })).statusCode, 404)
  t.match(sc.stats(), { clients: 0, pendingClients: 0, subscriptions: 0, channels: 0, bufferedBytes: 0, heldBytes: 0, faults: 0 })
  t.equal(core.connections.admission.size, 0)
  t.ok(warnings.length > 0)
})

t.test("hooks of the application know the operation of a stream's routes", async (t) => {
  const operations: unknown[] = []
  const { app, port } = await serveStreams(t, {}, (app) => {
    app.addHook('onRequest', async (request) => { operations.push(request.routeOptions.config.sc?.operation) })
  })
  await startStream(t, port, ['news'])
  await app.inject({ method: 'POST', url: '/stream/ticket' })
  await app.inject('/nodes')
  t.strictSame(operations, ['stream', 'streamTicket', 'nodes'])
})

t.test('a token opens guarded channels, and a page of an allowed origin may send cookies', async (t) => {
  const { sign, sc, port } = await serveStreams(t, { origins: 'https://example.com' }, (app) => {
    app.scHook('subscribe', ({ socket }) => { if (socket.authToken?.sub !== 'ada') throw new ScRefusal('ada only') })
  })
  const signed = await sign({ sub: 'ada' })
  await startStream(t, port, ['members'], { headers: { authorization: `Bearer ${signed}`, origin: 'https://example.com', cookie: 'a=b' } })
  await startStream(t, port, ['members'], { headers: { authorization: `bearer ${signed}`, origin: 'https://elsewhere.example' } })
  t.match(Object.values(sc.clients)[0], { authState: 'authenticated', authToken: { sub: 'ada' } })
})

t.test('who was removed from a channel does not come back to it by itself', async (t) => {
  const { sc, port } = await serveStreams(t, {}, (app) => { app.scChannel('room/:id', kept) })
  const stream = await startStream(t, port, ['room/1', 'news'])
  t.equal(await sc.kickOut({}, 'room/1', 'enough\nid: 1'), 1)
  const kick = await stream.next('kick')
  t.strictSame(kick.data, { channel: 'room/1', message: 'enough\nid: 1' })
  await sc.exchange.publish('room/1', 'unseen')
  await sc.exchange.publish('news', 'seen')
  t.equal(await stream.data(), 'seen')

  const again = await openStream(t, port, ['room/1', 'news'], { headers: { 'last-event-id': stream.lastEventId } })
  t.strictSame((await again.next('subscribed')).data.channels.map(({ channel }: any) => channel), ['news'])
  await sc.kickOut({}, 'news')
  t.equal((await again.next('kick')).data.channel, 'news')
  t.equal((await again.next('disconnect')).data.code, 1000)
  await Promise.all([stream.end(), again.end()])
  t.match(await refusedStream(t, port, ['room/1', 'news'], { headers: { 'last-event-id': again.lastEventId } }), { status: 204, body: null }, 'an EventSource stops')
  const other = await startStream(t, port, ['room/1', 'more'], { headers: { 'last-event-id': again.lastEventId } })
  t.equal(other.status, 200, 'other channels are another matter')
  other.close()
})

t.test('a stream ends with its token', async (t) => {
  const { sc, port, sign } = await serveStreams(t)
  const other = await startStream(t, port, ['news'])
  let headers = {}
  let users = 0
  const took = await bestOf(3, async () => {
    const user = `user ${++users}`
    headers = { authorization: `Bearer ${await sign({ sub: user })}` }
    const streams = [await startStream(t, port, ['news'], { headers }), await startStream(t, port, ['news'], { headers })]
    const began = performance.now()
    t.equal(await sc.revoke({ user }), 2)
    for (const stream of streams) {
      t.match(await stream.next('disconnect'), { data: { code: 4401 } })
      await stream.end()
    }
    return performance.now() - began
  }, (took) => took < 250)
  t.ok(took < 250, `${took} ms`)
  t.match(await refusedStream(t, port, ['news'], { headers }), { status: 401, body: { code: 'SC_ERR_TOKEN_REVOKED' } })
  await sc.exchange.publish('news', 1)
  t.equal(await other.data(), 1)

  const brief = await startStream(t, port, ['news'], { headers: { authorization: `Bearer ${await sign({ sub: 'bob', exp: Math.floor(Date.now() / 1000) + 5 })}` } })
  t.equal((await brief.next('disconnect')).data.code, 4401)
  t.match(await refusedStream(t, port, ['news'], { headers: { authorization: `Bearer ${await sign({ sub: 'bob', exp: 1 })}` } }), { status: 401, body: { code: 'SC_ERR_TOKEN_EXPIRED' } })
})

t.test('the end of a stream tells whether to come back', async (t) => {
  const { app, sc, port } = await serveStreams(t, {}, (app) => { app.scChannel('room/:id', kept) })
  for (const [code, status] of [[1000, 204], [4500, 204], [1001, 200], [4100, 200]] as const) {
    const stream = await startStream(t, port, ['room/1'])
    t.equal(await sc.disconnectSockets({}, code, 'line\nbreak'), 1)
    t.strictSame((await stream.next('disconnect')).data, { code, reason: 'line\nbreak' })
    await stream.end()
    const again = await openStream(t, port, ['room/1'], { headers: { 'last-event-id': stream.lastEventId } })
    t.equal(again.status, status, `${code}`)
    again.close()
  }
  const last = await startStream(t, port, ['room/1'])
  last.retry = null
  const closed = app.close()
  t.equal((await last.next('disconnect')).data.code, sc.options.closeCode)
  t.ok(last.retry !== null, 'with a new time to come back')
  await closed
})
