import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { type AuthEngine, ScRefusal, type ScServerSocket } from '../../lib/index.js'
import { generations, ownStore, startApp } from '../helpers/app.js'
import { Inbox, RawClient } from '../helpers/raw.js'
import { authKey } from '../helpers/serve.js'

// Who a socket is: claims count when they have passed the hooks, what follows waits for that, and the newest decision counts.

const sign = (claims: object): string => jwt.sign(claims, authKey, { expiresIn: 60 })

/** Hooks and engines that wait until they are told how it ends. */
class Gates {
  readonly #waiting = new Inbox<(err?: unknown) => void>()
  wait (): Promise<void> {
    return new Promise((resolve, reject) => this.#waiting.push((err) => err === undefined ? resolve() : reject(err)))
  }

  /** Settles when somebody waits; call the result to let it go on, or fail. */
  next (): Promise<(err?: unknown) => void> {
    return this.#waiting.take(() => true, 'somebody who waits')
  }
}

/** An engine that takes its time over tokens that start with `slow`. The rest of a token is its user. */
function slowEngine (gates: Gates): AuthEngine {
  return {
    async verifyToken (signed) {
      const [speed, sub] = String(signed).split(' ') as [string, string]
      if (speed === 'slow') await gates.wait()
      if (sub === undefined || sub === 'bad') throw Object.assign(new Error('forged'), { name: 'JsonWebTokenError' })
      return { sub }
    },
    async signToken ({ sub }) { return `fast ${sub!}` }
  }
}

for (const [generation, connect] of generations) {
  t.test(`client ${generation}: while hooks decide, the socket is who it was, and what follows waits`, async (t) => {
    const gates = new Gates()
    const app = await startApp(t, { authenticateRate: 0 })
    app.sc.addMiddleware('authenticate', async (req) => {
      heard.push(`hook ${String(req.authToken.sub)} ${typeof req.signedAuthToken}, socket ${req.socket.authToken?.sub ?? 'nobody'}`)
      await gates.wait()
    })
    const who = (socket: ScServerSocket): string => `${socket.authState} ${socket.authToken?.sub ?? 'nobody'}`
    const heard: string[] = []
    app.sc.addMiddleware('emit', async (req) => { heard.push(`emit ${who(req.socket)}`) })
    app.sc.addMiddleware('publishIn', async (req) => { heard.push(`publishIn ${who(req.socket)}`) })
    app.sc.addMiddleware('publishOut', async (req) => { heard.push(`publishOut ${who(req.socket)}`) })
    app.sc.addMiddleware('subscribe', async (req) => { heard.push(`subscribe ${req.channel} ${who(req.socket)}`) })
    app.sc.on('connection', (socket) => { socket.on('who', (_data, res) => res(null, who(socket))) })
    const client = await connect(t, app)
    const socket = app.sc.clients[client.id]!
    await client.subscribe('hall')
    heard.length = 0

    for (const refusal of [new ScRefusal('not you', { name: 'NotYouError' }), undefined]) {
      const attempt = client.authenticate(sign({ sub: 'ann' }))
      const decide = await gates.next()
      const received = new Inbox<true>()
      const onMessage = (): void => received.push(true)
      socket.on('message', onMessage)
      const answers = [client.call('who'), client.publish('hall', 'mine'), client.subscribe(`room ${refusal?.name ?? 'open'}`)]
      for (let i = 0; i < answers.length; i++) await received.take(() => true, 'a message')
      socket.off('message', onMessage)
      t.same(heard.splice(0), ['hook ann string, socket nobody'], 'nothing ran')
      t.equal(who(socket), 'unauthenticated nobody')
      await app.sc.exchange.publish('hall', 'news')
      t.equal(await client.next('hall'), 'news', 'deliveries go on, to who it is still')
      t.same(heard.splice(0), ['publishOut unauthenticated nobody'])

      decide(refusal)
      const after = refusal === undefined ? 'authenticated ann' : 'unauthenticated nobody'
      t.match(await attempt, refusal === undefined ? { isAuthenticated: true } : { isAuthenticated: false, authError: { name: 'NotYouError' } })
      t.equal((await Promise.all(answers))[0], after)
      t.equal(await client.next('hall'), 'mine')
      t.same(heard.splice(0), [`emit ${after}`, `publishIn ${after}`, `subscribe room ${refusal?.name ?? 'open'} ${after}`, `publishOut ${after}`])
    }
  })

  t.test(`client ${generation}: #authenticate and what needs it in one array`, async (t) => {
    const app = await startApp(t)
    app.sc.addMiddleware('authenticate', async () => { await new Promise(setImmediate) })
    app.sc.addMiddleware('subscribe', async (req) => { if (req.socket.authToken === null) throw new Error('log in first') })
    app.sc.on('connection', (socket) => { socket.on('who', (_data, res) => res(null, socket.authToken?.sub)) })
    const client = await RawClient.connect(t, app.port, { version: generation === 14 ? 1 : 2 })
    client.send([{ event: '#authenticate', data: sign({ sub: 'ann' }), cid: 'a' }, { event: '#subscribe', data: { channel: 'private' }, cid: 'b' }, { event: 'who', cid: 'c' }])
    t.match((await client.answer('a')).data, { isAuthenticated: true })
    t.equal((await client.answer('b')).error, undefined)
    t.equal((await client.answer('c')).data, 'ann')
    client.send([{ event: '#subscribe', data: { channel: 'late' }, cid: 'd' }, { event: 'who', cid: 'e' }, { event: '#removeAuthToken' }, { event: 'who', cid: 'f' }])
    t.ok((await client.answer('d')).error, 'the hook had not decided when the token went')
    t.equal((await client.answer('e')).data, 'ann')
    t.equal((await client.answer('f')).data, undefined)
  })

  t.test(`client ${generation}: a hook that decides may ask the client`, async (t) => {
    const app = await startApp(t)
    app.sc.addMiddleware('authenticate', async (req) => {
      if (await req.socket.invoke('code?') !== 1234) throw new Error('wrong code')
    })
    const client = await connect(t, app)
    client.on('code?', (_data, res) => res(null, 1234))
    t.match(await client.authenticate(sign({ sub: 'ann' })), { isAuthenticated: true })
  })

  t.test(`client ${generation}: what is decided while a token is checked counts`, async (t) => {
    const gates = new Gates()
    const app = await startApp(t, { authEngine: slowEngine(gates), authenticateRate: 0 })
    app.sc.addMiddleware('authenticate', async (req) => { if (String(req.authToken.sub).startsWith('checked')) await gates.wait() })
    const client = await connect(t, app)
    const socket = app.sc.clients[client.id]!
    const log: string[] = []
    for (const event of ['authenticate', 'deauthenticate', 'badAuthToken'] as const) socket.on(event, (value: any) => { log.push(`${event} ${value?.sub ?? value?.authError?.name ?? 'nobody'}`) })
    for (const [token, failure] of [['slow late', undefined], ['slow bad', undefined], ['fast checked', undefined], ['fast checked', new Error('not you')], ['fast checked', Object.assign(new Error('no'), { isBadToken: true })]] as const) {
      for (const [what, decide, result] of [
        ['setAuthToken', () => socket.setAuthToken({ sub: 'set' }), 'set'],
        ['deauthenticate', () => socket.deauthenticate(), undefined]
      ] as const) {
        socket.setAuthToken({ sub: 'first' })
        await new Promise(setImmediate)
        log.length = 0
        const attempt = client.authenticate(token)
        const go = await gates.next()
        decide()
        go(failure)
        t.match(await attempt, { isAuthenticated: result !== undefined }, `${token}: ${what}`)
        t.equal(socket.authToken?.sub, result)
        t.same(log, [result === undefined ? 'deauthenticate first' : 'authenticate set'], 'and its events are the only ones')
      }
    }

    // The end of the old token is no decision: this may be the attempt that renews it.
    socket.setAuthToken({ sub: 'old', exp: Math.ceil(Date.now() / 1000) + 1 })
    await new Promise(setImmediate)
    log.length = 0
    const renewal = client.authenticate('slow ann')
    const go = await gates.next()
    await new Promise((resolve) => socket.once('deauthenticate', resolve))
    go()
    t.match(await renewal, { isAuthenticated: true })
    t.same(log, ['deauthenticate old', 'authenticate ann'])
    // A stock client was told to forget the old token before; its attempt keeps the new one.
    t.equal(socket.authToken!.sub, 'ann')
  })

  t.test(`client ${generation}: a token revoked, or over, while its hooks were asked`, async (t) => {
    const gates = new Gates()
    const app = await startApp(t, { authenticateRate: 0 })
    app.sc.addMiddleware('authenticate', () => gates.wait())
    const client = await connect(t, app)
    const socket = app.sc.clients[client.id]!
    const failure = (promise: Promise<unknown>): Promise<any> => promise.then(() => { throw new Error('expected a failure') }, (err) => err)
    let attempt = failure(client.authenticate(sign({ sub: 'ann', jti: 'one' })))
    let go = await gates.next()
    await app.sc.revoke({ jti: 'one' })
    go()
    t.match(await attempt, { name: 'AuthTokenInvalidError' })
    t.equal(socket.authToken, null)

    const exp = Math.ceil(Date.now() / 1000) + 1
    attempt = failure(client.authenticate(jwt.sign({ sub: 'ann', exp }, authKey)))
    go = await gates.next()
    while (Date.now() <= exp * 1000) await sleep(50)
    go()
    t.match(await attempt, { name: 'AuthTokenExpiredError' })

    // The socket itself, by its id: no claims are known yet.
    const pending = client.authenticate(sign({ sub: 'bob' }))
    go = await gates.next()
    await app.sc.revoke({ socketId: socket.id })
    go()
    t.match(await pending, { isAuthenticated: false })
  })

  t.test(`client ${generation}: the handshake's token counts when its hooks have passed`, async (t) => {
    const gates = new Gates()
    const app = await startApp(t)
    app.sc.addMiddleware('authenticate', () => gates.wait())
    for (const [what, meanwhile, refusal, status, sub] of [
      ['passes', () => {}, undefined, { isAuthenticated: true }, 'ann'],
      ['is refused', () => {}, new Error('not you'), { isAuthenticated: false }, undefined],
      ['is overtaken', (socket: ScServerSocket) => { socket.setAuthToken({ sub: 'set' }) }, new Error('not you'), { isAuthenticated: true }, 'set']
    ] as const) {
      const { authEngine } = ownStore() as any
      await authEngine.saveToken('sc', sign({ sub: 'ann' }))
      const connecting = once(app.sc, 'handshake')
      const client = await connect(t, app, { authEngine, wait: false })
      const [socket] = await connecting as [ScServerSocket]
      const go = await gates.next()
      t.equal(socket.authToken, null)
      meanwhile(socket)
      go(refusal)
      const event = await client.nextEvent('connect')
      t.match(Array.isArray(event) ? event[0] : event, status, what)
      t.equal(socket.authToken?.sub, sub)
      await client.close()
    }
  })
}

t.test('an attempt that changes nothing checks no subscription again; one that takes a token away does', async (t) => {
  const gates = new Gates()
  const app = await startApp(t, { authEngine: slowEngine(gates), authenticateRate: 0 })
  let asked = 0
  app.sc.addMiddleware('subscribe', (_req, next) => {
    asked++
    next()
  })
  const client = await RawClient.connect(t, app.port)
  for (let i = 0; i < 100; i++) await client.call('#subscribe', { channel: `room ${i}` })
  asked = 0
  t.match((await client.call('#authenticate', 'fast bad')).error, { name: 'AuthTokenInvalidError' })
  t.match((await client.call('#authenticate', null)).error, { name: 'AuthTokenInvalidError' })
  t.equal(asked, 0)
  await client.call('#authenticate', 'fast ann')
  t.equal(asked, 0, 'a login takes nothing away')
  await client.call('#authenticate', 'fast bad')
  await client.barrier()
  t.equal(asked, 100)
})

t.test('a token that is refused takes the old one away, with its events', async (t) => {
  const app = await startApp(t, { authEngine: slowEngine(new Gates()), authenticateRate: 0 })
  app.sc.addMiddleware('authenticate', (req, next) => { next(req.authToken.sub === 'eve' ? new Error('quietly') : null) })
  const connected = app.nextSocket()
  const client = await RawClient.connect(t, app.port)
  const socket = await connected
  const log: unknown[] = []
  socket.on('authStateChange', ({ newState }) => { log.push(newState) })
  socket.on('deauthenticate', (old) => { log.push(old?.sub) })
  for (const token of ['fast bad', 'fast eve']) {
    await client.call('#authenticate', 'fast ann')
    await client.call('#authenticate', token)
    t.same(log.splice(0), ['authenticated', 'unauthenticated', 'ann'], token)
  }
})
