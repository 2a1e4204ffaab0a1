import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import fc from 'fast-check'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { type CodecEngine, scPlugin, type ScPluginOptions, type ScServerSocket } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { patience, until } from '../helpers/waiting.js'

// Values made to fail when they are looked at, for every argument of every public method, and for everything that an application's
// own code may return or throw: nothing of it is an uncaught exception or an unhandled rejection, and afterwards a fresh client is
// answered. VALUES_SEED, VALUES_PATH and VALUES_RUNS replay a failure: seed and path are printed with it.

const authKey = 'a secret of tests that has more than thirty-two bytes'
const runs = Number(process.env.VALUES_RUNS ?? 1_200)
const seed = Number(process.env.VALUES_SEED ?? Date.now() % 0x7fffffff)
const path = process.env.VALUES_PATH
/** Milliseconds that one property may take in the ordinary run. */
const time = runs > 1_200 ? undefined : 4_000

const thrower = (): never => { throw new Error('made to fail') }
const throwingProxy = (target: object): unknown => new Proxy(target, { get: thrower, has: thrower, ownKeys: thrower, getPrototypeOf: thrower, getOwnPropertyDescriptor: thrower })

function revoked (target: object): unknown {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

function circular (): object {
  const circle: Record<string, unknown> = { list: [] }
  circle.self = circle
  ;(circle.list as unknown[]).push(circle)
  return circle
}

function deep (): unknown {
  let value: unknown = 1
  for (let i = 0; i < 20_000; i++) value = i % 2 === 0 ? [value] : { value }
  return value
}

class Failing { toJSON (): never { return thrower() } }
class Named extends Error { override get name (): string { return thrower() } }

/** Made anew for each use: some can be used once. */
const values: Record<string, () => unknown> = {
  undefined: () => undefined,
  null: () => null,
  true: () => true,
  NaN: () => NaN,
  '-0': () => -0,
  Infinity: () => Infinity,
  5: () => 5,
  BigInt: () => 10n,
  symbol: () => Symbol('hostile'),
  function: () => () => {},
  'an empty text': () => '',
  'a long text': () => 'x'.repeat(100_000),
  'a lone surrogate': () => '\ud800',
  __proto__: () => '__proto__',
  'typed array': () => new Float64Array(3),
  'odd view': () => new DataView(new ArrayBuffer(8), 3),
  ArrayBuffer: () => new ArrayBuffer(4),
  'detached ArrayBuffer': () => { const buffer = new ArrayBuffer(4); structuredClone(buffer, { transfer: [buffer] }); return buffer },
  'detached view': () => { const view = new Uint8Array(4); structuredClone(view.buffer, { transfer: [view.buffer] }); return view },
  SharedArrayBuffer: () => new SharedArrayBuffer(4),
  'no real Buffer': () => Object.create(Buffer.prototype),
  'no real promise': () => Object.create(Promise.prototype),
  frozen: () => Object.freeze({ a: Object.freeze([1]) }),
  circular,
  deep,
  'null prototype': () => Object.assign(Object.create(null), { a: 1 }),
  'getter that throws': () => ({ get a () { return thrower() } }),
  'toJSON that throws': () => new Failing(),
  'toString that throws': () => ({ toString: thrower, [Symbol.toPrimitive]: thrower }),
  proxy: () => throwingProxy({}),
  'proxy of a function': () => throwingProxy(() => {}),
  'proxy of an error': () => throwingProxy(new Error('inside')),
  'revoked proxy': () => revoked({}),
  'revoked array': () => revoked([]),
  'revoked function': () => revoked(() => {}),
  'revoked error': () => revoked(new Error('inside')),
  'thenable that throws': () => ({ then: thrower }),
  'thenable with a getter': () => ({ get then () { return thrower() } }),
  'thenable that rejects': () => ({ then: (_resolve: unknown, reject: (err: unknown) => void) => reject(revoked({})) }),
  'thenable that never settles twice': () => ({ then: (resolve: (value: unknown) => void, reject: (err: unknown) => void) => { resolve(1); reject(new Error('late')); thrower() } }),
  'promise with its own then': () => Object.assign(Promise.resolve(1), { then: thrower }),
  'promise with its own constructor': () => Object.defineProperty(Promise.resolve(1), 'constructor', { get: thrower }),
  'invalid Date': () => new Date(NaN),
  Map: () => new Map([[{}, 1]]),
  Set: () => new Set([1n]),
  WeakMap: () => new WeakMap(),
  RegExp: () => /x/g,
  error: () => new Error('plain'),
  'frozen error': () => Object.freeze(new Error('frozen')),
  'error with a symbol as its name': () => Object.assign(new Error('named'), { name: Symbol('name') }),
  'error with a symbol as its message': () => Object.assign(new Error(''), { message: Symbol('message') }),
  'error with a name that throws': () => new Named('named'),
  'error with a getter that throws': () => Object.defineProperty(new Error('x'), 'detail', { enumerable: true, get: thrower }),
  'error with a stack that throws': () => Object.defineProperty(new Error('x'), 'stack', { get: thrower }),
  'error with itself as its cause': () => { const error: Error & { cause?: unknown } = new Error('x'); error.cause = error; return error },
  'error with a BigInt': () => Object.assign(new Error('x'), { n: 1n, code: Symbol('code'), statusCode: 10n }),
  'error without prototype': () => Object.setPrototypeOf(new Error('x'), null),
  AggregateError: () => new AggregateError([revoked({})], 'x')
}
const hostileNames = Object.keys(values)
/** What methods take, so that a hostile value is not always stopped by the one beside it. */
const usual: Record<string, () => unknown> = {
  'channel a': () => 'a',
  'event error': () => 'error',
  'event #kickOut': () => '#kickOut',
  1000: () => 1000,
  4100: () => 4100,
  'an object': () => ({}),
  claims: () => ({ sub: 'ann' }),
  filter: () => ({ user: 'nobody' }),
  'a callback that throws': () => thrower,
  'a callback that rejects': () => async () => thrower(),
  'a callback that returns what throws': () => () => throwingProxy({}),
  'strict delivery': () => ({ rejectOnFailedDelivery: true }),
  'soon over': () => ({ timeout: 1 })
}
const make = (name: string): unknown => (values[name] ?? usual[name])!()
const hostile = fc.constantFrom(...hostileNames)
const argument = fc.oneof({ weight: 3, arbitrary: hostile }, { weight: 2, arbitrary: fc.constantFrom(...Object.keys(usual)) })

const uncaught: unknown[] = []
process.on('uncaughtException', (err) => { uncaught.push(err) })
process.on('unhandledRejection', (err) => { uncaught.push(err) })

function nothingUncaught (): void {
  const found = uncaught.splice(0)
  if (found.length === 0) return
  let text = 'something that cannot be read'
  try { text = found.map((err) => err instanceof Error ? err.stack : String(err)).join('\n') } catch {}
  throw new Error(`uncaught: ${text}`)
}

/** Values that JSON cannot say stay what they are: what such codecs decode to. */
const richCodec: CodecEngine = {
  encode: (packet) => Buffer.from(JSON.stringify(packet, (_key, value: unknown) => typeof value === 'bigint' ? { big: String(value) } : value) ?? 'null'),
  decode: (message) => JSON.parse(message.toString(), (_key, value: any) => typeof value?.big === 'string' ? BigInt(value.big) : value)
}

interface Kind {
  name: string
  options: ScPluginOptions
  codec?: true
  deflate?: true
}

const kinds: Kind[] = [
  { name: 'JSON', options: {} },
  { name: 'compression', options: { perMessageDeflate: { threshold: 0 } }, deflate: true },
  { name: 'a codec', options: {}, codec: true }
]

const timeout = 200

const common: ScPluginOptions = {
  authKey, inboundRate: 0, authenticateRate: 0, maxConnections: 0, maxPendingHandshakes: 0, connectionRate: 0, hookTimeout: timeout, handlerTimeout: timeout, ackTimeout: timeout, closeTimeout: timeout
} as ScPluginOptions

async function start (kind: Kind, options: ScPluginOptions = {}, setUp?: (app: FastifyInstance) => unknown): Promise<{ app: FastifyInstance, port: number }> {
  // The log is on, and every line of it is written. Nobody listens to warnings, as somebody does with helpers/serve.ts.
  const app = Fastify({ logger: { level: 'trace', stream: { write () {} } } })
  await app.register(scPlugin, { ...common, ...(kind.codec === undefined ? {} : { codecEngine: richCodec }), ...kind.options, ...options })
  await setUp?.(app)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, port: (app.server.address() as AddressInfo).port }
}

