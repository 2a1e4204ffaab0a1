// `#authenticate`: a token is verified and passes the hooks, and only then the socket is that user.
import jwt from 'jsonwebtoken'
import t from 'tap'
import { type AuthEngine, ScRefusal } from '../../lib/index.js'
import { MiddlewareBlock } from '../../lib/lifecycle/block.js'
import { dialects } from '../../lib/protocol/dialects.js'
import { Clock } from '../helpers/clock.js'
import { authKey } from '../helpers/serve.js'
import { matchEach } from '../helpers/match-each.js'
import { gate, setUp, turn } from './parts.js'

const sign = (claims: object): string => jwt.sign(claims, authKey, { expiresIn: 60 })
const heard = ['authStateChange', 'authenticate', 'deauthenticate', 'badAuthToken', 'error']

t.test('a good token: the socket is that user at once, its events are told, and then the client', async (t) => {
  const { enter } = await setUp(t)
  const ada = (await enter()).hear(...heard)
  const signed = sign({ sub: 'ada' })
  t.equal(ada.say('#authenticate', signed, 1), undefined, 'nothing is waited for')
  t.strictSame(ada.told, [{ rid: 1, data: { isAuthenticated: true } }])
  matchEach(t, ada.events, [['authStateChange', { oldState: 'unauthenticated', newState: 'authenticated' }], ['authenticate', { sub: 'ada' }]])
  t.equal(ada.socket.signedAuthToken, signed)
  ada.say('#authenticate', sign({ sub: 'bob' }))
  t.strictSame([ada.told, ada.session.authToken?.['sub']], [[], 'bob'], 'no answer that nobody waits for')
})

for (const version of [1, 2] as const) {
  t.test(`a bad token, version ${version}: the client is told why and to forget it, the one before is gone`, async (t) => {
    const { enter, core } = await setUp(t)
    const ada = (await enter()).hear(...heard)
    ada.session.dialect = dialects[version]
    ada.say('#authenticate', sign({ sub: 'ada' }))
    ada.events.length = 0
    const server: unknown[] = []
    core.events.emitter.on('badSocketAuthToken', (socket: unknown, status: any) => { server.push([socket === ada.socket, status.authError.name, status.signedAuthToken]) })
    ada.say('#authenticate', 'bad', 1)
    const authError = { name: 'AuthTokenInvalidError' }
    matchEach(t, ada.told, [{ event: '#removeAuthToken' }, { rid: 1, error: authError, ...version === 1 && { data: { isAuthenticated: false, authError } } }])
    ada.say('#authenticate', 'bad', 2)
    t.equal('data' in ada.told[1], version === 1)
    matchEach(t, ada.events, [['error', authError], ['badAuthToken', { authError }], ['authStateChange', { newState: 'unauthenticated' }], ['deauthenticate', { sub: 'ada' }], ['error', authError], ['badAuthToken', { authError }], ['deauthenticate', null]])
    t.equal(ada.events[1][1].signedAuthToken, 'bad')
    t.strictSame(server, [[true, 'AuthTokenInvalidError', 'bad'], [true, 'AuthTokenInvalidError', 'bad']])
    t.equal(ada.session.authToken, null)
  })
}

t.test('no token takes away what there was, and is nobody\'s mistake', async (t) => {
  const { enter, warnings } = await setUp(t)
  const ada = (await enter()).hear(...heard)
  for (const none of [undefined, null]) {
    ada.say('#authenticate', sign({ sub: 'ada' }))
    ada.events.length = 0
    ada.say('#authenticate', none, 1)
    const told = ada.told
    t.match(told.at(-1), { rid: 1, error: { name: 'AuthTokenInvalidError' } })
    t.strictSame([told.length, ada.events.map(([event]) => event), warnings], [2, ['authStateChange', 'deauthenticate'], []])
  }
})

t.test('a token that is not active yet is no bad one: the client keeps it', async (t) => {
  const { enter } = await setUp(t)
  const ada = (await enter()).hear(...heard)
  ada.say('#authenticate', jwt.sign({ sub: 'ada', nbf: Date.now() / 1000 + 60 }, authKey), 1)
  matchEach(t, ada.told, [{ rid: 1, data: { isAuthenticated: false, authError: { name: 'AuthTokenNotBeforeError' } } }])
  matchEach(t, ada.events, [['error', { name: 'AuthTokenNotBeforeError' }]])
  ada.say('#authenticate', sign({ sub: 'ada' }))
  ada.events.length = 0
  ada.say('#authenticate', jwt.sign({ sub: 'ada', nbf: Date.now() / 1000 + 60 }, authKey), 2)
  matchEach(t, ada.told, [{ rid: 2, data: { isAuthenticated: false } }])
  t.strictSame(ada.events.map(([event]) => event), ['error', 'authStateChange', 'deauthenticate'], 'the one before is gone all the same')
})

