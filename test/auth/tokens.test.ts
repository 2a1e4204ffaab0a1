import jsonwebtoken from 'jsonwebtoken'
import t from 'tap'
import { signToken, verifyToken } from '../../lib/auth/call-engine.js'
import { isAuthTokenExpired } from '../../lib/auth/is-token-expired.js'
import { handshakeUser } from '../../lib/auth/handshake-user.js'
import { toAuthError } from '../../lib/auth/token-errors.js'
import type { AuthEngine, ScAuthToken } from '../../types/auth.js'

t.test('errors of engines become SocketCluster\'s', async (t) => {
  const date = new Date(5000)
  const cases: Array<[err: unknown, expected: Record<string, unknown>, isBadToken: boolean]> = [
    [new jsonwebtoken.TokenExpiredError('jwt expired', date), { name: 'AuthTokenExpiredError', message: 'jwt expired', expiry: date, code: 'SC_ERR_TOKEN_EXPIRED' }, true],
    [new jsonwebtoken.JsonWebTokenError('invalid signature'), { name: 'AuthTokenInvalidError', message: 'invalid signature' }, true],
    [new jsonwebtoken.NotBeforeError('jwt not active', date), { name: 'AuthTokenNotBeforeError', message: 'jwt not active', date }, false],
    [new Error('100% of %s failed'), { name: 'AuthTokenError', message: '100% of %s failed' }, true],
    [{ name: 'TokenExpiredError', message: 'from another realm', expiredAt: 7 }, { name: 'AuthTokenExpiredError', message: 'from another realm', expiry: 7 }, true],
    ['text', { name: 'AuthTokenError', message: 'text' }, true],
    [undefined, { name: 'AuthTokenError', message: 'The auth engine failed' }, true],
    [null, { name: 'AuthTokenError', message: 'The auth engine failed' }, true],
    [{ name: 'constructor', message: {} }, { name: 'AuthTokenError', message: 'The auth engine failed' }, true]
  ]
  for (const [err, expected, isBadToken] of cases) {
    const failure = toAuthError(err)
    t.match(failure.authError, expected)
    t.ok(failure.authError instanceof Error)
    t.equal(failure.isBadToken, isBadToken)
    t.equal(failure.authError.cause, err)
    t.notOk(Object.keys(failure.authError).includes('cause'), 'the cause does not travel')
  }
})

