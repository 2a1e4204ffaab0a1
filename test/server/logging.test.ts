import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import t from 'tap'
import { ScRefusal, type ScServerSocket, scPlugin } from '../../lib/index.js'
import { NetClient, RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'

const levels = { debug: 20, info: 30, warn: 40, error: 50 }

t.test('what is logged, at which level, and what never is', async (t) => {
  const lines: any[] = []
  const logger = { level: 'trace', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } }
  const { sc, port } = await serve(t, {}, (app) => {
    app.scEvent('declared', {}, () => { throw new Error('declared trouble') })
  }, { logger })
  sc.addMiddleware('emit', (req, next) => next(req.event === 'blocked' ? new Error('not allowed') : undefined))
  sc.addMiddleware('emit', (req, next) => next(req.event === 'quiet' ? true as any : undefined))
  const connect = async (): Promise<[ScServerSocket, RawClient]> => {
    const [[socket], client] = await Promise.all([once(sc, 'connection') as Promise<[ScServerSocket]>, RawClient.connect(t, port)])
    return [socket, client]
  }
  const of = (socket: ScServerSocket): any[] => lines.filter((line) => line.socketId === socket.id)
  const found = (socket: ScServerSocket, text: string): any => of(socket).find((line) => JSON.stringify(line).includes(text))

  const [socket, client] = await connect()
  const [other] = await connect()
  t.equal(found(socket, 'socket connected').level, levels.debug)

  await t.test("a child of the request's logger for each socket", async (t) => {
    socket.log.info('of the application')
    other.log.info('of the application')
    const [one, two] = [found(socket, 'of the application'), found(other, 'of the application')]
    t.equal(one.reqId, socket.fastifyRequest.id)
    t.equal(two.reqId, other.fastifyRequest.id)
    t.not(one.reqId, two.reqId)
    for (const line of [...of(socket), ...of(other)]) t.ok(line.reqId, line.msg)
  })

  await t.test('a blocked action is info', async (t) => {
    t.equal((await client.call('blocked', 'x')).error.message, 'not allowed')
    const line = found(socket, 'action blocked')
    t.equal(line.level, levels.info)
    t.match(line, { line: 'emit', err: { message: 'not allowed' } })
    lines.length = 0
    await client.call('quiet')
    t.ok(of(socket).every((line) => line.level <= levels.info), 'a silent one is no warning')
  })

  await t.test('what the application throws is an error', async (t) => {
    socket.on('undeclared', () => { throw new Error('undeclared trouble') })
    socket.on('async', async () => { throw new Error('async trouble') })
    for (const [event, text] of [['declared', 'declared trouble'], ['undeclared', 'undeclared trouble'], ['async', 'async trouble']] as const) {
      const { error } = await client.call(event, 'x')
      t.equal(error.message, 'Internal error')
      t.match(error.id, /^[0-9a-f-]{36}$/)
      const line = lines.find((line) => line.errorId === error.id)
      t.equal(line.level, levels.error, text)
      t.equal(line.socketId, socket.id)
      t.equal(line.reqId, socket.fastifyRequest.id)
      t.match(line.err, { message: text, stack: /logging\.test/ })
    }
    lines.length = 0
    const thrown = (): never => { throw new Error('a listener of the server') }
    sc.once('connection', thrown)
    await connect()
    t.equal(lines.find((line) => line.err?.message === 'a listener of the server').level, levels.error)
  })

  await t.test('what a client does wrong is debug', async (t) => {
    lines.length = 0
    client.send('{"event":"#subscribe","data":{"channel":7},"cid":"wrong"}')
    await client.answer('wrong')
    await client.call('unknown event')
    await client.call('#authenticate', 'rubbish')
    t.ok(lines.some((line) => line.err?.code === 'SC_ERR_CHANNEL_TYPE'))
    t.ok(lines.every((line) => line.level <= levels.debug), JSON.stringify(lines.filter((line) => line.level > levels.debug)))
  })

  await t.test('a frame that breaks the rules of websockets is debug', async (t) => {
    lines.length = 0
    const closed = once(sc, 'closure')
    const client = await NetClient.connect(t, port)
    client.socket.write(Buffer.from([0xf1, 0x80, 0, 0, 0, 0])) // RSV bits without an extension
    await closed
    const line = lines.find((line) => line.err?.code === 'WS_ERR_UNEXPECTED_RSV_2_3')
    t.equal(line.level, levels.debug)
    t.equal(line.err.stack, '', 'without a stack, which would show ws')
    t.ok(lines.every((line) => line.level <= levels.info), JSON.stringify(lines.filter((line) => line.level > levels.info)))
  })

  await t.test('a mistake with the library is a warning', async (t) => {
    lines.length = 0
    socket.emit('raw', 'reserved')
    t.equal(lines.find((line) => line.err?.code === 'SC_ERR_EVENT_RESERVED').level, levels.warn)
  })

  await t.test('an ordinary disconnect is debug', async (t) => {
    for (const code of [1000, 1006, 4321]) {
      lines.length = 0
      const [gone, client] = await connect()
      const closed = once(sc, 'closure')
      if (code === 1006) client.ws.terminate()
      else client.ws.close(code)
      await closed
      await new Promise(setImmediate)
      t.equal(found(gone, 'socket closed').level, levels.debug)
      t.ok(of(gone).every((line) => line.level <= levels.debug), String(code))
    }
  })
})

