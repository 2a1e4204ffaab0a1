// Compression: a message is compressed once, however many receive it, and everything keeps its order.
import { once } from 'node:events'
import { constants, inflateRawSync } from 'node:zlib'
import t from 'tap'
import { WebSocket } from 'ws'
import { Deflate } from '../../lib/transport/deflate.js'
import { generations } from '../helpers/app.js'
import { NetClient, RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

/** What a compressed message goes without (RFC 7692, section 7.2.1). */
const tail = Buffer.from([0, 0, 0xff, 0xff])
const long = (text: string): string => text.repeat(400)
const offer = (params = ''): { headers: string[] } => ({ headers: [`Sec-WebSocket-Extensions: permessage-deflate${params}`] })

t.test('publications and answers of all sizes come whole and in order', async (t) => {
  const { port, sc, nextSocket } = await serve(t, { perMessageDeflate: true })
  const [socket, client] = await Promise.all([nextSocket(), RawClient.connect(t, port)])
  t.equal(client.ws.extensions, 'permessage-deflate')
  await client.call('#subscribe', { channel: 'a' })
  socket.on('echo', (data: unknown, res: (err: null, data: unknown) => void) => res(null, data))
  const texts = ['short', long('é€😀'), '', long('ab'), 'x'.repeat(200_000), long('z')]
  const answers = texts.map((text, i) => {
    sc.exchange.publish('a', { i, text })
    sc.exchange.publish('a', i)
    return text.length < 60_000 ? client.call('echo', text) : null
  })
  for (const [i, text] of texts.entries()) {
    t.same(await client.publication('a'), { i, text })
    t.equal(await client.publication('a'), i)
  }
  for (const [i, answer] of answers.entries()) if (answer !== null) t.equal((await answer).data, texts[i])
  socket.send(Buffer.alloc(5_000, 7))
  t.same(await client.inbox.take(Buffer.isBuffer, 'binary'), Buffer.alloc(5_000, 7))
})

t.test('a publication is compressed once for all', async (t) => {
  const { port, sc } = await serve(t, { perMessageDeflate: true })
  const text = long('many times the same ')
  const clients = await Promise.all([offer(), offer('; client_max_window_bits'), offer('; server_no_context_takeover')].map(async (how) => {
    const client = await NetClient.open(t, port, how)
    t.match(client.headers, /permessage-deflate/)
    client.packet({ event: '#handshake', data: {}, cid: 1 })
    await client.packetFrame((packet) => packet.rid === 1)
    client.packet({ event: '#subscribe', data: { channel: 'a' }, cid: 2 })
    await client.packetFrame((packet) => packet.rid === 2)
    return client
  }))
  const { compress } = Deflate.prototype
  let times = 0
  Deflate.prototype.compress = function (payload) {
    times++
    return compress.call(this, payload)
  }
  t.teardown(() => { Deflate.prototype.compress = compress })
  sc.exchange.publish('a', text)
  const frames = await Promise.all(clients.map((client) => client.frames.take(({ rsv }) => rsv === 4, 'a compressed frame')))
  t.equal(times, 1)
  for (const { opcode, payload } of frames) {
    t.equal(opcode, 1)
    t.same(payload, frames[0]!.payload)
    t.ok(payload.length < text.length / 20, `${payload.length} bytes`)
    const inflated = inflateRawSync(Buffer.concat([payload, tail]), { finishFlush: constants.Z_SYNC_FLUSH })
    t.same(JSON.parse(inflated.toString()), { event: '#publish', data: { channel: 'a', data: text } })
  }
})

t.test('a client that asks for a smaller window', async (t) => {
  const { port, nextSocket } = await serve(t, { perMessageDeflate: true })
  const open = async (): Promise<NetClient> => {
    const client = await NetClient.open(t, port, offer('; server_max_window_bits=9'))
    client.packet({ event: '#handshake', data: {}, cid: 1 })
    return client
  }
  const [socket, client] = await Promise.all([nextSocket(), open()])
  t.match(client.headers, /server_max_window_bits=9/)
  const text = long('0123456789')
  socket.send(text)
  const { payload } = await client.frames.take(({ rsv }) => rsv === 4, 'a compressed frame')
  t.equal(inflateRawSync(Buffer.concat([payload, tail]), { finishFlush: constants.Z_SYNC_FLUSH, windowBits: 9 }).toString(), text)
})

t.test('options of the application: the threshold, the window, the level', async (t) => {
  const { port, nextSocket } = await serve(t, { perMessageDeflate: { threshold: 10, serverMaxWindowBits: 10, zlibDeflateOptions: { level: 1 } } })
  const open = async (): Promise<NetClient> => {
    const client = await NetClient.open(t, port, offer())
    client.packet({ event: '#handshake', data: {}, cid: 1 })
    return client
  }
  const [socket, client] = await Promise.all([nextSocket(), open()])
  t.match(client.headers, /server_max_window_bits=10/)
  const text = Array.from({ length: 4_000 }, (_, i) => i % 1_000).join('')
  socket.send(text)
  const { payload } = await client.frames.take(({ rsv, payload }) => rsv === 4 && payload.length > 500, 'a compressed frame')
  t.equal(inflateRawSync(Buffer.concat([payload, tail]), { finishFlush: constants.Z_SYNC_FLUSH, windowBits: 10 }).toString(), text)
})

t.test('stock clients of both generations', async (t) => {
  const app = await serve(t, { perMessageDeflate: true })
  for (const [, connect] of generations) {
    const client = await connect(t, app as never)
    await client.subscribe('a')
    for (let n = 0; n < 20; n++) await client.publish('a', { n, text: n % 2 === 0 ? long('even') : 'odd' })
    for (let n = 0; n < 20; n++) t.same(await client.next('a'), { n, text: n % 2 === 0 ? long('even') : 'odd' })
    await client.close()
  }
})

t.test('subscribers that read are not dropped by a publisher within its rate', async (t) => {
  const { port, sc } = await serve(t, { perMessageDeflate: true })
  let slow = 0
  sc.on('slowConsumer', () => { slow++ })
  const readers = await Promise.all(Array.from({ length: 50 }, async () => {
    const ws = new WebSocket(`ws://127.0.0.1:${port}/socketcluster/`)
    t.teardown(() => ws.terminate())
    await once(ws, 'open')
    let count = 0
    let wake = (): void => {}
    const all = new Promise<void>((resolve) => { wake = resolve })
    ws.on('message', (data: Buffer) => { if (data.length > 20_000 && ++count === 100) wake() })
    ws.send(JSON.stringify({ event: '#handshake', data: {}, cid: 1 }))
    ws.send(JSON.stringify({ event: '#subscribe', data: { channel: 'a' }, cid: 2 }))
    return { ws, all }
  }))
  while (sc.stats().subscriptions < 50) await new Promise((resolve) => setImmediate(resolve))
  const text = Array.from({ length: 3_000 }, (_, i) => (i * 2_654_435_761 % 4_294_967_296).toString(36)).join(' ')
  for (let n = 0; n < 100; n++) {
    sc.exchange.publish('a', { n, text })
    await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all(readers.map(({ all }) => all))
  t.equal(slow, 0)
  t.equal(readers.filter(({ ws }) => ws.readyState !== ws.OPEN).length, 0)
})
