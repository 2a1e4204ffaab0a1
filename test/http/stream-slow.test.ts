import { once } from 'node:events'
import http2 from 'node:http2'
import { connect } from 'node:net'
import { generate } from 'selfsigned'
import t from 'tap'
import { startStream, type StreamReader } from '../helpers/event-stream.js'
import { serveStreams } from '../helpers/serve-streams.js'
import { bestOf, until } from '../helpers/waiting.js'

const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], { keySize: 2048 })
const text = 'x'.repeat(20_000)

t.test('a stream that is not read takes little memory, does not disturb others, and gets everything later', async (t) => {
  const { sc, port } = await serveStreams(t, { inboundRate: 0 }, (app) => { app.scChannel('room/:id', { history: { size: 1_000 }, recover: { limit: 1_000, bytes: 100_000_000 } }) }, { maxStreamsPerKey: 0 })
  const streams = await Promise.all(Array.from({ length: 8 }, async () => await startStream(t, port, ['room/1'])))
  const slow = await startStream(t, port, ['room/1', 'room/2'])
  const socket = Object.values(sc.clients).at(-1)!
  t.equal(socket.channelSubscriptionsCount, 2)
  slow.pause()
  let most = 0
  for (let i = 1; i <= 250; i++) {
    await sc.exchange.publish('room/1', { i, text })
    const all = await Promise.all(streams.map(async (stream) => await stream.data()))
    if (!all.every((data) => data.i === i)) t.fail(`message ${i}`)
    most = Math.max(most, socket.bufferedAmount)
  }
  t.ok(most > 0 && most < 150_000, `at most ${most} bytes waited`)
  t.equal(sc.stats().slowConsumers, 1)
  slow.resume()
  for (let i = 1; i <= 250; i++) t.equal((await slow.data()).i, i)
  await until('nothing waits', () => sc.stats().bufferedBytes === 0)
})

/** How many streams there are when one of them is not read. */
const crowd = Number(process.env.SC_STREAMS ?? 200)

t.test('a stream that is not read costs a crowd of others no time', async (t) => {
  const { sc, port } = await serveStreams(t, { inboundRate: 0, maxConnections: 0, maxConnectionsPerIp: 0 }, (app) => { app.scChannel('room/:id', { history: { size: 1_000 }, recover: true }) }, { maxStreams: 0, maxStreamsPerKey: 0 })
  const paused = await startStream(t, port, ['room/1', 'room/2'])
  const others: StreamReader[] = []
  while (others.length < crowd - 1) others.push(await startStream(t, port, ['room/1']))
  const socket = Object.values(sc.clients).find(({ channelSubscriptionsCount }) => channelSubscriptionsCount === 2)!
  /** Milliseconds until 99 % of the others have a message: the median of 20 messages. */
  const p99 = async (): Promise<number> => {
    const delays: number[] = []
    for (let i = 0; i < 20; i++) {
      const from = performance.now()
      const came = others.map(async (stream) => {
        await stream.next()
        return performance.now() - from
      })
      await sc.exchange.publish('room/1', { i, text: 'x'.repeat(1_000) })
      delays.push((await Promise.all(came)).sort((a, b) => a - b)[Math.floor(others.length * 0.99)]!)
    }
    return delays.sort((a, b) => a - b)[10]!
  }
  await p99()
  const [read, unread] = await bestOf(5, async () => {
    paused.resume()
    await until('it has everything', () => socket.bufferedAmount === 0)
    const read = await p99()
    paused.pause()
    // It alone gets these, more than the operating system takes for it.
    const { slowConsumers } = sc.stats()
    while (sc.stats().slowConsumers === slowConsumers) await sc.exchange.publish('room/2', text)
    return [read, await p99()] as const
  }, ([read, unread]) => unread < 2 * read)
  t.comment(`99 % of ${others.length} streams have a message within ${read.toFixed(1)} ms; with one that is not read, within ${unread.toFixed(1)} ms`)
  t.ok(unread < 2 * read, `${read} ms, then ${unread} ms`)
  t.ok(socket.bufferedAmount > 0, 'it was not read all the time')
})

