import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { inspect } from 'node:util'
import jwt from 'jsonwebtoken'
import pino from 'pino'
import t from 'tap'
import { diagnostics } from '../../lib/diagnostics.js'
import { errorTable, memoryBroker, ScError, type Broker, type ScPluginOptions, type ScServerSocket } from '../../lib/index.js'
import type { ScErrorCode } from '../../lib/errors.js'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { hookNames } from '../../lib/lifecycle/scope.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

/** Things that nobody may find, by where they were hidden. */
const secrets = {
  key: 'SECRET-KEY-of-more-than-thirty-two-bytes',
  claim: 'SECRET-CLAIM',
  cookie: 'SECRET-COOKIE',
  header: 'SECRET-HEADER',
  store: 'SECRET-STORE',
  codec: 'SECRET-CODEC',
  signer: 'SECRET-SIGNER',
  broker: 'SECRET-BROKER',
  redis: 'SECRET-REDIS',
  nats: 'SECRET-NATS',
  payload: 'SECRET-PAYLOAD'
}
const token = jwt.sign({ sub: 'ann', secret: secrets.claim }, secrets.key)

const found = (text: string, ...except: string[]): string[] => [...Object.values(secrets), token.split('.')[1]!, token.split('.')[2]!].filter((secret) => !except.includes(secret) && text.includes(secret))

/** Every way in which an object is printed, on purpose or by accident. */
function printed (value: unknown): string {
  const lines: string[] = []
  const logger = pino({ level: 'trace' }, { write: (line: string) => { lines.push(line) } })
  const ways: Array<() => unknown> = [
    () => inspect(value, { showHidden: true, depth: Infinity, maxArrayLength: 10_000, maxStringLength: 1e6 }),
    () => inspect(value, { depth: 10, customInspect: false }),
    () => inspect({ value, list: [value], map: new Map([[1, value]]) }, { depth: Infinity }),
    () => JSON.stringify(value),
    () => JSON.stringify({ value }),
    () => inspect({ ...value as object }, { showHidden: true, depth: Infinity }),
    () => JSON.stringify({ ...value as object }),
    () => { const copy: Record<string, unknown> = {}; for (const key in value as object) copy[key] = (value as Record<string, unknown>)[key]; return JSON.stringify(copy) },
    () => String(value),
    () => { logger.info(value as object); logger.error({ value, err: value }); return lines.join('') }
  ]
  return ways.map((way) => {
    try {
      return String(way())
    } catch (err) {
      return String(err)
    }
  }).join('\n')
}