t.test('what is no text is no token', async (t) => {
  const { enter } = await setUp(t)
  const ada = (await enter()).hear('badAuthToken')
  for (const data of [7, {}, ['x'], true]) {
    t.match((await ada.call('#authenticate', data)).error, { name: 'AuthTokenError' })
    t.match(ada.events.pop(), ['badAuthToken', { authError: { cause: { code: 'SC_ERR_TOKEN_FORMAT' } }, signedAuthToken: null }])
  }
})

t.test('a token for somebody else\'s audience is refused', async (t) => {
  const { enter } = await setUp(t, { authAudience: 'us' })
  const ada = await enter()
  for (const aud of ['us', ['them', 'us']]) t.match((await ada.call('#authenticate', sign({ aud }))).data, { isAuthenticated: true })
  for (const aud of ['them', undefined]) t.match((await ada.call('#authenticate', sign(aud === undefined ? {} : { aud }))).error, { name: 'AuthTokenInvalidError' })
})

t.test('a revoked token is refused, before the hooks are asked or after', async (t) => {
  const slow = gate()
  let asked = 0
  const { enter, core } = await setUp(t, {}, ({ hook }) => { hook('authenticate', () => { asked++; return slow.opened }) })
  const ada = await enter()
  let revoked = true
  core.tokens.isRevoked = () => revoked
  t.match((await ada.call('#authenticate', sign({ sub: 'ada' }))).error, { code: 'SC_ERR_TOKEN_REVOKED' })
  t.equal(asked, 0)
  revoked = false
  const running = ada.say('#authenticate', sign({ sub: 'ada' }), 9)
  revoked = true
  slow.open()
  await running
  t.match(ada.told.at(-1), { rid: 9, error: { code: 'SC_ERR_TOKEN_REVOKED' } })
  t.strictSame([asked, ada.session.authToken], [1, null])
})

t.test('a token that ran out while the hooks took their time is refused', async (t) => {
  const slow = gate()
  const { enter } = await setUp(t, {}, ({ hook }) => { hook('authenticate', () => slow.opened) })
  const ada = await enter()
  const exp = Math.floor(Date.now() / 1000) + 60
  const running = ada.say('#authenticate', jwt.sign({ sub: 'ada', exp }, authKey), 1)
  const { now } = Date
  t.teardown(() => { Date.now = now })
  Date.now = () => (exp + 1) * 1000
  slow.open()
  await running
  const [, answer] = ada.told
  t.match(answer, { rid: 1, error: { code: 'SC_ERR_TOKEN_EXPIRED', message: 'jwt expired', expiry: new Date(exp * 1000).toJSON() } })
})

t.test('a hook sees the claims, and not the token where others would; it is printed by nobody', async (t) => {
  const seen: any[] = []
  const { enter, fastify } = await setUp(t, {}, ({ hook }) => { hook('authenticate', function (this: unknown, request) { seen.push(this, request) }) })
  const ada = await enter()
  const signed = sign({ sub: 'ada' })
  ada.say('#authenticate', signed)
  const [instance, request] = seen
  t.equal(instance, fastify)
  t.strictSame([request.socket, request.authToken.sub, request.signedAuthToken, Object.keys(request)], [ada.socket, 'ada', signed, ['socket']])
})