/** A client that can speak the codec too. */
async function open (kind: Kind, port: number, version: 1 | 2): Promise<RawClient> {
  const client = await RawClient.open(null, port, { version, perMessageDeflate: kind.deflate === true })
  if (kind.codec === undefined) return client
  const { inbox } = client
  const { push } = inbox
  inbox.push = (item: any) => {
    let packet = item
    if (Buffer.isBuffer(item)) try { packet = richCodec.decode(item) } catch {}
    for (const one of Array.isArray(packet) ? packet : [packet]) push.call(inbox, one)
  }
  return client
}

async function stillAnswers (kind: Kind, port: number): Promise<void> {
  const client = await open(kind, port, 2)
  try {
    await client.handshake()
    const { data } = await client.call('echo', 'alive')
    if (data !== 'alive') throw new Error(`expected an echo, got ${JSON.stringify(data)}`)
  } finally {
    client.ws.terminate()
  }
}

async function check (t: any, name: string, property: fc.IAsyncProperty<any>, numRuns: number): Promise<void> {
  const begun = Date.now()
  const result = await fc.check(property, { seed, numRuns, path, interruptAfterTimeLimit: time, markInterruptAsFailure: false, endOnFailure: runs <= 1_200 })
  if (result.failed) t.fail(`VALUES_SEED=${seed} VALUES_PATH=${String(result.counterexamplePath)} ${name}`, { error: String((result.errorInstance as Error | null)?.message), case: JSON.stringify(result.counterexample) })
  else t.pass(`${result.numRuns} runs in ${Date.now() - begun} ms, seed ${seed}`)
}

