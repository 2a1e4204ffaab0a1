import { once } from 'node:events'
import { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { ScRefusal, type ScServerSocket } from '../../lib/index.js'
import { generations, ownStore, startApp } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { authKey } from '../helpers/serve.js'

// SocketCluster's middleware, line by line, by the published clients of both generations.

/** What a promise was rejected with; bare text, which client 14 hands on as it is, as an object. */
const failure = (promise: Promise<unknown>): Promise<any> => promise.then(() => { throw new Error('it should have failed') }, (err) => typeof err === 'string' ? { message: err } : err)

const good = (): string => jwt.sign({ username: 'ann' }, authKey, { expiresIn: 60 })

/** A client's status of its connection, however it is told. */
const statusOf = (event: any): any => Array.isArray(event) ? event[0] : event

/** The close code that a client was told, however. */
const codeOf = (event: any): number => Array.isArray(event) ? event[0] : event.code ?? event

class NotToday extends ScRefusal {
  constructor (message: string) {
    super(message, { name: 'NotTodayError', until: 'tomorrow' })
  }
}

const blocks = [
  ['an error', (_req: any, next: any) => next(new NotToday('come back')), { name: 'NotTodayError', message: 'come back', until: 'tomorrow' }, 'NotTodayError'],
  ['text', (_req: any, next: any) => next('just text'), { message: 'just text' }, 'just text'],
  ['an async function that throws', async () => { throw new NotToday('thrown') }, { name: 'NotTodayError', message: 'thrown', until: 'tomorrow' }, 'NotTodayError'],
  ['an async function that throws later', async (_req: any, _next: any) => {
    await sleep(5)
    throw new NotToday('thrown later')
  }, { name: 'NotTodayError', message: 'thrown later' }, 'NotTodayError'],
  ['next(true)', (_req: any, next: any) => next(true), { name: 'SilentMiddlewareBlockedError' }, null],
  ['a silent error', (_req: any, next: any) => next(Object.assign(new Error('secret'), { silent: true })), { name: 'SilentMiddlewareBlockedError' }, null]
] as const

t.test('adding and removing', async (t) => {
  const { sc } = await startApp(t)
  t.throws(() => sc.addMiddleware('publish' as 'emit', () => {}), { name: 'InvalidArgumentsError', message: 'Middleware type "publish" is not supported; expected one of handshakeWS, handshakeSC, authenticate, subscribe, publishIn, publishOut, emit' })
  t.throws(() => sc.addMiddleware('constructor' as 'emit', () => {}), { name: 'InvalidArgumentsError' })
  t.throws(() => sc.removeMiddleware('nothing' as 'emit', () => {}), { name: 'InvalidArgumentsError' })
  t.throws(() => sc.addMiddleware('emit', 'text' as any), { name: 'InvalidArgumentsError', message: 'Middleware for emit must be a function, got string' })
  t.same([sc.MIDDLEWARE_HANDSHAKE_WS, sc.MIDDLEWARE_HANDSHAKE_SC, sc.MIDDLEWARE_AUTHENTICATE, sc.MIDDLEWARE_SUBSCRIBE, sc.MIDDLEWARE_PUBLISH_IN, sc.MIDDLEWARE_PUBLISH, sc.MIDDLEWARE_PUBLISH_OUT, sc.MIDDLEWARE_EMIT],
    ['handshakeWS', 'handshakeSC', 'authenticate', 'subscribe', 'publishIn', 'publishIn', 'publishOut', 'emit'])
})

for (const [generation, connect] of generations) {
  t.test(`client ${generation}`, async (t) => {
    t.test('handshakeWS', async (t) => {
      const app = await startApp(t, { origins: 'https://ours.example' })
      const seen: unknown[] = []
      const look = (req: IncomingMessage, next: () => void): void => {
        seen.push([req instanceof IncomingMessage, req.url!.split('?')[0]])
        next()
      }
      app.sc.addMiddleware(app.sc.MIDDLEWARE_HANDSHAKE_WS, look)
      await connect(t, app)
      t.same(seen, [[true, '/socketcluster/']])

      await t.rejects(RawClient.open(t, app.port, { headers: { origin: 'https://theirs.example' } }), { message: 'Unexpected server response: 403' })
      t.equal(seen.length, 1, 'the origin is checked before')
      app.warnings.length = 0

      for (const [what, block, , warning] of blocks) {
        app.sc.addMiddleware('handshakeWS', block)
        const client = await connect(t, app, { wait: false })
        t.equal(codeOf(await client.nextEvent('connectAbort')), 1006, what)
        // The WebSocket that Node.js has since 22 asks a second time after a 401; client 14 takes it where it is there.
        const warnings = new Set(app.warnings.splice(0).map((err) => err.name ?? err))
        t.same([...warnings], warning === null ? [] : [warning], what)
        await t.rejects(RawClient.open(t, app.port), { message: 'Unexpected server response: 401' })
        t.same(app.warnings.splice(0).map((err) => err.name ?? err), warning === null ? [] : [warning], `${what}: one warning for an upgrade`)
        app.sc.removeMiddleware('handshakeWS', block)
      }
      app.sc.removeMiddleware('handshakeWS', look)
      const before = seen.length
      await connect(t, app)
      t.equal(seen.length, before, 'removed')
      t.equal(app.sc.clientsCount, 2)
    })

    t.test('handshakeSC: close codes', async (t) => {
      const app = await startApp(t)
      // Client 20 does not look at the ack's data: it takes the error's `statusCode`, or else 4003.
      for (const [what, block, code, by20] of [
        ['err.statusCode', (_req: any, next: any) => next(Object.assign(new NotToday('no'), { statusCode: 4501 })), 4501, 4501],
        ['next(err, code)', (_req: any, next: any) => next(new NotToday('no'), 4502), 4502, 4003],
        ['statusCode wins', (_req: any, next: any) => next(Object.assign(new NotToday('no'), { statusCode: 4503 }), 4504), 4503, 4503],
        ['neither', (_req: any, next: any) => next(new NotToday('no')), 4008, 4003],
        ['no close code at all', (_req: any, next: any) => next(Object.assign(new NotToday('no'), { statusCode: 401 })), 4008, 401],
        ['thrown', async () => { throw Object.assign(new NotToday('no'), { statusCode: 4505 }) }, 4505, 4505],
        ['silently', (_req: any, next: any) => next(true, 4506), 4506, 4003]
      ] as const) {
        app.sc.addMiddleware('handshakeSC', block)
        const aborted = once(app.sc, 'connectionAbort')
        const client = await connect(t, app, { wait: false })
        t.equal(codeOf(await client.nextEvent('connectAbort')), generation === 14 ? code : by20, what)
        const error = await client.nextEvent('error')
        if (what === 'silently') t.match(error, { name: 'SilentMiddlewareBlockedError', type: 'handshakeSC' })
        else t.match(error, { name: 'NotTodayError', message: 'no', until: 'tomorrow' })
        t.equal((await aborted)[1], code)

        const raw = await RawClient.open(t, app.port, { version: generation === 14 ? 1 : 2 })
        const ack = await raw.call('#handshake', {})
        t.same(ack.data, { code }, `${what}: the code is in the ack`)
        t.equal((await raw.closed).code, code)
        app.sc.removeMiddleware('handshakeSC', block)
      }
      t.equal(app.sc.clientsCount + app.sc.pendingClientsCount, 0)
    })

    t.test('handshakeSC: before the token is checked, and it may set one', async (t) => {
      const app = await startApp(t)
      const log: unknown[] = []
      app.sc.addMiddleware('handshakeSC', async (req) => {
        log.push(['handshakeSC', req.socket.state, req.socket.authState])
        if (req.socket.request.url!.includes('guest')) req.socket.setAuthToken({ username: 'guest' })
      })
      app.sc.addMiddleware('authenticate', (req, next) => {
        log.push(['authenticate', req.authToken.username, typeof req.signedAuthToken])
        next()
      })
      const { authEngine } = ownStore() as any
      await authEngine.saveToken('sc', good())
      await connect(t, app, { authEngine })
      t.same(log.splice(0), [['handshakeSC', 'connecting', 'unauthenticated'], ['authenticate', 'ann', 'string']])

      const guest = await connect(t, app, { query: { guest: '1' }, wait: false })
      t.match(statusOf(await guest.nextEvent('connect')), { isAuthenticated: true })
      t.same(log, [['handshakeSC', 'connecting', 'unauthenticated']], 'setAuthToken does not run authenticate')
      t.equal(app.sc.clients[guest.id]!.authToken!.username, 'guest')
    })

    t.test('authenticate', async (t) => {
      const app = await startApp(t, { authenticateRate: 0 })
      const seen: any[] = []
      let verdict: unknown[] = []
      const decide = (req: any, next: any): void => {
        seen.push(req)
        next(...verdict)
      }
      app.sc.addMiddleware('authenticate', decide)
      const client = await connect(t, app)
      const socket = app.sc.clients[client.id]!
      const token = good()

      t.match(await client.authenticate(token), { isAuthenticated: true })
      t.equal(seen[0].socket, socket)
      t.match(seen[0].authToken, { username: 'ann', exp: Number })
      t.equal(seen[0].signedAuthToken, token)

      // A quiet refusal: the token is not bad.
      verdict = [new NotToday('not you')]
      t.match(await client.authenticate(token), { isAuthenticated: false, authError: { name: 'NotTodayError', message: 'not you', until: 'tomorrow' } })
      t.same([socket.state, socket.authState, socket.authToken], ['open', 'unauthenticated', null])
      t.same(app.warnings.splice(0).map(({ name }) => name), ['NotTodayError'])

      verdict = [true]
      t.match(await client.authenticate(token), { isAuthenticated: false, authError: { name: 'SilentMiddlewareBlockedError', type: 'authenticate' } })
      t.same(app.warnings, [])

      // A bad token.
      const raw = await RawClient.connect(t, app.port, { version: generation === 14 ? 1 : 2 })
      for (const [what, own] of [['next(err, true)', [new NotToday('bad'), true]], ['err.isBadToken', [Object.assign(new NotToday('bad'), { isBadToken: true })]]] as const) {
        verdict = [...own]
        const reported = once(app.sc, 'badSocketAuthToken')
        t.match(await failure(client.authenticate(token)), { name: 'NotTodayError', message: 'bad' }, what)
        t.match((await reported)[1], { authError: { message: 'bad' }, signedAuthToken: token })
        const answer = raw.call('#authenticate', token)
        await raw.event('#removeAuthToken')
        t.match((await answer).error, { name: 'NotTodayError' })
        t.equal(socket.authState, 'unauthenticated')
      }

      // In the handshake: quiet keeps the client's token, bad takes it.
      for (const [own, kept] of [[[new NotToday('no')], true], [[new NotToday('no'), true], false]] as const) {
        verdict = [...own]
        const { authEngine } = ownStore() as any
        await authEngine.saveToken('sc', token)
        const other = await connect(t, app, { authEngine, wait: false })
        t.match(statusOf(await other.nextEvent('connect')), { isAuthenticated: false, authError: { name: 'NotTodayError' } })
        t.equal(await authEngine.loadToken('sc'), kept ? token : null)
      }

      app.sc.removeMiddleware('authenticate', decide)
      t.match(await client.authenticate(token), { isAuthenticated: true })
    })

    t.test('subscribe', async (t) => {
      const app = await startApp(t)
      const seen: any[] = []
      const look = (req: any, next: any): void => {
        seen.push(req)
        if (req.data?.plus !== undefined) req.data = { sum: req.data.plus + 1 }
        if (req.channel === 'undefined') req.data = undefined
        next()
      }
      app.sc.addMiddleware('subscribe', look)
      const client = await connect(t, app)
      const socket = app.sc.clients[client.id]!
      const subscriptions: any[] = []
      socket.on('subscribe', (channel, { data }) => { subscriptions.push([channel, data]) })
      await client.subscribe('plain')
      await client.subscribe('with data', { data: { plus: 1 } })
      await client.subscribe('undefined', { data: 'kept' })
      await client.authenticate(good())
      await client.subscribe('members', { waitForAuth: true })
      t.same(seen.map(({ channel, waitForAuth }) => [channel, waitForAuth === true]), [['plain', false], ['with data', false], ['undefined', false], ['members', true]])
      t.ok(seen.every((req) => req.socket === socket && req.authTokenExpiredError === undefined))
      t.same(subscriptions, [['plain', undefined], ['with data', { sum: 2 }], ['undefined', 'kept'], ['members', undefined]])

      for (const [what, block, error, warning] of blocks) {
        app.sc.addMiddleware('subscribe', block)
        t.match(await failure(client.subscribe(`blocked by ${what}`)), warning === null ? { ...error, type: 'subscribe' } : error, what)
        t.notOk(socket.isSubscribed(`blocked by ${what}`) || client.isSubscribed(`blocked by ${what}`))
        t.same(app.warnings.splice(0).map((err) => err.name ?? err), warning === null ? [] : [warning], what)
        app.sc.removeMiddleware('subscribe', block)
      }
      await client.subscribe('after')
      t.ok(socket.isSubscribed('after'), 'removed')
    })

    t.test('publishIn', async (t) => {
      const app = await startApp(t)
      const seen: any[] = []
      app.sc.addMiddleware('publishIn', (req, next) => {
        seen.push({ ...req })
        if (req.data === 'shout') req.data = 'SHOUT'
        if (req.data === 'elsewhere') req.channel = 'b'
        if (req.data === 'undefined') req.data = undefined
        if (req.data === 'ack') req.ackData = { at: 7 }
        next()
      })
      const client = await connect(t, app)
      const socket = app.sc.clients[client.id]!
      await client.subscribe('a')
      await client.subscribe('b')
      for (const [said, channel, heard, ack] of [['plain', 'a', 'plain'], ['shout', 'a', 'SHOUT'], ['elsewhere', 'b', 'elsewhere'], ['undefined', 'a', 'undefined'], ['ack', 'a', 'ack', { at: 7 }]] as const) {
        t.same(await client.publish('a', said), ack)
        t.equal(await client.next(channel), heard, `${said} is heard on ${channel}`)
      }
      t.same(seen.map(({ channel, data }) => [channel, data]), ['plain', 'shout', 'elsewhere', 'undefined', 'ack'].map((data) => ['a', data]))
      t.ok(seen.every((req) => req.socket === socket && req.authTokenExpiredError === undefined))

      for (const [what, block, error, warning] of blocks) {
        app.sc.addMiddleware('publishIn', block)
        t.match(await failure(client.publish('a', what)), warning === null ? { ...error, type: 'publishIn' } : error, what)
        t.same(app.warnings.splice(0).map((err) => err.name ?? err), warning === null ? [] : [warning], what)
        app.sc.removeMiddleware('publishIn', block)
      }
      // With the error goes the data of the ack.
      const refuse = (_req: any, next: any): void => next(new NotToday('full'))
      app.sc.addMiddleware('publishIn', refuse)
      const raw = await RawClient.connect(t, app.port, { version: generation === 14 ? 1 : 2 })
      t.match(await raw.call('#publish', { channel: 'a', data: 'ack' }), { error: { name: 'NotTodayError', message: 'full' }, data: { at: 7 } })
      app.sc.removeMiddleware('publishIn', refuse)

      const count = seen.length
      await app.sc.exchange.publish('a', 'from the server')
      t.equal(await client.next('a'), 'from the server', 'nothing that was blocked came')
      t.equal(seen.length, count, 'the exchange does not pass publishIn')
    })

    t.test('publishOut', async (t) => {
      const app = await startApp(t)
      const ann = await connect(t, app)
      const bob = await connect(t, app)
      await ann.subscribe('hall')
      await bob.subscribe('hall')
      const seen: any[] = []
      app.sc.addMiddleware('publishOut', (req, next) => {
        seen.push([req.socket.id, req.channel, req.data.text])
        if (req.socket.id === bob.id) {
          if (req.data.text === 'edit') req.data.text = 'edited for bob'
          if (req.data.text === 'replace') req.data = { text: 'replaced for bob' }
          if (req.data.text === 'undefined') (req as any).data = undefined
          if (req.data?.text === 'cache') {
            req.data.text = 'never seen'
            req.useCache = true
          }
        }
        next()
      })
      for (const [text, forBob] of [['plain', 'plain'], ['edit', 'edited for bob'], ['replace', 'replaced for bob'], ['undefined', 'undefined'], ['cache', 'cache']]) {
        await ann.publish('hall', { text })
        t.same(await ann.next('hall'), { text })
        t.same(await bob.next('hall'), { text: forBob }, `bob hears ${text}`)
      }
      t.same(new Set(seen.map(([id]) => id)), new Set([ann.id, bob.id]), 'once for each who receives')
      t.equal(seen.length, 10)

      for (const [what, block, , warning] of blocks) {
        const forBob = block.length < 2
          ? async (req: any) => { if (req.socket.id === bob.id) await (block as any)(req) }
          : (req: any, next: any): any => req.socket.id === bob.id ? (block as any)(req, next) : next()
        app.sc.addMiddleware('publishOut', forBob)
        t.equal(await ann.publish('hall', { text: what }), undefined, 'the publisher is not told')
        t.same(await ann.next('hall'), { text: what })
        // Messages keep their order, so this one comes after the decision.
        app.sc.removeMiddleware('publishOut', forBob)
        await ann.publish('hall', { text: 'after' })
        t.same(await bob.next('hall'), { text: 'after' }, `bob does not hear ${what}`)
        await ann.next('hall')
        t.same(app.warnings.splice(0).map((err) => err.name ?? err), warning === null ? [] : [warning], what)
      }
    })

    t.test('emit', async (t) => {
      const app = await startApp(t)
      const seen: any[] = []
      app.sc.addMiddleware('emit', (req, next) => {
        seen.push({ ...req })
        if (req.data === 'rewrite') req.data = 'rewritten'
        if (req.data === 'undefined') req.data = undefined
        next()
      })
      const client = await connect(t, app)
      const socket = app.sc.clients[client.id]!
      const got: unknown[] = []
      socket.on('say', (data, res) => {
        got.push(data)
        res(null, data)
      })
      t.equal(await client.call('say', 'plain'), 'plain')
      t.equal(await client.call('say', 'rewrite'), 'rewritten')
      t.equal(await client.call('say', 'undefined'), 'undefined')
      client.emit('say', 'without an ack')
      await client.call('say', 'last')
      t.same(got.splice(0), ['plain', 'rewritten', 'undefined', 'without an ack', 'last'])
      t.same(seen.map(({ event, data }) => [event, data]), ['plain', 'rewrite', 'undefined', 'without an ack', 'last'].map((data) => ['say', data]))
      t.ok(seen.every((req) => req.socket === socket && req.authTokenExpiredError === undefined))

      for (const [what, block, error, warning] of blocks) {
        app.sc.addMiddleware('emit', block)
        t.match(await failure(client.call('say', what)), warning === null ? { ...error, type: 'emit' } : error, what)
        t.same(app.warnings.splice(0).map((err) => err.name ?? err), warning === null ? [] : [warning], what)
        app.sc.removeMiddleware('emit', block)
      }
      t.same(got, [], 'the handler did not run')
      t.equal(await client.call('say', 'after'), 'after')
    })

    t.test('next twice is a warning, and changes nothing', async (t) => {
      const app = await startApp(t)
      for (const line of ['handshakeWS', 'handshakeSC', 'authenticate', 'subscribe', 'publishIn', 'publishOut', 'emit'] as const) {
        app.sc.addMiddleware(line, (_req: unknown, next: any) => {
          next()
          next(new NotToday('too late'))
        })
      }
      app.sc.on('connection', (socket: ScServerSocket) => { socket.on('ask', (_data, res) => res(null, 'answered')) })
      const client = await connect(t, app)
      await client.authenticate(good())
      await client.subscribe('a')
      await client.publish('a', 1)
      t.equal(await client.next('a'), 1)
      t.equal(await client.call('ask'), 'answered')
      t.same(app.warnings.map(({ name, message }) => [name, message]), ['handshakeWS', 'handshakeSC', 'authenticate', 'subscribe', 'publishIn', 'publishOut', 'emit']
        .map((line) => ['InvalidActionError', `Callback for ${line} middleware was already invoked`]))
    })

    t.test('in the order in which they were added; none after a block; no warnings on demand', async (t) => {
      const app = await startApp(t, { middlewareEmitWarnings: false })
      const log: string[] = []
      const step = (name: string, delay: number) => (req: any, next: any): void => {
        setTimeout(() => {
          log.push(`${name} ${req.data}`)
          next(req.data === name ? new NotToday(name) : undefined)
        }, delay)
      }
      app.sc.addMiddleware('emit', step('first', 10))
      app.sc.addMiddleware('emit', step('second', 0))
      app.sc.on('connection', (socket: ScServerSocket) => { socket.on('say', (data, res) => { log.push(`handler ${data}`); res() }) })
      const client = await connect(t, app)
      await client.call('say', 'x')
      t.match(await failure(client.call('say', 'first')), { message: 'first' })
      t.same(log, ['first x', 'second x', 'handler x', 'first first'])
      t.same(app.warnings, [])
    })
  })
}