t.test('a client that vanishes costs no logger and no error where nobody would read of it', async (t) => {
  let children = 0
  const logger: any = { level: 'info', child: () => { children++; return logger }, isLevelEnabled: (level: string) => level !== 'debug' }
  for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) logger[level] = () => {}
  const app = Fastify({ loggerInstance: logger })
  t.teardown(() => app.close())
  await app.register(scPlugin, { authKey })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const childrenOfADrop = async (): Promise<number> => {
    const client = await RawClient.connect(t, port)
    const before = children
    const closed = once(app.scServer, 'closure')
    client.ws.terminate()
    await closed
    await new Promise(setImmediate)
    return children - before
  }
  t.equal(await childrenOfADrop(), 0)

  await t.test('a listener of warnings gets the error', async (t) => {
    const [[warning]] = await Promise.all([once(app.scServer, 'warning'), childrenOfADrop()])
    t.match(warning, { name: 'SocketProtocolError', code: 1006, message: 'Socket hung up' })
  })

  await t.test('and so does a loop', async (t) => {
    const [{ warning }] = await Promise.all([app.scServer.listener('warning').once(), childrenOfADrop()])
    t.match(warning, { code: 1006 })
  })

  await t.test('a logger that cannot say what it writes is left alone', async (t) => {
    logger.isLevelEnabled = () => { throw new Error('trouble of the logger') }
    t.equal(await childrenOfADrop(), 0)
  })
})

t.test('no line holds a token, a claim or a payload, at any level', async (t) => {
  const text: string[] = []
  const logger = { level: 'trace', stream: { write: (line: string) => { text.push(line) } } }
  const { sc, port } = await serve(t, {}, undefined, { logger })
  sc.addMiddleware('publishIn', (req, next) => next(req.channel === 'blocked' ? new Error('no') : undefined))
  const [[socket], client] = await Promise.all([once(sc, 'connection') as Promise<[ScServerSocket]>, RawClient.connect(t, port)])
  socket.on('throws', () => { throw new Error('trouble') })
  socket.setAuthToken({ sub: 'ann', note: 'CLAIM-SECRET' })
  const packet = await client.event('#setAuthToken')
  client.send({ rid: packet.cid })
  const { token } = packet.data
  await client.call('throws', 'PAYLOAD-SECRET')
  await client.call('unknown', 'PAYLOAD-SECRET')
  await client.call('#subscribe', { channel: 'x', data: 'PAYLOAD-SECRET' })
  for (const channel of ['x', 'blocked']) await client.call('#publish', { channel, data: 'PAYLOAD-SECRET' })
  client.send('PAYLOAD-SECRET that is no packet')
  client.send(Buffer.from('PAYLOAD-SECRET'))
  await client.call('#authenticate', `${token}x`)
  const again = await RawClient.connect(t, port, { authToken: `${token}x` })
  const third = await RawClient.connect(t, port, { authToken: token })
  await third.call('#authenticate', 'TOKEN-SECRET')
  socket.kickOut()
  await client.barrier()
  const closed = once(sc, 'closure')
  again.ws.close(4321, 'bye')
  await closed
  t.ok(text.length > 10, `${text.length} lines`)
  for (const secret of ['CLAIM-SECRET', 'PAYLOAD-SECRET', 'TOKEN-SECRET', token, token.split('.')[2]]) {
    t.same(text.filter((line) => line.includes(secret)), [], secret.slice(0, 14))
  }
})

