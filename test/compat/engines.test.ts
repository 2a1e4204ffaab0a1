import { once } from 'node:events'
import jwt from 'jsonwebtoken'
import t from 'tap'
import type { AuthEngine, CodecEngine } from '../../lib/index.js'
import { generations, ownStore, startApp } from '../helpers/app.js'
import { authKey } from '../helpers/serve.js'

// Engines of the application in place of JWT and JSON, by the published clients of both generations.

/** What a promise was rejected with. */
const failure = (promise: Promise<unknown>): Promise<any> => promise.then(() => { throw new Error('it should have failed') }, (err) => err)

/** A client's status of its connection, however it is told. */
const statusOf = (event: any): any => Array.isArray(event) ? event[0] : event

const named = (name: string, message: string, fields: object = {}): Error => Object.assign(new Error(message), { name, ...fields })

/** Tokens that clients can read too, and that are signed by a seal. A claim `fail` makes its check fail. */
const head = Buffer.from('{"alg":"seal"}').toString('base64url')
const write = (claims: object, seal: unknown): string => `${head}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${Buffer.from(String(seal)).toString('base64url')}`
function read (token: string | null, seal: unknown): any {
  const [, claims = '', sealed = ''] = String(token).split('.')
  if (Buffer.from(sealed, 'base64url').toString() !== String(seal)) throw named('JsonWebTokenError', 'the seal is broken')
  const read = JSON.parse(Buffer.from(claims, 'base64url').toString())
  const date = new Date('2040-01-02T03:04:05Z')
  switch (read.fail) {
    case 'expired': throw named('TokenExpiredError', 'too old', { expiredAt: date })
    case 'early': throw named('NotBeforeError', 'too young', { date })
    case 'other': throw named('DatabaseError', 'ask again later')
    case 'inherited': throw named('constructor', 'a name that every object knows')
  }
  return read
}

function engines (calls: any[]): Record<string, AuthEngine> {
  return {
    'by callback, at once': {
      verifyToken (signed, key, options, callback) {
        calls.push(['verify', key, options.async, typeof (options.socket as any)?.id])
        let claims
        try {
          claims = read(signed, key)
        } catch (err) {
          callback(err as Error)
          return
        }
        callback(null, claims)
      },
      signToken (token, key, options, callback) {
        calls.push(['sign', key, options.async, options.expiresIn])
        callback(null, write(token, key))
      }
    },
    'by callback, later': {
      verifyToken (signed, key, options, callback) {
        calls.push(['verify', key, options.async, typeof (options.socket as any)?.id])
        setImmediate(() => {
          try {
            callback(null, read(signed, key))
          } catch (err) {
            callback(err as Error)
          }
        })
      },
      signToken (token, key, options, callback) {
        calls.push(['sign', key, options.async, options.expiresIn])
        setImmediate(() => callback(null, write(token, key)))
      }
    },
    'by promise': {
      async verifyToken (signed, key, options) {
        calls.push(['verify', key, options.async, typeof (options.socket as any)?.id])
        return read(signed, key)
      },
      async signToken (token, key, options) {
        calls.push(['sign', key, options.async, options.expiresIn])
        return write(token, key)
      }
    }
  }
}

