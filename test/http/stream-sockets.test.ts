import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { ScRefusal } from '../../lib/index.js'
import { refusedStream, startStream } from '../helpers/event-stream.js'
import { serveStreams } from '../helpers/serve-streams.js'
import { atRest, until } from '../helpers/waiting.js'

const kept = { history: {}, recover: true } as const

t.test('a stream is a socket: events reach it, and what needs an answer is refused', async (t) => {
  const { sc, port } = await serveStreams(t, { gapEvent: 'lost' })
  const connection = once(sc, 'connection')
  const stream = await startStream(t, port, ['news'])
  const [socket] = await connection
  t.equal(sc.clients[socket.id], socket)
  const errors: any[] = []
  socket.on('error', (err: any) => errors.push(err.code))

  socket.emit('price', { amount: 1 })
  socket.transmit('none')
  t.match(await stream.next('price'), { data: { amount: 1 } })
  t.match(await stream.next('none'), { data: null })
  for (const name of ['message', 'open', 'error', 'gap', 'kick', 'subscribed', 'disconnect', 'a\nb', 'a\rb', 'a\0b']) socket.emit(name, 1)
  t.strictSame([...new Set(errors)].sort(), ['SC_ERR_EVENT_RESERVED', 'SC_ERR_SSE_EVENT', undefined])
  errors.length = 0
  socket.send('data: 1\n\n')
  socket.send(Buffer.from('id: x\n\n'))
  socket.sendObject({ rid: 77 })
  socket.sendObject(['a'])
  socket.sendObject({ event: 'object', data: 'a\n\nb' })
  t.match(await stream.next('object'), { data: 'a\n\nb' })
  t.strictSame(errors, ['SC_ERR_SSE_RAW', 'SC_ERR_SSE_RAW', 'SC_ERR_SSE_RAW'])

  await t.rejects(socket.invoke('question'), { name: 'InvalidActionError', code: 'SC_ERR_SSE_CALL' })
  t.match(await new Promise((resolve) => socket.emit('question', 1, (err: unknown) => resolve(err))), { code: 'SC_ERR_SSE_CALL' })
  await socket.setAuthToken({ sub: 'ada' })
  t.match(socket, { authState: 'authenticated', authToken: { sub: 'ada' } }, 'the server knows')
  await t.rejects(socket.setAuthToken({ sub: 'bob' }, { rejectOnFailedDelivery: true }), { name: 'AuthError' })
  t.notMatch(stream.text, /ada|bob|#setAuthToken/)
  await t.rejects(socket.deauthenticate({ rejectOnFailedDelivery: true }), { name: 'BadConnectionError' }, 'the stream ends with its token')
  t.equal((await stream.next('disconnect')).data.code, 4401)
  t.match(stream.all.map(({ event }) => event), ['subscribed', 'price', 'none', 'object', 'disconnect'])
})

t.test('lost publications are told as gaps', async (t) => {
  const { core, port } = await serveStreams(t, { gapEvent: 'lost' }, (app) => { app.scChannel('room/:id', kept) })
  const stream = await startStream(t, port, ['news', 'room/1'])
  core.hub.announceGap('lost', 'news')
  t.strictSame((await stream.next('gap')).data, { channel: 'news', recovered: false, reason: 'unknown' })
  core.hub.announceLoss('room/1', { epoch: 'abc', offset: 70, check: 'def' })
  const loss = await stream.next('gap')
  t.strictSame(loss.data, { channel: 'room/1', recovered: false, reason: 'unknown' })
  t.match(loss.id, /abc\.1y\.def/, 'the next stream goes on after it')
})

t.test('line breaks between the tokens of JSON stay in the data', async (t) => {
  const { core, port } = await serveStreams(t)
  const stream = await startStream(t, port, ['news'])
  core.hub.deliver('news', '{\n"a":\r\n1,\r"b": [\n\n2]}')
  t.strictSame((await stream.next()).data, { channel: 'news', data: { a: 1, b: [2] } })
  core.hub.deliver('news', '"\u2028 \u0085 \u00e9 \ud83d\ude00"')
  t.equal(await stream.data(), '\u2028 \u0085 \u00e9 \ud83d\ude00')
})

t.test('hooks decide what a stream gets', async (t) => {
  const { app, sc, port, sign } = await serveStreams(t, {}, (app) => {
    app.scHook('publishOut', async (request) => {
      if (request.channel !== 'room/1') return
      if ((request.data as any).for !== request.socket.authToken?.sub) throw new ScRefusal('not for you')
      request.data = { text: `${(request.data as any).text} for ${request.socket.transport}` }
    })
    app.scChannel('room/:id', kept)
    app.scChannel('team/:id', { deliver: ({ data }) => { if ((data as any).secret === true) throw new ScRefusal('secret') } })
  })
  const stream = await startStream(t, port, ['room/1', 'team/1'], { headers: { authorization: `Bearer ${await sign({ sub: 'ada' })}` } })
  await app.scServer.exchange.publish('room/1', { for: 'bob', text: 'no' })
  await app.scServer.exchange.publish('room/1', { for: 'ada', text: 'yes' })
  t.strictSame(await stream.data(), { text: 'yes for sse' })
  await sc.exchange.publish('team/1', { secret: true })
  await sc.exchange.publish('team/1', { secret: false })
  t.strictSame(await stream.data(), { secret: false })
})

t.test('with a codec of the application streams are JSON all the same', async (t) => {
  const codec = {
    encode: (packet: unknown) => Buffer.from(JSON.stringify(packet)).reverse(),
    decode: (message: string | Buffer) => JSON.parse(Buffer.from(message as Buffer).reverse().toString())
  }
  const { sc, port } = await serveStreams(t, { codecEngine: codec }, (app) => { app.scChannel('room/:id', kept) })
  const stream = await startStream(t, port, ['room/1', 'news'])
  for (const channel of ['room/1', 'news']) await sc.exchange.publish(channel, { channel })
  t.strictSame(await stream.data(), { channel: 'room/1' })
  t.strictSame(await stream.data(), { channel: 'news' })
  Object.values(sc.clients)[0]!.emit('hello', { a: [1] })
  t.strictSame((await stream.next('hello')).data, { a: [1] })
  stream.close()
  await sc.exchange.publish('room/1', 'missed')
  const after = await startStream(t, port, ['room/1'], { headers: { 'last-event-id': stream.lastEventId } })
  t.equal(await after.data(), 'missed')
})

t.test('streams count: of all, of a user, of an address; a closed one does not', async (t) => {
  const { sc, core, port, sign } = await serveStreams(t, {}, undefined, { maxStreams: 4, maxStreamsPerKey: 2 })
  const headers = { authorization: `Bearer ${await sign({ sub: 'ada' })}` }
  const streams = [await startStream(t, port, ['a']), await startStream(t, port, ['a'])]
  t.match(await refusedStream(t, port, ['a']), { status: 429, headers: { 'retry-after': '10' }, body: { code: 'SC_ERR_SSE_STREAMS_OF_KEY' } })
  streams.push(await startStream(t, port, ['a'], { headers }), await startStream(t, port, ['a'], { headers }))
  t.match(await refusedStream(t, port, ['a'], { headers: { authorization: `Bearer ${await sign({ sub: 'bob' })}` } }), { status: 503, headers: { 'retry-after': '10' }, body: { code: 'SC_ERR_SSE_STREAMS' } })
  t.equal(sc.clientsCount, 4)
  for (const stream of streams) stream.close()
  await until('no clients', () => sc.clientsCount === 0)
  t.match(sc.stats(), { clients: 0, subscriptions: 0, channels: 0, bufferedBytes: 0, heldBytes: 0 })
  t.equal(core.connections.admission.size, 0)
  await startStream(t, port, ['a'])
})

t.test('streams count by a key of the application, which must be text', async (t) => {
  const key = ({ headers }: FastifyRequest): any => headers['x-key'] === 'promise' ? Promise.reject(new Error('secret')) : headers['x-key']
  const { sc, port } = await serveStreams(t, {}, undefined, { maxStreamsPerKey: 1, key })
  for (const name of ['a', 'b']) await startStream(t, port, ['news'], { headers: { 'x-key': name } })
  t.match(await refusedStream(t, port, ['news'], { headers: { 'x-key': 'a' } }), { status: 429, body: { code: 'SC_ERR_SSE_STREAMS_OF_KEY' } })
  // A rejection that nobody handles would end this process.
  const wrong: Array<Record<string, string>> = [{}, { 'x-key': 'promise' }]
  for (const headers of wrong) t.match(await refusedStream(t, port, ['news'], { headers }), { status: 500, body: { message: 'Internal error', errorId: String } })
  t.equal(sc.clientsCount, 2)
})

t.test('the limits of connections hold for streams', async (t) => {
  const { port } = await serveStreams(t, { maxConnections: 2 })
  await startStream(t, port, ['a'])
  await startStream(t, port, ['a'])
  t.match(await refusedStream(t, port, ['a']), { status: 503, headers: { 'retry-after': '10' }, body: { code: 'SC_ERR_CONNECTIONS' } })
})

t.test('a client that leaves while its hooks run, or is dropped then, leaves nothing behind', async (t) => {
  let entered = (): void => {}
  let leave!: () => void
  const { sc, core, port } = await serveStreams(t, {}, (app) => {
    app.scHook('subscribe', ({ channel }) => channel === 'slow' ? new Promise<void>((resolve) => { leave = resolve; entered() }) : undefined)
  })
  for (const how of ['left', 'dropped', 'ended']) {
    const inHook = new Promise<void>((resolve) => { entered = resolve })
    const opening = how === 'left' ? null : refusedStream(t, port, ['quick', 'slow'])
    const left = how === 'left' ? new AbortController() : null
    if (left !== null) fetch(`http://127.0.0.1:${port}/stream?channel=quick&channel=slow`, { signal: left.signal }).catch(() => {})
    await inHook
    await sc.exchange.publish('quick', 'x'.repeat(10_000))
    left?.abort()
    if (how === 'dropped') Object.values(sc.clients)[0]!.terminate()
    if (how === 'ended') await sc.disconnectSockets({}, 1001)
    if (opening !== null) t.match(await opening, { status: how === 'ended' ? 503 : 403, body: { code: 'SC_ERR_SSE_ENDED' } })
    await until('no clients', () => sc.clientsCount === 0)
    leave()
    await atRest(() => sc.stats().heldBytes)
    t.match(sc.stats(), { clients: 0, pendingClients: 0, subscriptions: 0, channels: 0, bufferedBytes: 0, heldBytes: 0, faults: 0 }, how)
    t.equal(core.connections.admission.size, 0)
  }
})

t.test('a client that leaves before its stream is made, leaves nothing behind', async (t) => {
  let wait: ((response: ServerResponse) => Promise<void>) | null = null
  const { app, sc, port } = await serveStreams(t, {}, (app) => {
    app.addHook('preHandler', async (_request, { raw }) => { if (where === 'hook') await wait?.(raw) })
  }, { maxStreams: 1, maxStreamsPerKey: 1, authorize: async ({ raw }) => { if (where === 'authorize') await wait?.(responseOf.get(raw)!) } })
  const responseOf = new WeakMap<object, ServerResponse>()
  app.server.prependListener('request', (request, response) => { responseOf.set(request, response) })
  let where = ''
  for (where of ['hook', 'authorize']) {
    const left = new AbortController()
    const gone = new Promise<void>((resolve) => {
      wait = async (response) => {
        left.abort()
        await once(response, 'close')
        setImmediate(resolve)
      }
    })
    await fetch(`http://127.0.0.1:${port}/stream?channel=a`, { signal: left.signal }).catch(() => {})
    await gone
    wait = null
    const stream = await startStream(t, port, ['a'])
    t.match(sc.stats(), { clients: 1, pendingClients: 0, subscriptions: 1 }, where)
    stream.close()
    await until('no clients', () => sc.clientsCount === 0)
  }
})

t.test('comments keep a quiet stream alive', async (t) => {
  const { port } = await serveStreams(t, { pingInterval: 50, pingTimeout: 100 }, undefined, { heartbeat: 1_000 })
  const stream = await startStream(t, port, ['a'])
  await until('comments', () => stream.comments >= 3)
  t.notOk(stream.ended, 'nobody expects an answer')
  t.notMatch(stream.text, '#1')
})

t.test('users on streams are present', async (t) => {
  const { sc, port, sign } = await serveStreams(t, {}, (app) => { app.scChannel('room/:id', { presence: true }) })
  const stream = await startStream(t, port, ['room/1', 'room/1#presence'], { headers: { authorization: `Bearer ${await sign({ sub: 'ada' })}` } })
  t.match(await sc.exchange.presence('room/1'), { members: [{ key: 'ada' }], total: 1 })
  t.match(await stream.next(), { data: { channel: 'room/1#presence' } })
})