/** The methods of an interface of `types/`: what is public, and documented there. */
function publicMethods (file: string, name: string): string[] {
  const text = readFileSync(new URL(`../../types/${file}.ts`, import.meta.url), 'utf8')
  const begin = text.search(new RegExp(`^export interface ${name}\\b`, 'm'))
  const body = text.slice(begin, text.indexOf('\n}', begin))
  return [...new Set([...body.matchAll(/^ {2}(\w+)(?:<[^(]*>)? \(/gm)].map(([, method]) => method!))]
}

const excluded: Record<string, string> = {
  'server.close': 'it ends the server; it has a property of its own below'
}

t.test('arguments of every public method', { timeout: runs > 1_200 ? 0 : 100_000 }, async (t) => {
  for (const kind of kinds) {
    const { app, port } = await start(kind)
    t.teardown(() => app.close())
    const { scServer } = app
    const sockets = new Map<string, ScServerSocket>()
    scServer.on('handshake', (socket) => {
      sockets.set(socket.id, socket)
      socket.on('echo', (data, res) => res(null, data))
    })
    const targets: Record<string, { of: (socket: ScServerSocket) => any, methods: string[] }> = {
      socket: { of: (socket) => socket, methods: publicMethods('server', 'ScServerSocket') },
      exchange: { of: () => scServer.exchange, methods: publicMethods('exchange', 'ScExchange') },
      channel: { of: () => scServer.exchange.channel('a'), methods: publicMethods('exchange', 'ScChannel') },
      server: { of: () => scServer, methods: publicMethods('server', 'ScServer') },
      cluster: { of: () => scServer.cluster, methods: publicMethods('server', 'ScCluster') },
      stream: { of: (socket) => socket.receiver('x'), methods: publicMethods('exchange', 'ScStream') }
    }
    const calls = Object.entries(targets).flatMap(([target, { methods }]) => methods.map((method) => `${target}.${method}`)).filter((call) => excluded[call] === undefined)
    t.ok(calls.length > 70, `${calls.length} methods`)
    for (const call of calls) {
      const [target, method] = call.split('.') as [string, string]
      const fake = { ...[...sockets.values()][0] } as ScServerSocket
      if (target !== 'socket' && target !== 'stream') t.type(targets[target]!.of(fake)[method], 'function', call)
    }

    let client: RawClient | null = null
    let socket: ScServerSocket | null = null
    const connected = async (version: 1 | 2): Promise<ScServerSocket> => {
      if (client !== null && socket !== null && socket.state === 'open' && client.version === version) return socket
      client?.ws.terminate()
      client = await open(kind, port, version)
      socket = sockets.get((await client.handshake()).id)!
      sockets.clear()
      return socket
    }
    const sequence = fc.record({ version: fc.constantFrom(1 as const, 2 as const), calls: fc.array(fc.record({ call: fc.constantFrom(...calls), args: fc.array(argument, { maxLength: 4 }) }), { minLength: 1, maxLength: 8 }) })
    await check(t, kind.name, fc.asyncProperty(sequence, async ({ version, calls }) => {
      const socket = await connected(version)
      for (const { call, args } of calls) {
        const [target, method] = call.split('.') as [string, string]
        try {
          // What it promises is left alone.
          targets[target]!.of(socket)[method](...args.map(make))
        } catch {}
      }
      await new Promise((resolve) => setImmediate(resolve))
      await new Promise((resolve) => setImmediate(resolve))
      nothingUncaught()
    }), Math.ceil(runs / 3))
    // What was left to wait comes to its timeout, which no event tells of: there is nothing to wait for but that.
    await sleep(timeout + 100)
    t.doesNotThrow(nothingUncaught)
    scServer.removeAllListeners()
    scServer.on('handshake', (socket) => { socket.on('echo', (data, res) => res(null, data)) })
    await stillAnswers(kind, port)
    ;(client as RawClient | null)?.ws.terminate()
  }
})

type Mode = 'returns' | 'throws' | 'rejects' | 'resolves' | 'answers' | 'fails' | 'assigns'
const modes: Mode[] = ['returns', 'throws', 'rejects', 'resolves', 'answers', 'fails', 'assigns']

/** What one piece of the application's code does in the run under way; all others do what they should. */
let plan: { slot: string, mode: Mode, value: string } | null = null
const slots = new Set<string>()
/** What is handed to the library as data: a promise that rejects is the application's own there. */
const dataSlots = new Set(['raw data', 'packet', 'claims', 'procedure'])
let acted = 0

/** Has a slot misbehave if it is its turn. `usually` is what it does otherwise. */
function act (slot: string, usually: () => unknown, request?: any, callback?: (...args: any[]) => void): unknown {
  slots.add(slot)
  if (plan === null || plan.slot !== slot) return usually()
  acted++
  const value = make(plan.value)
  switch (dataSlots.has(slot) && plan.mode !== 'throws' ? 'returns' : plan.mode) {
    case 'returns': return value
    case 'throws': throw value
    case 'rejects': return Promise.reject(value)
    case 'resolves': return (async () => { await null; return { value } })().then(({ value }) => value)
    case 'answers':
      callback?.(null, value)
      callback?.(null, value)
      return usually()
    case 'fails':
      callback?.(value, value)
      return undefined
    case 'assigns':
      if (typeof request === 'object' && request !== null) for (const field of ['data', 'channel', 'ackData', 'useCache', 'response']) try { request[field] = make(plan.value) } catch {}
      return usually()
  }
}

const token = jwt.sign({ sub: 'ann' }, authKey)
const ok = (): void => {}

function misbehaving (app: FastifyInstance): void {
  const { scServer } = app
  for (const line of ['handshakeSC', 'authenticate', 'subscribe', 'publishIn', 'publishOut', 'emit', 'preHandler', 'onResponse', 'onError'] as const) {
    app.scHook(line, (request) => act(`hook ${line}`, ok, request) as void)
  }
  for (const line of ['handshakeWS', 'handshakeSC', 'authenticate', 'subscribe', 'publishIn', 'publishOut', 'emit'] as const) {
    scServer.addMiddleware(line, ((request: unknown, next: (...args: any[]) => void) => {
      const result = act(`middleware ${line}`, () => next(), request, next)
      return result
    }) as any)
  }
  const policy = (name: string) => (request: unknown): any => act(`policy ${name}`, ok, request)
  app.scChannel('guarded', { subscribe: policy('subscribe'), publish: policy('publish'), deliver: policy('deliver'), maxMessageBytes: 1_000 } as any)
  app.scChannel('checked', { message: { type: 'object' }, validatorCompiler: () => ((data: unknown) => act('validator', () => true, data)) as any, schemaErrorFormatter: () => act('formatter', () => new Error('x')) as any } as any)
  app.scChannel('checked by Ajv', { message: { type: 'string' }, schemaErrorFormatter: () => act('formatter', () => new Error('x')) as any } as any)
  app.scEvent('declared', {}, ((data: unknown, context: any) => act('declared event', () => data, context)) as any)
  app.scEvent('typed', { response: { type: 'object', properties: { a: { type: 'string' } } } } as any, (() => act('typed event', () => ({ a: 'x' }))) as any)
  app.scEvent('through Fastify', { lifecycle: 'request' } as any, ((data: unknown) => act('event through Fastify', () => data)) as any)
  for (const event of ['handshake', 'connection', 'connectionAbort', 'disconnection', 'closure', 'subscription', 'unsubscription', 'authentication', 'deauthentication', 'authenticationStateChange', 'badSocketAuthToken', 'warning'] as const) {
    scServer.on(event, (..._args: unknown[]) => act(`server event ${event}`, ok))
  }
  scServer.on('handshake', (socket) => {
    for (const event of ['connect', 'disconnect', 'connectAbort', 'close', 'message', 'error', 'raw', 'subscribe', 'unsubscribe', 'authStateChange', 'authenticate', 'deauthenticate', 'badAuthToken', 'authTokenSigned'] as const) {
      socket.on(event, (..._args: any[]) => act(`socket event ${event}`, ok))
    }
    socket.on('echo', (data, res) => res(null, data))
    socket.on('listened', (data, res) => act('listener', () => res(null, data), undefined, res))
    socket.on('listened async', async (data, res) => act('async listener', () => data, undefined, res))
    socket.on('#publish', () => act('listener of #publish', ok))
    socket.on('ask me', () => {
      socket.emit('asked', 1, () => act('ack callback', ok))
      socket.send(act('raw data', () => 'text') as string)
      socket.sendObject(act('packet', () => ({ event: 'x' })), { batch: true })
      socket.setAuthToken({ sub: 'ann', claim: act('claims', () => 1) }, undefined, () => act('token callback', ok))
    })
    ;(async () => { for await (const request of socket.procedure('called')) try { request.end(act('procedure', () => 1)) } catch { } })()
  })
  const { exchange } = scServer
  exchange.subscribe('a').watch(() => act('watcher', ok) as void)
  exchange.subscribe('guarded')
  app.addHook('onReady', async () => { exchange.on('subscribe', () => act('exchange event', ok) as void) })
}

t.test('what an application returns and throws', { timeout: runs > 1_200 ? 0 : 100_000 }, async (t) => {
  for (const kind of kinds) {
    const codecOf = (engine: CodecEngine): CodecEngine => ({
      encode: (packet) => act('codec encode', () => engine.encode(packet)) as string,
      decode: (message) => act('codec decode', () => engine.decode(message))
    })
    const authEngine = {
      verifyToken: (signed: string | null, _key: unknown, _options: unknown, callback: any) => act('verifyToken', () => callback(null, jwt.verify(signed ?? '', authKey)), undefined, callback) as any,
      signToken: (claims: object, _key: unknown, _options: unknown, callback: any) => act('signToken', () => callback(null, jwt.sign({ ...claims }, authKey)), undefined, callback) as any
    }
    plan = null
    const { app, port } = await start(kind, {
      authEngine,
      inboundRate: 10_000,
      inboundBurst: 10_000,
      inboundRateKey: (() => act('rate key', () => 'all')) as any,
      inboundKeyRate: 100_000,
      inboundKeyBurst: 100_000,
      ...(kind.codec === undefined ? {} : { codecEngine: codecOf(richCodec) })
    }, misbehaving)
    t.teardown(() => app.close())
    const big = kind.codec === undefined ? 1 : { big: '5' }

    // It holds up nobody who waits no more.
    const pause = (ms: number): Promise<void> => sleep(ms, undefined, { ref: false })
    const script = async (version: 1 | 2, most: number): Promise<void> => {
      let client: RawClient
      try {
        client = await open(kind, port, version)
      } catch {
        // The upgrade was refused.
        return
      }
      try {
        client.send({ event: '#handshake', data: { authToken: token }, cid: 1 })
        if (client.version === 1) client.send('#2')
        const gone = client.closed
        await Promise.race([client.answer(1).catch(ok), gone, pause(most)])
        let cid = 1
        for (const [event, data] of [
          ['#subscribe', { channel: 'a', data: { n: big } }], ['#subscribe', { channel: 'guarded', data: big, waitForAuth: true }], ['#subscribe', { channel: 'checked' }],
          ['#publish', { channel: 'a', data: 1 }], ['#publish', { channel: 'guarded', data: big }], ['#publish', { channel: 'checked', data: {} }], ['#publish', { channel: 'checked by Ajv', data: {} }],
          ['declared', 1], ['typed', 1], ['through Fastify', 1], ['listened', 1], ['listened async', 1], ['called', 1], ['nobody', 1], ['#authenticate', token], ['#authenticate', 'bad'], ['#unsubscribe', 'a']
        ] as const) client.send({ event, data, cid: ++cid })
        client.send({ event: 'ask me' })
        client.send('raw')
        client.send({ event: 'echo', data: 1, cid: 'last' })
        const asked = client.event('asked').then(({ cid }) => client.send({ rid: cid, data: 1 }), ok)
        await Promise.race([client.answer('last').catch(ok), gone, pause(most)])
        await Promise.race([asked, gone, pause(most / 80)])
        client.ws.close(4000)
        await Promise.race([gone, pause(most)])
      } finally {
        client.ws.terminate()
      }
    }
    // A run in which all behaves tells which slots there are.
    for (const version of [1, 2] as const) await script(version, patience)
    t.doesNotThrow(nothingUncaught)
    t.ok(slots.size > 55, `${slots.size} places where the application's code runs`)
    await stillAnswers(kind, port)

    const misdeed = fc.record({ version: fc.constantFrom(1 as const, 2 as const), slot: fc.constantFrom(...slots), mode: fc.constantFrom(...modes), value: hostile })
    acted = 0
    await check(t, kind.name, fc.asyncProperty(misdeed, async ({ version, ...misdeed }) => {
      plan = misdeed
      try {
        await script(version, 80)
        await new Promise((resolve) => setImmediate(resolve))
      } finally {
        plan = null
      }
      nothingUncaught()
    }), Math.ceil(runs / 3))
    t.ok(acted > 50, `${acted} misdeeds`)
    // What was left to wait comes to its timeout, which no event tells of: there is nothing to wait for but that.
    await sleep(timeout + 100)
    t.doesNotThrow(nothingUncaught)
    await stillAnswers(kind, port)
    await until('nobody to be left', () => app.scServer.stats().clients === 0)
  }
})

t.test('arguments of what an application declares', { timeout: 60_000 }, async (t) => {
  const methods = ['scEvent', 'scChannel', 'scHook', 'scChannelOf', 'scDeclarations'] as const
  const names: Record<string, () => unknown> = { 'channel a': () => 'a', emit: () => 'emit', subscribe: () => 'subscribe' }
  const call = fc.record({ method: fc.constantFrom(...methods), args: fc.array(fc.oneof(argument, fc.constantFrom(...Object.keys(names))), { maxLength: 3 }) })
  await check(t, 'declarations', fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 6 }), async (calls) => {
    const app = Fastify()
    await app.register(scPlugin, common)
    for (const { method, args } of calls) {
      try {
        (app[method] as any)(...args.map((name) => (names[name] ?? (() => make(name)))()))
      } catch {}
    }
    // A declaration that cannot be used may refuse the boot, and says so there.
    await app.ready().then(ok, ok)
    await app.close().then(ok, ok)
    nothingUncaught()
  }), Math.ceil(runs / 12))
})

t.test('close, with any argument', async (t) => {
  for (const name of [...hostileNames, ...Object.keys(usual)]) {
    const app = Fastify()
    await app.register(scPlugin, common)
    await app.ready()
    try {
      app.scServer.close(make(name) as () => void)
    } catch {}
    await app.close()
  }
  await sleep(50)
  t.doesNotThrow(nothingUncaught)
})
