// The handshake: hooks, the token, and then the socket is open.
import jwt from 'jsonwebtoken'
import t from 'tap'
import { ScRefusal } from '../../lib/index.js'
import { dialects } from '../../lib/protocol/dialects.js'
import { MiddlewareBlock } from '../../lib/lifecycle/block.js'
import { authKey } from '../helpers/serve.js'
import { matchEach } from '../helpers/match-each.js'
import { gate, setUp, turn } from './parts.js'

const sign = (claims: object): string => jwt.sign(claims, authKey, { expiresIn: 60 })

t.test('the socket is open, its events are told, and then the client', async (t) => {
  const { connect, core } = await setUp(t, { pingTimeout: 12_345 })
  const ada = connect().hear('connect')
  const server: unknown[] = []
  core.events.emitter.on('connection', (socket: unknown, status: unknown) => { server.push([socket === ada.socket, status, ada.session.state, ada.told]) })
  t.equal(ada.session.state, 'connecting')
  t.equal(ada.say('#handshake', {}, 1), undefined, 'nothing is waited for')
  const status = { id: ada.session.id, pingTimeout: 12_345, isAuthenticated: false }
  t.strictSame(server, [[true, status, 'open', []]])
  t.strictSame(ada.events, [['connect', status]])
  t.strictSame(ada.told, [{ rid: 1, data: status }])
})

t.test('a second one is refused, and changes nothing', async (t) => {
  const { connect, core } = await setUp(t)
  const ada = connect()
  await ada.call('#handshake', {})
  t.match((await ada.call('#handshake', { authToken: sign({ sub: 'ada' }) })).error, { code: 'SC_ERR_SECOND_HANDSHAKE' })
  t.strictSame([ada.session.authToken, core.stats().connects, core.stats().invalid], [null, 1, 1])
})

t.test('so is one that comes while the hooks of the first take their time', async (t) => {
  const slow = gate()
  const { connect } = await setUp(t, {}, ({ hook }) => { hook('handshakeSC', () => slow.opened) })
  const ada = connect()
  const first = ada.say('#handshake', {}, 1)
  t.match((await ada.call('#handshake', {})).error, { code: 'SC_ERR_SECOND_HANDSHAKE' })
  slow.open()
  await first
  matchEach(t, ada.told, [{ rid: 1, data: { isAuthenticated: false } }])
})

t.test('without a call id: version 2 is refused, version 1 has no answer', async (t) => {
  const { connect } = await setUp(t)
  const modern = connect()
  modern.session.dialect = dialects[2]
  modern.say('#handshake', {})
  t.strictSame([modern.closed, modern.session.state, modern.told], [{ code: 4008, reason: '' }, 'closed', []])
  const old = connect()
  old.session.dialect = dialects[1]
  old.say('#handshake', {})
  t.strictSame([old.closed, old.session.state, old.told], [null, 'open', []])
})

t.test('a hook that refuses, at once or later: the client is told why and the connection is closed', async (t) => {
  let wait: () => void | Promise<void> = () => {}
  let refusal: unknown
  const { connect, core, fastify } = await setUp(t, {}, ({ hook }) => {
    hook('handshakeSC', function (this: unknown, { socket }) {
      t.equal(this, fastify)
      t.ok(socket.id)
      const running = wait()
      if (running === undefined) throw refusal
      return running.then(() => { throw refusal })
    })
  })
  const blocked = core.stats().blocked
  const codes: Array<[unknown, number]> = [
    [new ScRefusal('no'), 4008],
    [new ScRefusal('no', { statusCode: 4100 }), 4100],
    [new ScRefusal('no', { statusCode: 404 }), 4008],
    [new MiddlewareBlock(new Error('no'), 4200), 4200],
    [new MiddlewareBlock(new Error('no'), 'x'), 4008],
    [new MiddlewareBlock(Object.assign(new Error('no'), { statusCode: 4300 }), 4200), 4300]
  ]
  for (wait of [() => {}, turn]) {
    for (const [thrown, code] of codes) {
      refusal = thrown
      const ada = connect().hear('connectAbort')
      await ada.say('#handshake', {}, 1)
      matchEach(t, ada.told, [{ rid: 1, error: { message: 'no' }, data: { code } }, { event: '#disconnect', data: { code } }])
      t.strictSame([ada.closed, ada.session.state, ada.events.length], [{ code, reason: '' }, 'closed', 1])
    }
  }
  t.strictSame([core.stats().blocked - blocked, core.stats().connects], [12, 0])
})

