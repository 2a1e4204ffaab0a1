import { once } from 'node:events'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { ScRefusal, type ScServerSocket } from '../../lib/index.js'
import { connect14, connect20, generations, ownStore, startApp } from '../helpers/app.js'
import { Inbox } from '../helpers/raw.js'
import { authKey } from '../helpers/serve.js'

// What applications do, by the published clients of both generations.

/** What a call failed with. */
function failure (call: Promise<unknown>): Promise<any> {
  return call.then(() => { throw new Error('expected a failure') }, (err) => err)
}

const now = (): number => Math.floor(Date.now() / 1000)

t.test('both generations at once, in one channel, until pings must have been understood', async (t) => {
  const app = await startApp(t, { pingInterval: 200, pingTimeout: 2_500 })
  const serverSockets: ScServerSocket[] = []
  app.sc.on('connection', (socket) => serverSockets.push(socket))
  const old = await connect14(t, app)
  const young = await connect20(t, app)
  await old.subscribe('hall')
  await young.subscribe('hall')
  const pongs = [0, 0]
  for (const [i, pong] of ['#2', ''].entries()) serverSockets[i]!.on('message', (message) => { if (message === pong) pongs[i]!++ })
  // Longer than a connection would live whose pings were not understood.
  while (Math.min(...pongs) < 15) {
    await Promise.all(serverSockets.map((socket) => once(socket as any, 'message')))
  }
  for (const [speaker, listener, text] of [[old, young, 'from 14'], [young, old, 'from 20']] as const) {
    await speaker.publish('hall', { text })
    t.same(await listener.next('hall'), { text }, `${listener.generation} hears ${speaker.generation}`)
    t.same(await speaker.next('hall'), { text }, `${speaker.generation} hears itself`)
  }
  t.same(serverSockets.map((socket) => socket.protocolVersion), [1, 2])
  t.same([old.state, young.state], ['open', 'open'])
  t.same(app.sc.stats().closes, {}, 'nobody was dropped')
})