t.test('nothing that an application holds prints a key, a token, a claim, a header or a password', async (t) => {
  const held = new Map<string, unknown>()
  const messages: Array<[string, (message: unknown) => void]> = Object.entries(diagnostics).map(([name, { name: channel }]) => [channel as string, (message) => { held.set(`diagnostics ${name}`, message) }])
  for (const [channel, listener] of messages) subscribe(channel, listener)
  t.teardown(() => { for (const [channel, listener] of messages) unsubscribe(channel, listener) })
  held.set('a Redis broker', redisBroker({ url: `redis://user:${secrets.redis}@127.0.0.1:1`, redis: { password: secrets.redis } }))
  held.set('a NATS broker', natsBroker({ servers: `nats://user:${secrets.nats}@127.0.0.1:1`, nats: { pass: secrets.nats } }))
  const engine = { key: secrets.codec, encode: (value: unknown) => JSON.stringify(value), decode: (text: string | Buffer) => { try { return JSON.parse(String(text)) } catch { return text } } }
  const { sc, port, nextSocket } = await serve(t, { authKey: secrets.key, codecEngine: engine as ScPluginOptions['codecEngine'], gapEvent: 'gap' }, (app) => {
    for (const name of hookNames) app.scHook(name, ((request: unknown) => { held.set(`the request of the hook ${name}`, request) }) as never)
    app.scEvent('own', {}, (_data, context) => { held.set('the context of an event', context) })
    app.scEvent('request', { lifecycle: 'request' }, (_data, context) => { held.set('the context of an event as a request', context) })
    app.scEvent('fails', {}, () => { throw new Error('failed') })
    app.scChannel('room/:id', { subscribe (context) { held.set('the context of a policy', context) }, deliver (context) { held.set('the context of a delivery', context) } })
  })
  sc.addMiddleware('emit', (request, next) => { held.set('the request of a middleware', request); next() })
  // Who listens to these asks for the token or its claims.
  const told = new Set(['authentication', 'deauthentication', 'authenticationStateChange'])
  for (const event of ['handshake', 'connection', 'closure', 'disconnection', 'subscription', 'unsubscription', 'badSocketAuthToken', 'warning', 'slowConsumer', 'gap', 'connectionAbort', 'ready'] as const) {
    if (!told.has(event)) sc.on(event, (...args: unknown[]) => { held.set(`the event ${event}`, args) })
  }
  const badTokens = sc.listener('badSocketAuthToken')[Symbol.asyncIterator]().next()
  const headers = { cookie: `session=${secrets.cookie}`, authorization: `Bearer ${secrets.header}` }
  const [socket, client] = await Promise.all([nextSocket() as Promise<ScServerSocket>, RawClient.connect(t, port, { headers, authToken: token })])
  t.equal(socket.authToken?.sub, 'ann')
  socket.on('mine', (_data, res) => { held.set('the answer of a listener', res); res(null) })
  const calls = socket.procedure('call')[Symbol.asyncIterator]().next().then(({ value }) => { held.set('a procedure request', value); value.end() })
  await client.call('mine')
  await client.call('call')
  await calls
  await client.call('own')
  await client.call('request')
  await client.call('fails')
  await client.call('nobody listens')
  await client.call('#subscribe', { channel: 7 })
  await client.call('#subscribe', { channel: 'room/1', data: 1 })
  await client.call('#publish', { channel: 'room/1', data: 1 })
  const watched = sc.exchange.subscribe('room/2')
  await client.call('#authenticate', `${token}x`)
  held.set('a bad token, as a stream tells it', (await badTokens).value)
  await client.call('#authenticate', token)

  for (const [name, value] of Object.entries({ 'the server': sc, 'its options': sc.options, 'its clients': sc.clients, 'its pending clients': sc.pendingClients, 'its exchange': sc.exchange, 'a channel': watched, 'its engine': sc.auth, 'its cluster': sc.cluster, 'its statistics': sc.stats(), 'a socket': socket, 'its stream': socket.listener('message') })) held.set(name, value)
  // Whatever else the server and a socket show: fields and accessors that are added later are found here.
  const known = new Set(['signatureKey', 'verificationKey', 'codec', 'authToken', 'signedAuthToken', 'request', 'fastifyRequest', 'log', 'constructor'])
  for (const [whose, object] of [['server', sc], ['socket', socket]] as const) {
    for (let at: object | null = object; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
      for (const key of Object.getOwnPropertyNames(at)) {
        if (known.has(key) || typeof (object as any)[key] === 'function') continue
        held.set(`${whose}.${key}`, (object as any)[key])
      }
    }
  }
  for (const code of Object.keys(errorTable) as ScErrorCode[]) held.set(`the error ${code}`, new ScError(code, ['a', 'b', 'c'], { cause: Object.assign(new Error('x'), { socket, server: sc }) }))
  held.set('an error that holds a socket', Object.assign(new Error('x'), { socket, server: sc, options: sc.options }))
  t.ok(held.size > 120, `${held.size} objects`)
  for (const name of [...hookNames.filter((name) => name !== 'publishOut' || held.has(name)).map((name) => `the request of the hook ${name}`), 'the context of an event', 'the context of an event as a request', 'a procedure request', 'diagnostics connect', 'diagnostics invalid']) t.ok(held.has(name), name)
  for (const [name, value] of held) t.same(found(printed(value)), [], name)
  t.match(inspect(socket), /ScServerSocket \{[^]*ann/)
  t.match(JSON.parse(JSON.stringify(socket)), { id: socket.id, state: 'open', user: 'ann', remoteAddress: '127.0.0.1' })
  // What is meant to be read by name still is.
  t.equal(sc.signatureKey, secrets.key)
  t.equal(sc.options.authKey, secrets.key)
  t.equal(sc.options.codecEngine, engine)
  t.equal(socket.authToken?.secret, secrets.claim)
  t.equal(socket.request.headers.cookie, headers.cookie)
})

for (const version of [1, 2] as const) {
  t.test(`protocol ${version}: what stores, engines, codecs and keys have to say is in no packet, no close reason and no HTTP body, and what clients sent in no log line`, async (t) => {
    const lines: string[] = []
    const logger = { level: 'trace', stream: { write: (line: string) => { lines.push(line) } } }
    let failing = ''
    const fail = (what: string, secret: string): void => { if (failing === what) throw new Error(`${secret} failed`) }
    const inner = memoryBroker()
    const broker = Object.assign(Object.create(inner) as Broker, {
      name: 'memory',
      shared: false,
      start: inner.start.bind(inner),
      stop: inner.stop.bind(inner),
      control: inner.control.bind(inner),
      unsubscribe: inner.unsubscribe.bind(inner),
      subscribe (channels: string[]) { fail('broker', secrets.broker); return inner.subscribe(channels) },
      publish (channel: string, data: string) { if (failing === 'broker') return Promise.reject(new Error(`${secrets.broker} failed`)); return inner.publish(channel, data) }
    })
    const { sc, port, nextSocket } = await serve(t, {
      protocolVersion: version,
      authKey: secrets.key,
      broker,
      authenticateRate: 0,
      authEngine: {
        async verifyToken () { fail('store', secrets.store); return { sub: 'ann' } },
        async signToken () { throw new Error(`${secrets.signer} failed`) }
      },
      codecEngine: {
        encode (value) { if (JSON.stringify(value).includes('unspeakable')) throw new Error(`${secrets.codec} failed`); return JSON.stringify(value) },
        decode (text) { try { return JSON.parse(String(text)) } catch { throw new Error(`${secrets.codec} failed`) } }
      }
    }, (app) => {
      app.scEvent('unspeakable', {}, () => ({ unspeakable: true }))
      app.scEvent('publish', {}, () => app.scServer.exchange.publish('room', 1))
    }, { logger })
    const wire: string[] = []
    const open = async (): Promise<[ScServerSocket, RawClient]> => {
      const waiting = nextSocket()
      const client = await RawClient.open(t, port, { version })
      client.ws.on('message', (data: Buffer) => { wire.push(data.toString()) })
      client.closed.then(({ reason }) => wire.push(`closed: ${reason}`))
      await client.handshake()
      return [await waiting, client]
    }
    const [socket, client] = await open()
    failing = 'store'
    t.match((await client.call('#authenticate', secrets.payload)).error, { name: 'AuthTokenError', message: 'The auth token could not be checked', id: /^[0-9a-f-]{36}$/ })
    failing = ''
    t.match((await client.call('unspeakable', secrets.payload)).error, { name: 'InvalidArgumentsError', message: 'The data cannot be encoded' })
    client.send(`rubbish ${secrets.payload}`)
    failing = 'broker'
    t.match((await client.call('#subscribe', { channel: 'room', data: secrets.payload })).error, { name: 'BrokerError', message: 'Failed to subscribe socket to the room channel' })
    t.match((await client.call('#publish', { channel: 'room', data: secrets.payload })).error, { message: /^(The broker failed|Internal error)$/ })
    t.ok((await client.call('publish', secrets.payload)).error)
    failing = ''
    socket.setAuthToken({ sub: 'x', secret: secrets.payload }).catch(() => {})
    const { code, reason } = await client.closed
    t.equal(code, 4002)
    t.equal(reason, 'Failed to sign the auth token')
    sc.addMiddleware('handshakeWS', () => { throw new Error(`${secrets.store} failed`) })
    const body = await fetch(`http://127.0.0.1:${port}/socketcluster/`, { headers: { cookie: secrets.cookie } }).then((response) => response.text())
    const refused = await new Promise<string>((resolve) => {
      const other = new (client.ws.constructor as typeof import('ws').WebSocket)(`ws://127.0.0.1:${port}/socketcluster/`)
      other.on('unexpected-response', (_request: unknown, response: NodeJS.ReadableStream) => {
        let text = ''
        response.on('data', (chunk: Buffer) => { text += chunk.toString() }).on('end', () => resolve(text))
      })
      other.on('error', () => {})
    })
    t.match(refused, /Internal error [0-9a-f-]{36}/)
    t.same(found([...wire, body, refused].join('\n')), [], 'on the wire')
    t.ok(wire.length > 7, `${wire.length} packets`)
    const log = lines.join('')
    // What its own parts had to say is what the operator needs.
    t.same(found(log, secrets.store, secrets.codec, secrets.broker, secrets.signer), [], 'in the log')
    for (const said of [secrets.store, secrets.codec, secrets.broker, secrets.signer]) t.ok(log.includes(said), `the log says ${said}`)
    for (const text of wire) for (const [, id] of text.matchAll(/"id":"([0-9a-f-]{36})"/g)) t.ok(log.includes(id!), `${id} is in the log`)
  })
}