t.test('who left while the hooks took their time is not opened', async (t) => {
  const slow = gate()
  const { connect, core } = await setUp(t, {}, ({ hook }) => {
    hook('handshakeSC', ({ socket }) => socket.id === 'socket 1' ? slow.opened : undefined)
    hook('authenticate', () => slow.opened)
  })
  const [ada, bob] = [connect(), connect()]
  const running = [ada.say('#handshake', { authToken: sign({ sub: 'ada' }) }, 1), bob.say('#handshake', { authToken: sign({ sub: 'bob' }) }, 1)]
  for (const each of [ada, bob]) each.session.end(1000)
  slow.open()
  await Promise.all(running)
  t.strictSame([ada.told, bob.told, core.stats().connects, ada.session.authToken, bob.session.authToken], [[], [], 0, null, null])
})

t.test('a listener of the connection may end it: nothing more is said', async (t) => {
  const { connect, core } = await setUp(t)
  core.events.emitter.on('connection', (socket: any) => { socket.disconnect(4100) })
  const ada = connect().hear('authenticate')
  ada.say('#handshake', { authToken: sign({ sub: 'ada' }) }, 1)
  t.strictSame([ada.told.filter((packet) => packet.rid === 1), ada.events, ada.closed], [[], [], { code: 4100, reason: '' }])
  const { connect: connectNext } = await setUp(t)
  const bob = connectNext()
  bob.socket.on('authenticate', () => { bob.socket.disconnect(4101) })
  bob.say('#handshake', { authToken: sign({ sub: 'bob' }) }, 1)
  t.strictSame([bob.told.filter((packet) => packet.rid === 1), bob.closed], [[], { code: 4101, reason: '' }])
})

t.test('a good token: the socket is that user when the connection is told', async (t) => {
  const { connect, core } = await setUp(t)
  const ada = connect().hear('connect', 'authStateChange', 'authenticate')
  core.events.emitter.on('connection', (socket: any, status: any) => { ada.events.push(['connection', socket.authToken.sub, status.isAuthenticated]) })
  const authToken = sign({ sub: 'ada' })
  ada.say('#handshake', { authToken }, 1)
  matchEach(t, ada.told, [{ rid: 1, data: { isAuthenticated: true, authError: undefined } }])
  t.strictSame(ada.events.map(([event]) => event), ['connect', 'connection', 'authStateChange', 'authenticate'])
  t.strictSame(ada.events[1], ['connection', 'ada', true])
  t.equal(ada.socket.signedAuthToken, authToken)
})

t.test('a bad token: the client is told to forget it before its handshake is answered with why', async (t) => {
  const { connect, core } = await setUp(t)
  const statuses: any[] = []
  core.events.emitter.on('connection', (_socket: unknown, status: any) => { statuses.push(status) })
  for (const [authToken, name] of [['bad', 'AuthTokenInvalidError'], [jwt.sign({ exp: 1 }, authKey), 'AuthTokenExpiredError'], [7, 'AuthTokenError']]) {
    const ada = connect().hear('badAuthToken', 'error')
    ada.say('#handshake', { authToken }, 1)
    matchEach(t, ada.told, [{ event: '#removeAuthToken' }, { rid: 1, data: { isAuthenticated: false, authError: { name } } }])
    t.match(statuses.pop(), { authError: { name }, isAuthenticated: false })
    matchEach(t, ada.events, [['error', { name }], ['badAuthToken', { authError: { name } }]])
    t.equal(ada.session.state, 'open')
  }
})

t.test('no token is no error, however the client says that', async (t) => {
  const { connect } = await setUp(t)
  for (const data of [undefined, null, 'text', 7, {}, { authToken: null }, { authToken: undefined }]) {
    const ada = connect().hear('error', 'badAuthToken')
    ada.say('#handshake', data, 1)
    t.strictSame(ada.told, [{ rid: 1, data: { id: ada.session.id, pingTimeout: 20_000, isAuthenticated: false } }])
    t.strictSame(ada.events, [])
  }
})

t.test('a hook that sets a token decides: the client\'s own is not looked at', async (t) => {
  const { connect } = await setUp(t, {}, ({ hook }) => { hook('handshakeSC', ({ socket }) => { socket.setAuthToken({ sub: 'by the hook' }) }) })
  const ada = connect().hear('error')
  await ada.say('#handshake', { authToken: 'bad' }, 1)
  t.match(ada.told.find(({ rid }) => rid === 1), { data: { isAuthenticated: true } })
  t.strictSame([ada.session.authToken?.['sub'], ada.events], ['by the hook', []])
})