for (const [generation, connect] of generations) {
  t.test(`client ${generation}`, async (t) => {
    t.test('login, reconnect with the stored token, deauthentication', async (t) => {
      const app = await startApp(t)
      app.sc.on('connection', (socket) => {
        socket.on('login', ({ username }, res) => {
          if (username === '') {
            res('a name is needed')
            return
          }
          socket.setAuthToken({ username })
          res()
        })
      })
      const client = await connect(t, app)
      t.notOk(client.authToken)
      t.equal(await failure(client.call('login', { username: '' })), 'a name is needed', 'a bare text stays one')
      await client.call('login', { username: 'ann' })
      await client.nextEvent('authenticate')
      t.match(client.authToken, { username: 'ann', exp: Number })

      const reconnection = app.nextSocket()
      await client.close()
      client.reconnect()
      const status = await client.nextEvent('connect')
      const serverSide = await reconnection
      t.match(Array.isArray(status) ? status[0] : status, { isAuthenticated: true })
      t.equal(serverSide.authState, 'authenticated')
      t.match(serverSide.authToken, { username: 'ann' })

      const gone = once(serverSide as any, 'deauthenticate')
      await client.deauthenticate()
      t.match((await gone)[0], { username: 'ann' })
      t.equal(serverSide.authState, 'unauthenticated')
      t.notOk(client.authToken)

      const again = app.nextSocket()
      await client.close()
      client.reconnect()
      t.equal((await again).authState, 'unauthenticated', 'the client forgot the token')
    })

    t.test('the server takes the token away', async (t) => {
      const app = await startApp(t)
      const serverSide = app.nextSocket()
      const client = await connect(t, app)
      const socket = await serverSide
      await socket.setAuthToken({ username: 'bob' })
      t.match(client.authToken, { username: 'bob' })
      await socket.deauthenticate(() => {})
      await client.nextEvent('deauthenticate')
      t.notOk(client.authToken)
      t.equal(socket.authToken, null)
    })

    for (const [what, claims, options, error, key] of [
      ['expired', { exp: 1000 }, {}, { name: 'AuthTokenExpiredError', message: 'jwt expired', expiry: '1970-01-01T00:16:40.000Z' }, authKey],
      ['of another key', {}, {}, { name: 'AuthTokenInvalidError', message: 'invalid signature' }, 'another key that has also more than 32 bytes'],
      ['not active yet', {}, { notBefore: 3600 }, { name: 'AuthTokenNotBeforeError', message: 'jwt not active' }, authKey]
    ] as const) {
      t.test(`a stored token that is ${what}`, async (t) => {
        const app = await startApp(t)
        const { authEngine } = ownStore() as any
        const token = jwt.sign({ username: 'eve', ...claims }, key, options)
        await authEngine.saveToken('sc', token)
        const serverSide = app.nextSocket()
        const client = await connect(t, app, { authEngine, wait: false })
        const status = await client.nextEvent('connect')
        t.match(Array.isArray(status) ? status[0] : status, { isAuthenticated: false, authError: { name: error.name, message: error.message } })
        t.equal((await serverSide).authState, 'unauthenticated')
        const kept = await authEngine.loadToken('sc')
        t.equal(kept, error.name === 'AuthTokenNotBeforeError' ? token : null, 'a bad token is forgotten, an early one kept')
        if (error.name === 'AuthTokenNotBeforeError') t.match(client.authToken, null)
      })

      t.test(`authenticate with a token that is ${what}`, async (t) => {
        const app = await startApp(t)
        const client = await connect(t, app)
        const token = jwt.sign({ username: 'eve', ...claims }, key, options)
        if (error.name === 'AuthTokenNotBeforeError') {
          const status = await client.authenticate(token)
          t.match(status, { isAuthenticated: false, authError: error })
        } else {
          await client.authenticate(jwt.sign({ username: 'ann' }, authKey))
          await client.nextEvent('authenticate')
          await t.rejects(client.authenticate(token), error)
          await client.nextEvent('deauthenticate')
        }
        t.notOk(client.authToken)
      })
    }

    t.test('authenticate with a good token', async (t) => {
      const app = await startApp(t)
      const serverSide = app.nextSocket()
      const client = await connect(t, app)
      const status = await client.authenticate(jwt.sign({ username: 'kim' }, authKey, { expiresIn: 60 }))
      t.match(status, { isAuthenticated: true })
      t.match((await serverSide).authToken, { username: 'kim' })
      t.match(client.authToken, { username: 'kim' })
    })

    t.test('a channel that waits for the login', async (t) => {
      const app = await startApp(t)
      const serverSide = app.nextSocket()
      const client = await connect(t, app)
      const subscribed = client.subscribe('members', { waitForAuth: true })
      await t.rejects(client.call('barrier'), { name: 'InvalidActionError' })
      const socket = await serverSide
      t.notOk(socket.isSubscribed('members'), 'not before')
      await socket.setAuthToken({ username: 'ann' })
      await subscribed
      t.ok(socket.isSubscribed('members'))
      await app.sc.exchange.publish('members', 'welcome')
      t.equal(await client.next('members'), 'welcome')
    })

    t.test('kick-out', async (t) => {
      const app = await startApp(t)
      const serverSide = app.nextSocket()
      const client = await connect(t, app)
      await Promise.all(['a', 'b', 'c'].map((channel) => client.subscribe(channel)))
      const socket = await serverSide
      await socket.kickOut('b', 'not you')
      const one = await client.nextEvent('kickOut')
      t.same(generation === 14 ? one : [one.message, one.channel], ['not you', 'b'])
      t.notOk(client.isSubscribed('b'))
      t.same(socket.subscriptions(), ['a', 'c'])
      await socket.kickOut()
      await client.nextEvent('kickOut')
      await client.nextEvent('kickOut')
      t.same(socket.subscriptions(), [])
      t.notOk(client.isSubscribed('a') || client.isSubscribed('c'))
    })

    t.test('batched subscriptions', async (t) => {
      const app = await startApp(t)
      const names = Array.from({ length: 20 }, (_, i) => `batch/${i}`)
      const frames: any[] = []
      app.sc.on('handshake', (socket) => socket.on('message', (message) => frames.push(JSON.parse(String(message) === '#2' || String(message) === '' ? 'null' : String(message)))))
      const serverSide = app.nextSocket()
      const client = await connect(t, app, generation === 14 ? { pubSubBatchDuration: 10 } : { batchOnHandshake: true, batchInterval: 10 })
      await Promise.all(names.map((name) => client.subscribe(name, { batch: true })))
      t.ok(frames.some((packet) => Array.isArray(packet)), 'the client sends them in an array')
      t.same(new Set((await serverSide).subscriptions()), new Set(names))
      await app.sc.exchange.publish('batch/7', 7)
      t.equal(await client.next('batch/7'), 7)
    })

    t.test('acks with every kind of error and value', async (t) => {
      const app = await startApp(t)
      const ownError = new ScRefusal('of its own', { name: 'ShopError', item: 7, list: [1, { a: null }] })
      app.sc.on('connection', (socket) => {
        socket.on('text', (_data, res) => res('just text'))
        socket.on('code', (_data, res) => res(1234, 'text for code 1234'))
        socket.on('error object', (_data, res) => res(new Error('an error')))
        socket.on('own error', (_data, res) => res(ownError))
        socket.on('data', (data, res) => res(null, data))
        socket.on('error and data', (_data, res) => res(ownError, { left: 3 }))
        socket.on('nothing', (_data, res) => res())
        socket.on('async', async (data) => ({ doubled: data * 2 }))
        socket.on('async error', async () => { throw ownError })
        socket.on('secret', async () => { throw new TypeError('db.internal:5432') })
      })
      const client = await connect(t, app)
      t.equal(await failure(client.call('text')), 'just text')
      t.equal(await failure(client.call('code')), 1234)
      if (generation === 14) t.same(await new Promise((resolve) => client.raw.emit('code', null, (...args: unknown[]) => resolve(args))), [1234, 'text for code 1234'])
      await t.rejects(client.call('error object'), { name: 'Error', message: 'an error' })
      const own = await failure(client.call('own error'))
      t.match(own, { name: 'ShopError', message: 'of its own', item: 7, list: [1, { a: null }] })
      for (const value of [0, false, '', 'x', [1, 2], { a: { b: null } }, null]) t.same(await client.call('data', value), value)
      if (generation === 14) {
        const both = await new Promise<any[]>((resolve) => client.raw.emit('error and data', 1, (...answer: any[]) => resolve(answer)))
        t.match(both, [{ name: 'ShopError', item: 7 }, { left: 3 }], 'data beside the error')
      } else {
        await t.rejects(client.call('error and data'), { name: 'ShopError', item: 7 })
      }
      t.equal(await client.call('nothing'), undefined)
      t.same(await client.call('async', 21), { doubled: 42 })
      await t.rejects(client.call('async error'), { name: 'ShopError', message: 'of its own', item: 7 })
      await t.rejects(client.call('secret'), { message: 'Internal error' })
      await t.rejects(client.call('nobody listens'), { name: 'InvalidActionError' })
    })

    t.test('ack timeouts, both ways', async (t) => {
      const app = await startApp(t, { ackTimeout: 60 })
      app.sc.on('connection', (socket) => socket.on('silence', (_data, _res) => {}))
      const serverSide = app.nextSocket()
      const client = await connect(t, app)
      client.raw.ackTimeout = 60
      client.on('silence', () => {})
      await t.rejects(client.call('silence'), { name: 'TimeoutError' })
      const socket = await serverSide
      const err = await new Promise<any>((resolve) => socket.emit('silence', 1, resolve))
      t.match(err, { name: 'TimeoutError', message: "Event response for 'silence' timed out" })
      const pending = socket.invoke('silence', 1, { timeout: 60_000 })
      client.raw.disconnect()
      await t.rejects(pending, { name: 'BadConnectionError', type: 'disconnect' }, 'at once, not by the timeout')
    })

    t.test('calls of the server', async (t) => {
      const app = await startApp(t)
      const serverSide = app.nextSocket()
      const client = await connect(t, app)
      client.on('square', (data, res) => res(null, data * data))
      client.on('refuse', (_data, res) => res(Object.assign(new Error('no'), { name: 'Refused' })))
      const socket = await serverSide
      t.same(await new Promise((resolve) => socket.emit('square', 9, (err, data) => resolve([err, data]))), [null, 81])
      t.equal(await socket.invoke('square', 3), 9)
      await t.rejects(socket.invoke('refuse'), { name: 'Refused', message: 'no' })
      const heard = new Inbox<any>()
      client.on('news', (data) => heard.push(data))
      socket.transmit('news', { n: 1 })
      t.same(await heard.take(() => true, 'news'), { n: 1 })
    })

    t.test('binary', async (t) => {
      const app = await startApp(t)
      app.sc.on('connection', (socket) => socket.on('bytes', (data, res) => res(null, { got: data, back: Buffer.from([1, 2, 255]) })))
      const serverSide = app.nextSocket()
      const client = await connect(t, app)
      const wire = { base64: true, data: 'AQL/' }
      t.same(await client.call('bytes', Buffer.from([1, 2, 255])), { got: wire, back: wire })
      await client.subscribe('bytes')
      await app.sc.exchange.publish('bytes', new Uint8Array([1, 2, 255]).buffer)
      t.same(await client.next('bytes'), wire)
      const socket = await serverSide
      socket.send('plain text')
      t.equal(await client.nextEvent('raw'), 'plain text')
      socket.send(Buffer.from([1, 2, 255]))
      const raw = await client.nextEvent('raw')
      t.same(Buffer.from(raw), Buffer.from([1, 2, 255]))
    })

    t.test('an expired token: the socket loses it, the event still runs', async (t) => {
      const app = await startApp(t)
      const requests: any[] = []
      app.sc.addMiddleware('emit', (req, next) => {
        requests.push(req.authTokenExpiredError)
        next()
      })
      app.sc.on('connection', (socket) => socket.on('ask', (_data, res) => res(null, socket.authState)))
      const client = await connect(t, app)
      await client.authenticate(jwt.sign({ username: 'kim', exp: now() + 1 }, authKey))
      t.equal(await client.call('ask'), 'authenticated')
      await client.nextEvent('deauthenticate')
      t.equal(await client.call('ask'), 'unauthenticated')
      t.notOk(client.authToken)
      t.equal(requests[0], undefined)
    })

    t.test('close codes of the server', async (t) => {
      const app = await startApp(t)
      for (const [code, data] of [[1000, undefined], [4100, 'come back'], [4500, 'stay away']] as const) {
        const serverSide = app.nextSocket()
        const client = await connect(t, app)
        const socket = await serverSide
        socket.disconnect(code, data)
        const told = await client.nextEvent('disconnect')
        const [gotCode, reason] = generation === 14 ? told : [told.code, told.reason]
        t.equal(gotCode, code)
        t.equal(reason || undefined, data)
        t.equal(socket.state, 'closed')
      }
    })
  })
}