for (const how of ['at once', 'later'] as const) {
  t.test(`a hook that refuses ${how}: whether the token is bad is for it to say`, async (t) => {
    let refusal: unknown
    const { enter, core } = await setUp(t, { authenticateRate: 0 }, ({ hook }) => {
      hook('authenticate', () => { if (how === 'at once') throw refusal; return turn().then(() => { throw refusal }) })
    })
    const denials: any[] = []
    const { denied } = core.monitor
    core.monitor.denied = (session, denial) => { denials.push(denial.line); return denied.call(core.monitor, session, denial) }
    const ada = (await enter()).hear('badAuthToken')
    const outcomes: Array<[unknown, boolean]> = [
      [new ScRefusal('not you'), false],
      [new ScRefusal('not you', { isBadToken: true }), true],
      [new ScRefusal('not you', { isBadToken: 1 }), false],
      [new MiddlewareBlock(new Error('not you'), true), true],
      [new MiddlewareBlock(Object.assign(new Error('not you'), { isBadToken: true }), false), false],
      [new MiddlewareBlock(Object.assign(new Error('not you'), { isBadToken: true }), undefined), true],
      [new MiddlewareBlock(new Error('not you'), 'x'), false]
    ]
    for (const [thrown, isBad] of outcomes) {
      refusal = thrown
      await ada.say('#authenticate', sign({ sub: 'ada' }), 1)
      const told = ada.told
      t.strictSame([told.length, ada.events.length, 'error' in told.at(-1)], isBad ? [2, 1, true] : [1, 0, false])
      t.match(told.at(-1), isBad ? { rid: 1, error: { message: 'not you' } } : { rid: 1, data: { isAuthenticated: false, authError: { message: 'not you' } } })
      if (isBad) t.match(ada.events.pop(), ['badAuthToken', { authError: { message: 'not you' }, signedAuthToken: /^ey/ }])
    }
    t.strictSame([denials.length, new Set(denials), ada.session.authToken], [7, new Set(['authenticate']), null])
  })
}

t.test('the newest decision counts: what was decided meanwhile supersedes an attempt', async (t) => {
  const slow = new Map(['a', 'b', 'c'].map((sub) => [sub, gate()]))
  const { enter } = await setUp(t, {}, ({ hook }) => { hook('authenticate', ({ authToken }) => slow.get(authToken.sub)?.opened) })
  const ada = await enter()
  const [a, b, c] = ['a', 'b', 'c'].map((sub) => ada.say('#authenticate', sign({ sub }), sub))
  ada.session.auth.announce(ada.session.auth.replace({ sub: 'the server said' }, 'signed'))
  ada.hear(...heard)
  slow.get('a')!.open()
  slow.get('b')!.fail(new ScRefusal('no', { isBadToken: true }))
  await Promise.all([a, b])
  t.strictSame(ada.told, ['a', 'b'].map((rid) => ({ rid, data: { isAuthenticated: true } })), 'told how it is now')
  t.strictSame([ada.events, ada.session.authToken], [[], { sub: 'the server said' }])
  ada.session.end(1000)
  slow.get('c')!.open()
  await c
  t.strictSame(ada.told, [])
})

t.test('an engine that takes its time: the hooks are asked when it is done, and its failure is the token\'s', async (t) => {
  const slow = new Map<string, ReturnType<typeof gate>>()
  const authEngine: AuthEngine = {
    async verifyToken (...args) { given.push(args); await slow.get(args[0]!)!.opened; return { sub: args[0]! } },
    async signToken () { return 'signed' }
  }
  const given: any[] = []
  const asked: unknown[] = []
  const { enter } = await setUp(t, { authEngine, authVerifyAsync: true, authVerifyAlgorithms: ['HS512'], hookTimeout: 500, authenticateRate: 0 }, ({ hook }) => { hook('authenticate', ({ authToken }) => { asked.push(authToken.sub) }) })
  const clock = new Clock(t)
  const ada = await enter()
  const attempt = (sub: string): Promise<void> => { slow.set(sub, gate()); return ada.say('#authenticate', sub, sub) as Promise<void> }
  const good = attempt('good')
  t.strictSame(asked, [])
  t.strictSame(given[0].slice(0, 3), ['good', authKey, { async: true, algorithms: ['HS512'], socket: ada.socket }])
  slow.get('good')!.open()
  await good
  t.match([asked, ada.told], [['good'], [{ rid: 'good', data: { isAuthenticated: true } }]])
  const bad = attempt('bad')
  slow.get('bad')!.fail(new Error('forged'))
  await bad
  matchEach(t, ada.told, [{ event: '#removeAuthToken' }, { rid: 'bad', error: { name: 'AuthTokenError' } }])
  const late = attempt('late')
  ada.hear('error')
  await clock.advance(1_000)
  await late
  matchEach(t, ada.told, [{ event: '#removeAuthToken' }, { rid: 'late', error: { name: 'AuthTokenError' } }])
  t.match(ada.events, [['error', { message: 'A verifyToken hook took longer than 500 ms; see the option hookTimeout' }]])
  const superseded = attempt('superseded')
  ada.session.auth.supersede()
  slow.get('superseded')!.open()
  await superseded
  t.strictSame([asked, ada.session.authToken], [['good'], null], 'the hooks are not asked about what does not count')
  const refused = attempt('refused')
  ada.session.auth.supersede()
  matchEach(t, ada.told, [{ rid: 'superseded', data: { isAuthenticated: false } }])
  slow.get('refused')!.fail(new Error('forged'))
  await refused
  matchEach(t, ada.told, [{ rid: 'refused', data: { isAuthenticated: false } }])
})