t.test('any engine: callback, promise, both, twice, thrown', async (t) => {
  const rejections: unknown[] = []
  const onRejection = (reason: unknown) => { rejections.push(reason) }
  process.on('unhandledRejection', onRejection)
  t.teardown(() => process.off('unhandledRejection', onRejection))

  const engine = (verify: unknown, sign: unknown = verify) => ({ verifyToken: verify, signToken: sign }) as AuthEngine
  const run = (verify: unknown) => verifyToken(engine(verify), 'token', 'key', { async: true })
  const claims = { a: 1 }
  const later = (fn: () => void) => setImmediate(fn)

  t.equal(run((_t: string, _k: string, _o: object, cb: Function) => cb(null, claims)), claims, 'a callback at once')
  t.throws(() => run((_t: string, _k: string, _o: object, cb: Function) => cb(new Error('no'))), { message: 'no' })
  // eslint-disable-next-line n/no-callback-literal
  t.throws(() => run((_t: string, _k: string, _o: object, cb: Function) => cb('no text')), { message: 'no text' })
  t.throws(() => run(() => { throw new Error('thrown') }), { message: 'thrown' })
  // eslint-disable-next-line no-throw-literal
  t.throws(() => run(() => { throw undefined }), { message: 'The auth engine failed' })
  t.equal(await run((_t: string, _k: string, _o: object, cb: Function) => { later(() => cb(null, claims)) }), claims, 'a callback later')
  await t.rejects(async () => run((_t: string, _k: string, _o: object, cb: Function) => { later(() => cb(new Error('no'))) }), { message: 'no' })
  t.equal(await run(async (_t: string, _k: string, _o: object) => claims), claims, 'a promise')
  t.equal(run((_t: string, _k: string, _o: object) => claims), claims, 'a value')
  t.equal(await run((_t: string, _k: string, _o: object) => ({ then: (resolve: Function) => resolve(claims) })), claims, 'a thenable')
  await t.rejects(async () => run(async () => { throw new Error('no') }), { message: 'no' })
  await t.rejects(async () => run(() => Promise.reject(undefined)), { message: 'The auth engine failed' }) // eslint-disable-line prefer-promise-reject-errors
  t.equal(await run(async (_t: string, _k: string, _o: object, cb: Function) => { later(() => cb(null, claims)) }), claims, 'an async function that calls back after it resolved')
  t.equal(run((_t: string, _k: string, _o: object, cb: Function) => { cb(null, claims); cb(new Error('again')); cb(null, { b: 1 }) }), claims, 'the first call counts')
  t.equal(run((_t: string, _k: string, _o: object, cb: Function) => { cb(null, claims); throw new Error('after') }), claims, 'a throw after the answer')
  t.equal(run((_t: string, _k: string, _o: object, cb: Function) => { cb(null, claims); return Promise.reject(new Error('after')) }), claims, 'a rejection after the answer')
  t.equal(await run((_t: string, _k: string, _o: object, cb: Function) => { later(() => { cb(null, claims); cb(null, {}) }); return new Promise((_resolve, reject) => later(() => later(() => reject(new Error('late'))))) }), claims)

  for (const bad of [undefined, null, 'text', 5, [], true, new Map()]) {
    t.throws(() => run((_t: string, _k: string, _o: object, cb: Function) => cb(null, bad)), { message: /verifyToken must answer with an object of claims, got / }, `claims: ${String(bad)}`)
  }
  await t.rejects(async () => run(async (_t: string, _k: string, _o: object) => {}), { message: /got undefined/ })
  const sign = (fn: unknown) => signToken(engine(fn), claims as ScAuthToken, 'key', { async: false })
  t.equal(sign((_t: object, _k: string, _o: object, cb: Function) => cb(null, 'signed')), 'signed')
  t.equal(await sign(async () => 'signed'), 'signed')
  for (const bad of [undefined, null, '', 5, {}]) {
    t.throws(() => sign((_t: object, _k: string, _o: object, cb: Function) => cb(null, bad)), { message: /signToken must answer with a non-empty string, got / }, `signed: ${String(bad)}`)
  }

  class Own { // `this` is the engine
    readonly secret = 'own secret'
    verifyToken (token: string) { return jsonwebtoken.verify(token, this.secret) as ScAuthToken }
    signToken (token: object) { return jsonwebtoken.sign(token, this.secret) }
  }
  const own = new Own() as unknown as AuthEngine
  t.match(verifyToken(own, signToken(own, { a: 5 }, null, { async: false }) as string, null, { async: true }), { a: 5 })

  await new Promise((resolve) => setTimeout(resolve, 15))
  t.same(rejections, [], 'no rejection is left unhandled')
})

t.test('expiry', async (t) => {
  t.equal(isAuthTokenExpired({ exp: 10 }, 10_000), false)
  t.equal(isAuthTokenExpired({ exp: 10 }, 10_001), true)
  t.equal(isAuthTokenExpired({ exp: 0 }, 1), true)
  t.equal(isAuthTokenExpired({}), false)
  t.equal(isAuthTokenExpired(null), false)
  t.equal(isAuthTokenExpired(undefined), false)
  t.equal(isAuthTokenExpired({ exp: Date.now() / 1000 - 1 }), true)
  t.equal(isAuthTokenExpired({ exp: Date.now() / 1000 + 60 }), false)
  for (const exp of ['x', '5']) t.equal(isAuthTokenExpired({ exp: exp as unknown as number }), false, 'text is no time')
})

t.test('the user of a handshake', async (t) => {
  const user = { name: 'x', roles: ['a'] }
  const copy = handshakeUser({ user })
  t.same(copy, user)
  t.not(copy, user)
  t.not(copy!.roles, user.roles)
  t.same(handshakeUser({ person: { a: 1 } }, 'person'), { a: 1 })
  const fn = () => {}
  t.same(handshakeUser({ user: { fn } }), { fn })
  for (const other of [null, undefined, 'x', 5, [], new Date(), new (class User {})()]) t.equal(handshakeUser({ user: other }), null)
  t.equal(handshakeUser({}), null)
})