t.test('without a history the policy of the channel decides', async (t) => {
  const { sc, port } = await serveStreams(t, { maxBufferedBytes: 100_000 }, (app) => {
    app.scChannel('drop/:id', { slowConsumerPolicy: 'drop' })
    app.scChannel('latest/:id', { slowConsumerPolicy: 'latest' })
    app.scChannel('strict/:id', { slowConsumerPolicy: 'disconnect' })
  }, { maxStreamsPerKey: 0 })
  const [drop, latest, strict] = [await startStream(t, port, ['drop/1']), await startStream(t, port, ['latest/1']), await startStream(t, port, ['strict/1'])]
  for (const stream of [drop, latest, strict]) stream.pause()
  for (let i = 1; i <= 400; i++) for (const name of ['drop', 'latest', 'strict']) await sc.exchange.publish(`${name}/1`, { i, text })
  await until('the strict one is gone', () => sc.clientsCount === 2)
  t.ok(Object.values(sc.clients).every(({ bufferedAmount }) => bufferedAmount < 200_000))
  for (const stream of [drop, latest, strict]) stream.resume()
  await strict.end()
  await until('the latest one', () => latest.all.at(-1)!.data.data?.i === 400)
  t.ok(latest.all.length < 400)
  await until('nothing waits', () => sc.stats().bufferedBytes === 0)
  await sc.exchange.publish('drop/1', { i: 401 })
  await until('the next one', () => drop.all.at(-1)!.data.data?.i === 401)
})

t.test('a stream that ended is let go although its client does not read', async (t) => {
  const { sc, core, port } = await serveStreams(t, { maxBufferedBytes: 10_000_000, closeTimeout: 300 })
  const client = connect(port, '127.0.0.1')
  t.teardown(() => client.destroy())
  client.write('GET /stream?channel=news HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(client, 'readable')
  client.pause()
  while (Object.values(sc.clients)[0]!.bufferedAmount < 1_000_000) await sc.exchange.publish('news', text)
  await sc.disconnectSockets({}, 1001)
  t.equal(sc.clientsCount, 0)
  await until('the connection is dropped', () => core.connections.admission.size === 0)
  t.match(sc.stats(), { bufferedBytes: 0, heldBytes: 0 })
})

t.test('streams over HTTP/2, many on one connection', async (t) => {
  const { sc, core, port } = await serveStreams(t, {}, (app) => { app.scChannel('room/:id', { history: {}, recover: true }) }, { maxStreamsPerKey: 0 }, { http2: true, https: { key, cert, allowHTTP1: true } } as object)
  const session = http2.connect(`https://localhost:${port}`, { ca: cert })
  t.teardown(() => session.destroy())
  const open = async (): Promise<{ stream: http2.ClientHttp2Stream, got: () => string, headers: http2.IncomingHttpHeaders }> => {
    const stream = session.request({ ':path': '/stream?channel=room/1&channel=news' })
    stream.setEncoding('utf8')
    let got = ''
    stream.on('data', (chunk: string) => { got += chunk })
    const [headers] = await once(stream, 'response') as [http2.IncomingHttpHeaders]
    await until('a stream', () => got.includes('event: subscribed'))
    return { stream, got: () => got, headers }
  }
  const streams = await Promise.all(Array.from({ length: 10 }, open))
  t.match(streams[0]!.headers, { ':status': 200, 'content-type': /^text\/event-stream/ })
  await sc.exchange.publish('room/1', 'a')
  await sc.exchange.publish('news', 'b')
  for (const { got } of streams) await until('both', () => /id: .*\ndata: \{"channel":"room\/1","data":"a"\}\n\ndata: \{"channel":"news","data":"b"\}/.test(got()))
  streams[0]!.stream.close(http2.constants.NGHTTP2_CANCEL)
  await until('one left', () => sc.clientsCount === 9)
  await sc.disconnectSockets({}, 1001)
  for (const { got } of streams.slice(1)) await until('the end', () => got().includes('event: disconnect'))
  await until('all counted', () => core.connections.admission.size === 0)

  // One that does not read is held back by HTTP/2, and gets everything later.
  const slow = await open()
  slow.stream.pause()
  for (let i = 1; i <= 100; i++) await sc.exchange.publish('room/1', { i, text })
  t.ok(Object.values(sc.clients)[0]!.bufferedAmount < 150_000)
  slow.stream.resume()
  await until('the last one', () => slow.got().includes('"i":100'))
  t.equal(slow.got().match(/"i":\d+/g)!.length, 100)
})

t.test('a request behind a stream on the same connection waits, and costs the stream nothing', async (t) => {
  const { app, sc, port } = await serveStreams(t, {}, (app) => { app.get('/hello', async () => 'hello') })
  const client = connect(port, '127.0.0.1')
  t.teardown(() => client.destroy())
  let got = ''
  client.on('data', (chunk) => { got += chunk.toString() })
  client.write('GET /stream?channel=news HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await until('a stream', () => got.includes('subscribed'))
  await app.scServer.exchange.publish('news', 1)
  await until('a message', () => got.includes('"data":1'))
  t.notMatch(got, 'hello')
  client.destroy()
  await until('nobody is left', () => sc.clientsCount === 0)
})