t.test('a failure is one line, with a stack only where it is a mistake of the application', async (t) => {
  const lines: any[] = []
  const logger = { level: 'debug', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } }
  const { sc, port } = await serve(t, {}, (app) => {
    app.scEvent('bug', {}, () => { throw new TypeError('a bug') })
    app.scEvent('late', {}, async () => { throw new TypeError('a bug') })
    app.scEvent('refused by its handler', {}, () => { throw new ScRefusal('no') })
    app.scHook('emit', ({ event }) => { if (event === 'hooked') throw new TypeError('a bug') })
  }, { logger })
  sc.addMiddleware('emit', (req, next) => next(req.event === 'refused' ? new Error('no') : undefined))
  const [[socket], client] = await Promise.all([once(sc, 'connection') as Promise<[ScServerSocket]>, RawClient.connect(t, port)])
  socket.on('listener', () => { throw new TypeError('a bug') })
  socket.on('given', (_data, res) => res(new TypeError('a bug')))
  for (const event of ['bug', 'late', 'hooked', 'listener', 'given']) {
    lines.length = 0
    const { error } = await client.call(event)
    t.equal(lines.length, 1, `${event}: ${JSON.stringify(lines)}`)
    t.match(lines[0], { level: levels.error, errorId: error.id, err: { message: 'a bug', stack: /logging\.test/ } }, event)
  }
  // With lines of its own in this second.
  const [[another], other] = await Promise.all([once(sc, 'connection') as Promise<[ScServerSocket]>, RawClient.connect(t, port)])
  another.on('refused by its listener', () => { throw new ScRefusal('no') })
  for (const event of ['refused', 'refused by its handler', 'refused by its listener']) {
    lines.length = 0
    t.equal((await other.call(event)).error.message, 'no')
    t.equal(lines.length, 1, `${event}: ${JSON.stringify(lines)}`)
    t.match(lines[0], { level: levels.info, err: { message: 'no', stack: '' } }, event)
  }
  lines.length = 0
  await other.call('unknown')
  other.send({ event: '#subscribe', data: { channel: 7 }, cid: 'wrong' })
  await other.answer('wrong')
  t.equal(lines.length, 1, JSON.stringify(lines))
  t.match(lines[0], { level: levels.debug, err: { name: 'InvalidActionError', stack: '' } })
})

t.test('a socket cannot fill the log', async (t) => {
  const lines: any[] = []
  let bytes = 0
  const logger = { level: 'debug', stream: { write: (line: string) => { lines.push(JSON.parse(line)); bytes += line.length } } }
  const { port } = await serve(t, { inboundBurst: 1_000 }, (app) => {
    app.scEvent('bug', {}, () => { throw new Error('x'.repeat(100_000)) })
  }, { logger })
  const client = await RawClient.connect(t, port)
  const other = await RawClient.connect(t, port)
  const started = performance.now()
  const errors = (await Promise.all(Array.from({ length: 150 }, () => client.call('bug')))).map(({ error }) => error)
  const seconds = Math.ceil((performance.now() - started) / 1_000) + 1
  const written = lines.filter((line) => line.errorId !== undefined)
  t.ok(written.length >= 10 && written.length <= seconds * 10, `${written.length} lines in ${seconds} seconds`)
  t.ok(bytes < written.length * 8_000, `${bytes} bytes`)
  const ids = new Set(written.map((line) => line.errorId))
  t.ok(errors.every(({ id }) => ids.has(id)), 'every id that a client was told is in the log')
  const { error } = await other.call('bug')
  t.ok(lines.some((line) => line.errorId === error.id), 'another socket has lines of its own')
  // The next second's first line says what is missing.
  let calls = errors.length
  const call = (): Promise<unknown> => { calls++; return client.call('bug') }
  lines.length = 0
  while (lines.length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    await call()
  }
  // It is said once.
  await call()
  const told = [...written, ...lines].reduce((sum, { suppressed = 0 }) => sum + suppressed, 0)
  t.equal(told + written.length + lines.length, calls, 'each is in the log or among those that are missing')
})