t.test('the user of the request counts where that is turned on, and the client has no token', async (t) => {
  const seen: unknown[] = []
  const { connect } = await setUp(t, { authFromRequest: true }, ({ hook }) => { hook('authenticate', (request) => { seen.push([request.authToken.sub, request.signedAuthToken]) }) })
  const user = { sub: 'of the request' }
  const [ada, bob, eve] = [connect({ user }), connect({ user }), connect({ user: 'no claims' })]
  ada.say('#handshake', {}, 1)
  bob.say('#handshake', { authToken: sign({ sub: 'bob' }) }, 1)
  eve.say('#handshake', {}, 1)
  t.match([ada, bob, eve].map(({ session }) => session.authToken), [{ sub: 'of the request' }, { sub: 'bob' }, null])
  t.strictSame(ada.session.auth.signedToken, null)
  matchEach(t, seen, [['of the request', null], ['bob', /^ey/]])
  matchEach(t, ada.told, [{ rid: 1, data: { isAuthenticated: true } }])
  const { connect: connectPlain } = await setUp(t, { authFromRequest: false })
  const max = connectPlain({ user })
  max.say('#handshake', {}, 1)
  t.equal(max.session.authToken, null)
})

t.test('a hook that refuses the user of the request tells no client to forget a token', async (t) => {
  const { connect } = await setUp(t, { authFromRequest: true }, ({ hook }) => { hook('authenticate', () => { throw new ScRefusal('not you') }) })
  const ada = connect({ user: { sub: 'ada' } }).hear('badAuthToken')
  ada.say('#handshake', {}, 1)
  matchEach(t, ada.told, [{ rid: 1, data: { isAuthenticated: false, authError: { message: 'not you' } } }])
  t.strictSame(ada.events, [])
})

t.test('what hooks of authenticate refuse is told with the handshake', async (t) => {
  const { connect, core } = await setUp(t, {}, ({ hook }) => { hook('authenticate', async () => { throw new Error('a secret') }) })
  const ada = connect()
  await ada.say('#handshake', { authToken: sign({ sub: 'ada' }) }, 1)
  matchEach(t, ada.told, [{ rid: 1, data: { isAuthenticated: false, authError: { message: 'Internal error' } } }], 'what the client may see of it')
  t.strictSame([ada.session.state, core.stats().blocked], ['open', 1])
})

t.test('a client that says goodbye is gone with its code and its reason', async (t) => {
  const { enter } = await setUp(t)
  for (const [data, code, reason] of [[{ code: 4100, data: 'bye' }, 4100, 'bye'], [{ code: 1000 }, 1000, ''], [{ code: 1006 }, 1000, ''], [{ code: '4100' }, 1000, ''], [undefined, 1000, ''], [null, 1000, ''], ['text', 1000, '']] as const) {
    const ada = (await enter()).hear('disconnect')
    ada.say('#disconnect', data)
    t.strictSame([ada.closed, ada.events], [{ code, reason }, [['disconnect', code, reason === '' ? undefined : reason]]])
    t.strictSame(ada.told, [], 'it announced that itself')
  }
})

t.test('a listener of the socket may end it: no connection is told of after its end', async (t) => {
  const { connect, core } = await setUp(t)
  const server: string[] = []
  for (const event of ['connection', 'disconnection', 'closure']) core.events.emitter.on(event, () => { server.push(event) })
  const ada = connect()
  ada.socket.on('connect', () => { ada.socket.disconnect(4100) })
  ada.say('#handshake', {}, 1)
  t.strictSame([server, ada.session.state, ada.told.filter(({ rid }) => rid === 1)], [['disconnection', 'closure'], 'closed', []])
})

t.test('a listener that ends who came with a bad token: it is not opened', async (t) => {
  const { connect, core } = await setUp(t)
  core.events.emitter.on('deauthentication', (socket: any) => { socket.disconnect(4100) })
  const ada = connect().hear('connect')
  ada.say('#handshake', { authToken: 'bad' }, 1)
  const { clients, pendingClients, connects } = core.stats()
  t.strictSame([ada.session.state, ada.events, clients, pendingClients, connects], ['closed', [], 0, 0, 0])
  t.strictSame([ada.closed, ada.told.filter(({ rid }) => rid === 1)], [{ code: 4100, reason: '' }, []])
})
