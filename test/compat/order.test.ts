import { once } from 'node:events'
import jwt from 'jsonwebtoken'
import t from 'tap'
import type { ScServer, ScServerSocket } from '../../lib/index.js'
import { generations, ownStore, startApp } from '../helpers/app.js'
import { Inbox, RawClient } from '../helpers/raw.js'
import { authKey } from '../helpers/serve.js'

// What happens before what, and what must not happen at all, as SocketCluster's own server does it.

const serverEvents = ['connection', 'connectionAbort', 'disconnection', 'closure', 'subscription', 'unsubscription', 'authentication', 'deauthentication',
  'authenticationStateChange', 'badSocketAuthToken', 'warning'] as const
const socketEvents = ['error', 'connect', 'disconnect', 'connectAbort', 'close', 'subscribe', 'unsubscribe', 'badAuthToken', 'authenticate', 'deauthenticate',
  'authStateChange', 'authTokenSigned'] as const

/** Notes the events of the server and of every socket, in their order; what is sent is noted as `→ event`, acks as `→ ack`. */
function record (sc: ScServer): string[] {
  const log: string[] = []
  for (const name of serverEvents) sc.on(name as 'ready', () => { log.push(`server ${name}`) })
  sc.on('handshake', (socket) => {
    log.push('server handshake')
    for (const name of socketEvents) socket.on(name as 'unsubscribe', () => { log.push(`socket ${name}`) })
  })
  return log
}

/** What the client hears, as `event` or `ack`, in order. */
function hear (client: { generation: number, raw: any }): Inbox<string> {
  const heard = new Inbox<string>()
  const note = (message: unknown): void => {
    const text = String(message)
    if (!text.startsWith('{') && !text.startsWith('[')) return
    for (const packet of [JSON.parse(text)].flat()) heard.push(packet.event ?? 'ack')
  }
  if (client.generation === 14) {
    client.raw.on('message', note)
  } else {
    (async () => { for await (const { message } of client.raw.listener('message')) note(message) })()
  }
  return heard
}

/** The next local event of a socket. */
function local (socket: ScServerSocket, event: 'close' | 'message' | 'unsubscribe' | 'deauthenticate'): Promise<any[]> {
  return new Promise((resolve) => socket.once(event as 'close', (...args) => resolve(args)))
}

const connected = ['server handshake', 'socket connect', 'server connection']

t.test('1: the first message has to be a handshake', async (t) => {
  const { sc, port } = await startApp(t)
  for (const version of [1, 2] as const) {
    for (const first of ['{"event":"hello"}', '{"event":"#subscribe","data":"a","cid":1}', '[{"event":"#handshake","data":{},"cid":1}]', '#2', 'hello', '{', '7', 'null', Buffer.from([1, 2])]) {
      const aborted = once(sc, 'connectionAbort')
      const seen: unknown[][] = []
      sc.once('handshake', (socket) => {
        socket.on('connectAbort', (...args) => { seen.push(['connectAbort', args[0]]) })
        socket.on('close', (...args) => { seen.push(['close', args[0]]) })
        socket.on('connect', () => { seen.push(['connect']) })
      })
      const client = await RawClient.open(t, port, { version })
      client.send(first)
      t.equal((await client.closed).code, 4009, `${String(first)} in version ${version}`)
      t.equal((await aborted)[1], 4009)
      t.same(seen, [['connectAbort', 4009], ['close', 4009]])
    }
  }
  t.equal(sc.pendingClientsCount, 0)
})

