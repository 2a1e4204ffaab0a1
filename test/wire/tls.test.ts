// Frames are written below ws, to the stream that TLS gives: the same must come out as without.
import { once } from 'node:events'
import { generate } from 'selfsigned'
import sc14 from 'socketcluster-client-14'
import sc20 from 'socketcluster-client'
import t from 'tap'
import type { ScServerSocket } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], { keySize: 2048 })
const https = { key, cert }
const secure = { secure: true } as const

t.test('what is said in one turn arrives in order', async (t) => {
  const { port, sc, nextSocket } = await serve(t, { inboundRate: 0, protocolVersion: 1 }, undefined, { https } as object)
  const opening = nextSocket()
  const client = await RawClient.connect(t, port, { ...secure, version: 1 })
  const socket = await opening as ScServerSocket
  await client.call('#subscribe', 'news')
  client.inbox.items.length = 0
  const large = 'x'.repeat(200_000)
  socket.emit('first', 1)
  sc.exchange.publish('news', 2)
  socket.emit('third', large)
  for (let n = 4; n < 100; n++) sc.exchange.publish('news', n)
  socket.send('raw')
  socket.disconnect(4123, 'last')
  const { code, reason } = await client.closed
  const said = client.inbox.items.map((packet) => packet === 'raw' ? packet : packet.event === '#publish' ? packet.data.data : packet.event === '#disconnect' ? packet.data.code : packet.data)
  t.same(said, [1, 2, large, ...Array.from({ length: 96 }, (_, i) => i + 4), 'raw', 4123])
  t.same([code, reason], [4123, 'last'])
})

t.test('calls and publications of many clients, in one turn and in many', async (t) => {
  const { port, sc } = await serve(t, { inboundRate: 0 }, (app) => app.scEvent('echo', {}, (data) => data), { https } as object)
  const clients = await Promise.all(Array.from({ length: 30 }, () => RawClient.connect(t, port, secure)))
  await Promise.all(clients.map((client) => client.call('#subscribe', 'news')))
  for (let n = 0; n < 50; n++) sc.exchange.publish('news', n)
  await Promise.all(clients.map(async (client, i) => {
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => client.call('echo', i * 100 + n)))
    t.same(answers.map(({ data }) => data), answers.map((_, n) => i * 100 + n))
    t.same(client.inbox.items.filter(({ event }) => event === '#publish').map(({ data }) => data.data), Array.from({ length: 50 }, (_, n) => n))
  }))
})

t.test('a client that reads nothing: its backlog is counted, and it is ended', async (t) => {
  const { port, sc } = await serve(t, { maxBufferedBytes: 300_000 }, undefined, { https } as object)
  const slow = await RawClient.connect(t, port, secure)
  const quick = await RawClient.connect(t, port, secure)
  await Promise.all([slow.call('#subscribe', 'news'), quick.call('#subscribe', 'news')])
  slow.ws.pause()
  const told = once(sc, 'slowConsumer')
  const gone = once(sc, 'closure')
  const text = 'x'.repeat(50_000)
  const state = { ended: false }
  gone.then(() => { state.ended = true })
  for (let n = 0; n < 400 && !state.ended; n++) {
    sc.exchange.publish('news', text)
    t.equal(await quick.publication('news'), text)
  }
  const [, { bufferedBytes, policy }] = await told
  t.equal(policy, 'disconnect')
  t.ok(bufferedBytes <= 300_000, `${bufferedBytes} bytes waited`)
  await gone
  t.equal(sc.clientsCount, 1)
})

t.test('stock clients', async (t) => {
  const { port, sc } = await serve(t, {}, (app) => app.scEvent('echo', {}, (data) => data), { https } as object)
  const options = { port, hostname: '127.0.0.1', secure: true, autoReconnect: false, rejectUnauthorized: false, wsOptions: { rejectUnauthorized: false } }
  const old = sc14.create({ ...options, multiplex: false })
  t.teardown(() => old.destroy())
  const current = sc20.create(options)
  t.teardown(() => current.disconnect())
  const channel = current.subscribe('news')
  await Promise.all([once(old.subscribe('news'), 'subscribe'), channel.listener('subscribe').once()])
  const both = Promise.all([new Promise((resolve) => old.watch('news', resolve)), channel.once()])
  await sc.exchange.publish('news', { n: 1 })
  t.same(await both, [{ n: 1 }, { n: 1 }])
  t.equal(await current.invoke('echo', 'é'), 'é')
  t.equal(await new Promise((resolve, reject) => old.emit('echo', 'ж', (err: Error | null, data: unknown) => err === null || err === undefined ? resolve(data) : reject(err))), 'ж')
})