t.test('no value can break a line, and no serializer of the application either', async (t) => {
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  const circular = new Error('circular') as Error & { self?: unknown }
  circular.cause = circular
  const hostile: Record<string, unknown> = {
    frozen: Object.freeze(new Error('frozen')),
    symbol: Object.assign(new Error('symbol'), { name: Symbol('name') }),
    getter: Object.defineProperty(new Error('getter'), 'message', { get () { throw new Error('inner') } }),
    stack: Object.defineProperty(new Error('stack'), 'stack', { get () { throw new Error('inner') } }),
    proxy: new Proxy(new Error('proxy'), { get () { throw new Error('inner') }, getPrototypeOf () { throw new Error('inner') } }),
    revoked: revoked.proxy,
    circular,
    bigint: 10n,
    'symbol itself': Symbol('s'),
    'null prototype': Object.assign(Object.create(null), { message: 1n }),
    aggregate: new AggregateError([revoked.proxy, 1n, new Error('x')], 'aggregate'),
    cause: new Error('cause', { cause: revoked.proxy }),
    function: () => {},
    null: null,
    undefined
  }
  const serializers: Record<string, undefined | Record<string, (value: any) => any>> = {
    'of pino': undefined,
    'of the application': { err: (err) => ({ text: `${err}`, lines: err.stack.split('\n').length, is: err instanceof Error }) },
    'that throws': { err () { throw new Error('serializer') } }
  }
  for (const [whose, own] of Object.entries(serializers)) {
    const lines: any[] = []
    const logger = { level: 'trace', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } }, ...(own === undefined ? {} : { serializers: own }) }
    const { sc, port } = await serve(t, {}, (app) => {
      app.scEvent('throw', {}, (name) => { throw hostile[name as string] })
      app.scHook('subscribe', ({ channel }) => { throw hostile[channel] })
    }, { logger })
    for (const [name, value] of Object.entries(hostile)) {
      const [[socket], client] = await Promise.all([once(sc, 'connection') as Promise<[ScServerSocket]>, RawClient.connect(t, port)])
      lines.length = 0
      t.ok((await client.call('throw', name)).error, `${name}, serializers ${whose}: an answer`)
      t.ok((await client.call('#subscribe', { channel: name })).error, `${name}, serializers ${whose}: a refusal`)
      socket.on('warn', () => { socket.emit('error', value) })
      socket.on('authStateChange', () => { throw value })
      client.send({ event: 'warn' })
      socket.setAuthToken({ sub: 'x' })
      await client.barrier()
      t.ok(lines.filter(({ level }) => level >= levels.info).length >= 4, `${name}, serializers ${whose}: ${lines.length} lines`)
      client.ws.terminate()
      await once(sc, 'closure')
    }
  }
})

t.test('one file writes log lines', async (t) => {
  const lib = fileURLToPath(new URL('../../lib/', import.meta.url))
  // The client's part runs in browsers.
  const files = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts') && file !== 'log.ts' && !file.startsWith('client'))
  t.ok(files.length > 80)
  for (const file of files) {
    const code = readFileSync(`${lib}${file}`, 'utf8').replace(/\/\*[^]*?\*\/|\/\/.*$/gm, '')
    t.notMatch(code, /(?:\blog(?:ger)?|#log)\??\.(?:trace|debug|info|warn|error|fatal)\b|\bconsole\./, file)
  }
})