for (const [generation, connect] of generations) {
  t.test(`client ${generation}`, async (t) => {
    t.test('2: disconnect', async (t) => {
      const app = await startApp(t)
      for (const [how, code, abnormal] of [['client', 1000, false], ['server', 4100, true], ['server', 1000, false]] as const) {
        const serverSide = app.nextSocket()
        const client = await connect(t, app)
        await client.subscribe('a')
        await client.subscribe('b')
        const socket = await serverSide
        const log: string[] = []
        const states: string[] = []
        const listen = (emitter: any, side: string, name: string): void => {
          const listener = (): void => {
            log.push(`${side} ${name}`)
            states.push(socket.state)
          }
          emitter.on(name, listener)
          t.teardown(() => emitter.off(name, listener))
        }
        for (const name of serverEvents) listen(app.sc, 'server', name)
        for (const name of socketEvents) listen(socket, 'socket', name)
        const closed = local(socket, 'close')
        if (how === 'client') await client.close()
        else socket.disconnect(code, 'enough')
        t.equal((await closed)[0], code)
        t.same(log, [
          'socket unsubscribe', 'server unsubscription', 'socket unsubscribe', 'server unsubscription',
          'server disconnection', 'server closure', 'socket disconnect', 'socket close',
          ...(abnormal ? ['socket error', 'server warning'] : [])
        ], `by the ${how} with ${code}`)
        t.same(new Set(states), new Set(['closed']))
        for (const name of serverEvents) app.sc.removeAllListeners(name)
      }
    })

    t.test('3: an expired token is noticed on an event, which still runs', async (t) => {
      const app = await startApp(t)
      const log: any[] = []
      app.sc.addMiddleware('emit', (req, next) => {
        log.push([req.event, (req.authTokenExpiredError as any)?.name, req.socket.authState])
        next()
      })
      app.sc.addMiddleware('publishIn', (req, next) => {
        log.push(['publishIn', (req.authTokenExpiredError as any)?.name, (req.authTokenExpiredError as any)?.expiry])
        next()
      })
      app.sc.addMiddleware('subscribe', (req, next) => {
        log.push([req.channel, (req.authTokenExpiredError as any)?.name, req.waitForAuth])
        next()
      })
      const past = Math.floor(Date.now() / 1000) - 10
      const serverSide = app.nextSocket()
      const client = await connect(t, app)
      const socket = await serverSide
      const heard = hear(client)
      const expire = (): void => { socket.setAuthToken({ username: 'kim', exp: past }) }
      socket.on('#publish', () => {})
      socket.on('state', (_data, res) => res(null, socket.authState))
      // The token is over as soon as the client's next message comes.
      const expired = async <T>(action: () => Promise<T>): Promise<T> => {
        const received = local(socket, 'message')
        const running = action()
        expire()
        await received
        return running
      }
      t.equal(await expired(() => client.call('state')), 'unauthenticated')
      await heard.take((name) => name === '#removeAuthToken', '#removeAuthToken')
      await expired(() => client.publish('news', 1))
      await expired(() => client.subscribe('open'))
      t.same(log, [['state', 'AuthTokenExpiredError', 'unauthenticated'], ['publishIn', 'AuthTokenExpiredError', past], ['open', 'AuthTokenExpiredError', undefined]])
      t.ok(socket.isSubscribed('open'))

      // Only this is refused outright; no middleware is asked.
      const raw = await RawClient.connect(t, app.port, { version: generation === 14 ? 1 : 2 })
      const rawSide = Object.values(app.sc.clients).find(({ id }) => id !== socket.id)!
      rawSide.setAuthToken({ exp: past })
      const { error } = await raw.call('#subscribe', { channel: 'members', waitForAuth: true })
      t.match(error, { name: 'AuthTokenExpiredError', message: 'The socket auth token has expired', expiry: past })
      t.equal(log.length, 3)
      t.notOk(rawSide.isSubscribed('members'))
    })

    t.test('3: an expired token is noticed without any event', async (t) => {
      const app = await startApp(t, { pingInterval: 60 })
      const serverSide = app.nextSocket()
      const client = await connect(t, app)
      const socket = await serverSide
      const gone = once(app.sc, 'deauthentication')
      await socket.setAuthToken({ username: 'kim', exp: Math.ceil(Date.now() / 1000) + 1 })
      t.equal(socket.authState, 'authenticated')
      t.match((await gone)[1], { username: 'kim' })
      await client.nextEvent('deauthenticate')
      t.notOk(client.authToken)
    })

    t.test('4: connect', async (t) => {
      const app = await startApp(t)
      const good = jwt.sign({ username: 'ann' }, authKey, { expiresIn: 60 })
      const bad = jwt.sign({ username: 'ann' }, 'another key that is longer than thirty-two bytes')
      const early = jwt.sign({ username: 'ann' }, authKey, { notBefore: 60 })
      const log = record(app.sc)
      for (const [what, token, events, packets, status] of [
        ['no token', null, connected, ['ack'], { isAuthenticated: false, authError: undefined }],
        ['a token', good, [...connected, 'socket authStateChange', 'server authenticationStateChange', 'socket authenticate', 'server authentication'], ['ack'],
          { isAuthenticated: true, authError: undefined }],
        ['a bad token', bad, ['server handshake', 'socket error', 'server warning', 'socket badAuthToken', 'server badSocketAuthToken', 'socket deauthenticate', 'server deauthentication', 'socket connect', 'server connection'],
          ['#removeAuthToken', 'ack'], { isAuthenticated: false, authError: { name: 'AuthTokenInvalidError' } }],
        ['an early token', early, ['server handshake', 'socket error', 'server warning', 'socket connect', 'server connection'], ['ack'],
          { isAuthenticated: false, authError: { name: 'AuthTokenNotBeforeError' } }]
      ] as const) {
        const { authEngine } = ownStore() as any
        if (token !== null) await authEngine.saveToken('sc', token)
        log.length = 0
        const statuses: any[] = []
        app.sc.once('handshake', (socket) => {
          socket.on('connect', (own) => { statuses.push(own) })
          app.sc.once('connection', (_socket, own) => { statuses.push(own) })
        })
        const client = await connect(t, app, { authEngine, wait: false })
        const heard = hear(client)
        const got = await client.nextEvent('connect')
        t.same(log, events, what)
        t.same(heard.items, packets, `${what}: the client hears`)
        const clientStatus = Array.isArray(got) ? got[0] : got
        t.equal(clientStatus.isAuthenticated, status.isAuthenticated)
        t.equal(clientStatus.authError?.name, status.authError?.name)
        t.equal(statuses.length, 2)
        for (const own of statuses) {
          t.match(own, { id: client.id, pingTimeout: 20_000, isAuthenticated: status.isAuthenticated })
          t.equal(own.authError instanceof Error, status.authError !== undefined, 'an Error on the server')
        }
        t.equal(await authEngine.loadToken('sc'), token === bad ? null : token, 'only a bad token is forgotten')
        const closed = once(app.sc, 'closure')
        await client.close()
        await closed
        await new Promise(setImmediate)
      }
    })

    t.test('4: authenticate, deauthenticate, and a token of null', async (t) => {
      const app = await startApp(t)
      const client = await connect(t, app)
      const [socket] = Object.values(app.sc.clients) as [ScServerSocket]
      const log = record(app.sc)
      for (const name of socketEvents) socket.on(name as 'unsubscribe', () => { log.push(`socket ${name}`) })
      const take = (): string[] => log.splice(0)
      const good = jwt.sign({ username: 'ann' }, authKey, { expiresIn: 60 })

      await client.authenticate(good)
      t.same(take(), ['socket authStateChange', 'server authenticationStateChange', 'socket authenticate', 'server authentication'])
      await client.authenticate(good)
      t.same(take(), ['socket authenticate', 'server authentication'], 'nothing changed')

      const left = once(app.sc, 'deauthentication')
      await client.deauthenticate()
      await left
      const deauthenticated = ['socket authStateChange', 'server authenticationStateChange', 'socket deauthenticate', 'server deauthentication']
      t.same(take(), deauthenticated)

      const set = socket.setAuthToken({ username: 'bob' })
      t.equal(socket.authState, 'authenticated', 'at once')
      t.same(take().sort(), ['server authentication', 'server authenticationStateChange', 'socket authStateChange', 'socket authTokenSigned', 'socket authenticate'])
      await set
      socket.setAuthToken({ username: 'bob' })
      t.same(take().filter((event) => event !== 'socket authTokenSigned'), ['socket authenticate', 'server authentication'])
      socket.deauthenticate()
      t.same(take(), deauthenticated)

      const raw = await RawClient.connect(t, app.port, { version: generation === 14 ? 1 : 2 })
      const { error } = await raw.call('#authenticate', null)
      t.match(error, { name: 'AuthTokenInvalidError', message: 'jwt must be provided' })
      t.same((await raw.event('#removeAuthToken')).event, '#removeAuthToken')
    })

    t.test('5: a publication: the fan-out, the ack, the event of the socket', async (t) => {
      const app = await startApp(t)
      const serverSide = app.nextSocket()
      const client = await connect(t, app)
      const socket = await serverSide
      await client.subscribe('hall')
      const events: unknown[] = []
      socket.on('#publish', (packet) => {
        events.push(packet)
        socket.transmit('after')
      })
      const heard = hear(client)
      t.equal(await client.publish('hall', { text: 'hi' }), undefined)
      t.same(await client.next('hall'), { text: 'hi' }, 'the publisher hears itself')
      await heard.take((name) => name === 'after', 'after').then(() => heard.push('after'))
      t.same(heard.items, ['#publish', 'ack', 'after'])
      t.same(events, [{ channel: 'hall', data: { text: 'hi' } }])
    })

    t.test('6: what does not pass emit middleware', async (t) => {
      const app = await startApp(t)
      const seen: string[] = []
      app.sc.addMiddleware('emit', (req, next) => {
        seen.push(req.event)
        next()
      })
      const client = await connect(t, app)
      const [socket] = Object.values(app.sc.clients) as [ScServerSocket]
      socket.on('ours', (_data, res) => res())
      await client.authenticate(jwt.sign({ username: 'ann' }, authKey))
      await client.subscribe('a')
      await client.publish('a', 1)
      const unsubscribed = local(socket, 'unsubscribe')
      client.unsubscribe('a')
      await unsubscribed
      const left = local(socket, 'deauthenticate')
      await client.deauthenticate()
      await left
      await client.call('ours')
      t.same(seen, ['ours'])
    })

    t.test('7: a closed socket, and a message that cannot be read', async (t) => {
      const codec = {
        encode: (object: unknown) => JSON.stringify(object),
        decode (message: any) {
          const text = String(message)
          if (text === 'boom') throw new Error('no idea what that is')
          return text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text
        }
      }
      const app = await startApp(t, { codecEngine: codec })
      const serverSide = app.nextSocket()
      const client = await connect(t, app)
      const socket = await serverSide
      socket.on('ask', (_data, res) => res(null, 'still here'))
      const failed = new Promise<Error>((resolve) => socket.once('error', resolve))
      client.raw.send('boom')
      t.match(await failed, { name: 'InvalidMessageError', message: 'no idea what that is' })
      t.equal(await client.call('ask'), 'still here')
      t.match(app.warnings, [{ name: 'InvalidMessageError' }])

      const closed = local(socket, 'close')
      await client.close()
      await closed
      socket.emit('late', 1)
      socket.transmit('late', 1)
      socket.send('late')
      const late = await new Promise<any>((resolve) => socket.emit('late', 1, resolve))
      t.match(late, { name: 'BadConnectionError' })
      await t.rejects(socket.invoke('late'), { name: 'BadConnectionError' })
      await socket.kickOut()
      socket.disconnect()
      t.equal(socket.state, 'closed')
    })

    t.test('8: acks of batched subscriptions leave in one array', async (t) => {
      const app = await startApp(t, { pubSubBatchDuration: 20 })
      const frames = new Inbox<any>()
      const note = (message: unknown): void => { if (String(message).startsWith('[')) frames.push(JSON.parse(String(message))) }
      if (generation === 14) {
        const client = await connect(t, app)
        client.raw.on('message', note)
        await Promise.all(['a', 'b', 'c'].map((channel) => client.subscribe(channel, { batch: true })))
      } else {
        // Client 20 has no such option; those that come after it may.
        const raw = await RawClient.connect(t, app.port)
        raw.ws.on('message', note)
        await Promise.all(['a', 'b', 'c'].map((channel) => raw.call('#subscribe', { channel, batch: true })))
        await raw.call('#subscribe', { channel: 'd' })
      }
      const array = await frames.take(() => true, 'an array')
      t.equal(array.length, 3)
      t.ok(array.every((packet: any) => typeof packet.rid === 'number' && packet.error === undefined))
      t.same(frames.items, [], 'not without batch')
    })

    t.test('9: any frame keeps a connection', async (t) => {
      const app = await startApp(t, { pingInterval: 100, pingTimeout: 1_000, protocolVersion: generation === 14 ? 1 : 2 })
      const client = await RawClient.connect(t, app.port, { version: null })
      const timer = setInterval(() => client.send({ event: 'busy' }), 50)
      t.teardown(() => clearInterval(timer))
      const first = await Promise.race([client.closed, new Promise((resolve) => setTimeout(resolve, 2_000, 'open'))])
      t.equal(first, 'open', 'it never answered a ping')
      clearInterval(timer)
      t.equal((await client.closed).code, 4001)
    })
  })
}
