// Frames are written below ws, to the stream that TLS gives: the same must come out as without.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { generate } from 'selfsigned'
import t from 'tap'
import type { ScServerSocket } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
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

const certFile = join(t.testdir({ 'cert.pem': cert }), 'cert.pem')

// Client 14 takes the WebSocket of Node.js where there is one, and that one trusts only what the process trusts. So each runs in a process of its own.
for (const flag of ['--experimental-websocket', '--no-experimental-websocket']) {
  for (const name of ['socketcluster-client-14', 'socketcluster-client']) {
    t.test(`stock ${name}, ${flag}`, async (t) => {
      const { port, sc } = await serve(t, {}, (app) => app.scEvent('echo', {}, (data) => data), { https } as object)
      const subscribed = once(sc, 'subscription')
      const client = startClient([flag, '--input-type=module', '-e', program(name), String(port)])
      await Promise.race([subscribed, client])
      await sc.exchange.publish('news', { n: 1 })
      t.same(JSON.parse(await client), { heard: { n: 1 }, answer: 'é' })
    })
  }
}

function startClient (args: string[]): Promise<string> {
  const { NODE_OPTIONS, ...env } = process.env
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { cwd: root, env: { ...env, NODE_EXTRA_CA_CERTS: certFile } }, (err, stdout) => err === null ? resolve(stdout) : reject(err))
  })
}

/** Subscribes, calls, and prints what came. */
function program (name: string): string {
  const old = name === 'socketcluster-client-14'
  return `
    import sc from '${name}'
    const client = sc.create({ hostname: 'localhost', port: Number(process.argv[1]), secure: true, autoReconnect: false })
    const channel = client.subscribe('news')
    const answer = ${old ? "new Promise((resolve, reject) => client.emit('echo', 'é', (err, data) => err ? reject(err) : resolve(data)))" : "client.invoke('echo', 'é')"}
    const heard = ${old ? 'new Promise((resolve) => channel.watch(resolve))' : 'channel.once()'}
    console.log(JSON.stringify({ heard: await heard, answer: await answer }))
    client.disconnect()`
}