for (const [generation, connect] of generations) {
  t.test(`client ${generation}`, async (t) => {
    for (const kind of Object.keys(engines([]))) {
      t.test(`an auth engine ${kind}`, async (t) => {
        const calls: any[] = []
        const app = await startApp(t, { authEngine: engines(calls)[kind]!, authDefaultExpiry: 77 })
        t.equal(typeof app.sc.auth.verifyToken, 'function')
        const client = await connect(t, app)
        const socket = app.sc.clients[client.id]!

        await socket.setAuthToken({ username: 'ann' })
        t.equal(socket.signedAuthToken, write({ username: 'ann' }, authKey))
        t.match(client.authToken, { username: 'ann' })
        t.same(calls.splice(0), [['sign', authKey, false, 77]])
        const reconnection = app.nextSocket()
        await client.close()
        client.reconnect()
        t.match((await reconnection).authToken, { username: 'ann' }, 'the stored token')
        t.same(calls.splice(0), [['verify', authKey, true, 'string']])
      })

      t.test(`errors of an auth engine ${kind} go by their names`, async (t) => {
        const app = await startApp(t, { authEngine: engines([])[kind]!, authenticateRate: 0 })
        const client = await connect(t, app)
        const date = '2040-01-02T03:04:05.000Z'
        for (const [token, error, bad] of [
          [write({}, 'another seal'), { name: 'AuthTokenInvalidError', message: 'the seal is broken' }, true],
          [write({ fail: 'expired' }, authKey), { name: 'AuthTokenExpiredError', message: 'too old', expiry: date }, true],
          [write({ fail: 'early' }, authKey), { name: 'AuthTokenNotBeforeError', message: 'too young', date }, false],
          [write({ fail: 'other' }, authKey), { name: 'AuthTokenError', message: 'The auth token could not be checked' }, true],
          [write({ fail: 'inherited' }, authKey), { name: 'AuthTokenError', message: 'The auth token could not be checked' }, true]
        ] as const) {
          if (bad) t.match(await failure(client.authenticate(token)), error)
          else t.match(await client.authenticate(token), { isAuthenticated: false, authError: error })

          const { authEngine } = ownStore() as any
          await authEngine.saveToken('sc', token)
          const other = await connect(t, app, { authEngine, wait: false })
          t.match(statusOf(await other.nextEvent('connect')), { isAuthenticated: false, authError: error }, 'in the handshake')
          t.equal(await authEngine.loadToken('sc'), bad ? null : token)
          await other.close()
        }
      })
    }

    t.test('an engine that cannot sign closes with 4002', async (t) => {
      const app = await startApp(t)
      for (const signToken of [
        (_token: any, _key: any, _options: any, callback: any) => { callback(new Error('no ink')) },
        async () => { throw new Error('no ink') },
        () => { throw new Error('no ink') }
      ]) {
        app.sc.setAuthEngine({ verifyToken: app.sc.auth.verifyToken, signToken } as AuthEngine)
        const client = await connect(t, app)
        const socket = app.sc.clients[client.id]!
        const closed = once(app.sc, 'disconnection')
        await t.rejects(socket.setAuthToken({ username: 'ann' }), { name: 'AuthTokenError', message: /no ink/ })
        t.equal((await closed)[1], 4002)
        const told = await client.nextEvent('disconnect')
        t.equal(Array.isArray(told) ? told[0] : told.code, 4002)
      }
    })

    t.test('setAuthEngine while running', async (t) => {
      const app = await startApp(t)
      const client = await connect(t, app)
      const token = jwt.sign({ username: 'ann' }, authKey, { expiresIn: 60 })
      t.match(await client.authenticate(token), { isAuthenticated: true })
      const engine = engines([])['by promise']!
      app.sc.setAuthEngine(engine)
      t.equal(app.sc.auth, engine)
      t.match(await failure(client.authenticate(token)), { name: 'AuthTokenInvalidError', message: 'the seal is broken' })
      t.match(await client.authenticate(write({ username: 'bob' }, authKey)), { isAuthenticated: true })
      t.match(client.authToken, { username: 'bob' })
      t.match(app.sc.clients[client.id]!.authToken, { username: 'bob' })
    })

    t.test('keys while running', async (t) => {
      const app = await startApp(t, { authenticateRate: 0 })
      t.same([app.sc.signatureKey, app.sc.verificationKey], [authKey, authKey])
      const next = 'the next secret, which has more than thirty-two bytes'
      const old = jwt.sign({ username: 'ann' }, authKey, { expiresIn: 60 })
      const young = jwt.sign({ username: 'ann' }, next, { expiresIn: 60 })
      const client = await connect(t, app)
      const socket = app.sc.clients[client.id]!
      t.match(await client.authenticate(old), { isAuthenticated: true })
      t.match(await failure(client.authenticate(young)), { name: 'AuthTokenInvalidError', message: 'invalid signature' })

      app.sc.signatureKey = next
      await socket.setAuthToken({ username: 'bob' })
      t.match(jwt.verify(socket.signedAuthToken!, next), { username: 'bob' })
      t.match(await client.authenticate(old), { isAuthenticated: true }, 'verified by the other key still')

      app.sc.verificationKey = next
      t.match(await failure(client.authenticate(old)), { name: 'AuthTokenInvalidError', message: 'invalid signature' })
      t.match(await client.authenticate(young), { isAuthenticated: true })
    })

    const turn = (text: string): string => [...text].reverse().join('')
    const isPing = (message: unknown): boolean => message === '' || message === '#1' || message === '#2'
    const codecs: Record<string, CodecEngine> = {
      'that makes other text': {
        encode: (object) => isPing(object) ? object as string : `~${turn(JSON.stringify(object))}`,
        decode (message) {
          const text = String(message)
          return text.startsWith('~') ? JSON.parse(turn(text.slice(1))) : text
        }
      },
      'that makes bytes': {
        encode: (object) => isPing(object) ? object as string : Buffer.from(JSON.stringify(object)).map((byte) => byte ^ 0x5a),
        decode (message: any) {
          if (typeof message === 'string') return message
          const bytes = Buffer.from(message instanceof ArrayBuffer ? new Uint8Array(message) : message)
          return JSON.parse(Buffer.from(bytes.map((byte) => byte ^ 0x5a)).toString())
        }
      }
    }
    for (const [what, codecEngine] of Object.entries(codecs)) {
      t.test(`a codec ${what}`, async (t) => {
        const app = await startApp(t, { codecEngine, pingInterval: 60, pingTimeout: 3_000 })
        t.equal(app.sc.codec, codecEngine)
        const messages: Array<string | Buffer> = []
        app.sc.on('handshake', (socket) => socket.on('message', (message) => { messages.push(message) }))
        const client = await connect(t, app, { codecEngine })
        const socket = app.sc.clients[client.id]!
        socket.on('ask', (data, res) => res(null, { got: data }))
        socket.on('refuse', (_data, res) => res(named('Refused', 'no', { why: [1] })))
        t.same(await client.call('ask', { text: 'häß ✓', list: [1, null] }), { got: { text: 'häß ✓', list: [1, null] } })
        t.match(await failure(client.call('refuse')), { name: 'Refused', message: 'no', why: [1] })
        client.on('square', (data, res) => res(null, data * data))
        t.equal(await socket.invoke('square', 7), 49)

        await client.subscribe('hall')
        await client.publish('hall', { n: 1 })
        t.same(await client.next('hall'), { n: 1 })
        await app.sc.exchange.publish('hall', { n: 2 })
        t.same(await client.next('hall'), { n: 2 })
        await socket.setAuthToken({ username: 'ann' })
        t.match(client.authToken, { username: 'ann' })
        await socket.kickOut('hall', 'enough')
        await client.nextEvent('kickOut')

        const sent = messages.filter((message) => !isPing(message))
        t.ok(sent.length > 5 && sent.every((message) => what === 'that makes bytes' ? Buffer.isBuffer(message) : String(message).startsWith('~')), 'nothing went as JSON')
        // Pings are no business of the codec: they are answered.
        const received = messages.length
        while (messages.slice(received).filter(isPing).length < 8) await new Promise((resolve) => socket.once('message', resolve))
        t.equal(socket.protocolVersion, generation === 14 ? 1 : 2)
        t.same(await client.call('ask', 'alive'), { got: 'alive' })
      })
    }

    t.test('setCodecEngine', async (t) => {
      const app = await startApp(t)
      const codecEngine = codecs['that makes other text']!
      app.sc.setCodecEngine(codecEngine)
      t.equal(app.sc.codec, codecEngine)
      const client = await connect(t, app, { codecEngine })
      const socket = app.sc.clients[client.id]!
      socket.on('ask', (data, res) => res(null, data))
      t.equal(await client.call('ask', 'hello'), 'hello')
      t.equal(socket.encode({ a: 1 }), codecEngine.encode({ a: 1 }))
      t.same(socket.decode(codecEngine.encode({ a: 1 }) as string), { a: 1 })
    })
  })
}