t.test('who left while the token was checked is nobody', async (t) => {
  const slow = gate()
  let asked = 0
  const authEngine: AuthEngine = { async verifyToken () { await slow.opened; return { sub: 'ada' } }, async signToken () { return 'signed' } }
  const { enter, warnings } = await setUp(t, { authEngine }, ({ hook }) => { hook('authenticate', () => { asked++ }) })
  const ada = (await enter()).hear(...heard)
  const running = ada.say('#authenticate', 'x', 1)
  ada.session.end(1000)
  slow.open()
  await running
  t.strictSame([ada.told, ada.events, warnings, asked, ada.session.authToken], [[], [], [], 0, null])
})

t.test('more attempts than authenticateRate end the socket', async (t) => {
  const { enter, core } = await setUp(t, { authenticateRate: 3 })
  const ada = await enter()
  const limited = core.stats().rateLimited
  for (let n = 0; n < 3; n++) t.match((await ada.call('#authenticate', sign({ sub: 'ada' }))).data, { isAuthenticated: true })
  ada.say('#authenticate', sign({ sub: 'ada' }), 4)
  const [answer] = ada.told
  t.match(answer, { rid: 4, error: { name: 'RateLimitError', code: 'SC_ERR_AUTH_RATE', retryAfter: Number } })
  t.ok(answer.error.retryAfter > 0 && answer.error.retryAfter <= 20_000)
  t.strictSame([ada.closed, core.stats().rateLimited - limited], [{ code: 4429, reason: '' }, 1])
  const bob = await (await setUp(t, { authenticateRate: 0.5 })).enter()
  t.match((await bob.call('#authenticate', sign({}))).data, { isAuthenticated: true }, 'one is always possible')
  const eve = await (await setUp(t, { authenticateRate: 0 })).enter()
  for (let n = 0; n < 100; n++) eve.say('#authenticate', null)
  t.equal(eve.closed, null)
})

t.test('a place is free again after a minute\'s share', async (t) => {
  const clock = new Clock(t)
  const { enter } = await setUp(t, { authenticateRate: 60 })
  const ada = await enter()
  ada.session.lastSeen = clock.now
  for (let n = 0; n < 60; n++) ada.say('#authenticate', sign({}))
  ada.session.lastSeen = clock.now + 1_000
  ada.say('#authenticate', sign({}))
  t.equal(ada.closed, null)
  ada.say('#authenticate', sign({}))
  t.match(ada.closed, { code: 4429 })
})

t.test('a client that drops its token is nobody, and is told nothing', async (t) => {
  const { enter } = await setUp(t)
  const ada = await enter()
  ada.say('#authenticate', sign({ sub: 'ada' }))
  ada.hear(...heard)
  ada.say('#removeAuthToken')
  t.strictSame([ada.told, ada.session.authToken, ada.events.map(([event]) => event)], [[], null, ['authStateChange', 'deauthenticate']])
})

t.test('a listener of the loss that sets another token: the client is not told to forget that', async (t) => {
  const { enter } = await setUp(t)
  const ada = await enter()
  ada.say('#authenticate', sign({ sub: 'ada' }))
  ada.socket.on('deauthenticate', () => { ada.session.auth.announce(ada.session.auth.replace({ sub: 'guest' }, 'signed')) })
  ada.say('#authenticate', 'bad', 1)
  matchEach(t, ada.told, [{ rid: 1, error: { name: 'AuthTokenInvalidError' } }])
  t.strictSame(ada.session.authToken, { sub: 'guest' })
})

t.test('so does a listener of the bad token: nothing was lost then', async (t) => {
  const { enter } = await setUp(t)
  const ada = (await enter()).hear('deauthenticate')
  ada.socket.on('badAuthToken', () => { ada.session.auth.announce(ada.session.auth.replace({ sub: 'guest' }, 'signed')) })
  ada.say('#authenticate', 'bad', 1)
  matchEach(t, ada.told, [{ rid: 1, error: { name: 'AuthTokenInvalidError' } }])
  t.strictSame([ada.session.authToken, ada.events], [{ sub: 'guest' }, []])
})
