// An application with its own @fastify/jwt: what of its settings counts for sockets, and what does not.
import fastifyJwt, { type FastifyJWTOptions } from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import jsonwebtoken from 'jsonwebtoken'
import t from 'tap'
import { verifyToken } from '../../lib/auth/call-engine.js'
import type { JwtEngine } from '../../lib/auth/engine.js'
import { SECRET, newApp, outcome, ready, sc, sign, verify } from '../helpers/jwt-engine.js'

const own = (options: Partial<FastifyJWTOptions> = {}) => (app: FastifyInstance): void => { app.register(fastifyJwt, { secret: SECRET, ...options }) }
const now = Math.floor(Date.now() / 1000)
const near = (time: unknown, expected: number): boolean => Math.abs(Number(time) - expected) <= 2

t.test('what a call says beats each of its defaults', async (t) => {
  const run = await ready(t, {}, own({ sign: { notBefore: '10s', sub: 'nobody', jti: 'no id', nonce: 'none', iss: 'app' } }))
  const ours = { sub: 'ann', jti: 'our id', nonce: 'once', iss: 'us', exp: now + 1_000 }
  const token = verify(run, sign(run, { ...ours, nbf: now - 50 }))
  t.match(token, ours)
  t.ok(near(token.nbf, now), 'what began before begins with the token')
  t.equal(jsonwebtoken.decode(sign(run, { nbf: now + 500 }), { json: true })!.nbf, now + 500)
  const defaults = jsonwebtoken.decode(sign(run, {}), { json: true })!
  t.match(defaults, { sub: 'nobody', jti: 'no id', nonce: 'none', iss: 'app' })
  t.ok(near(defaults.nbf, now + 10))
  const later = jsonwebtoken.decode(sign(run, { exp: now + 1_000 }, { notBefore: 20 }), { json: true })!
  t.ok(near(later.nbf, now + 20))
  t.equal(later.exp, now + 1_000)
})

t.test('its defaults do not count for a key of our own', async (t) => {
  const run = await ready(t, { authKey: 'x'.repeat(40) }, own({ decoratorName: 'person', sign: { expiresIn: '1h', iss: 'app' }, verify: { allowedIss: 'app' } }))
  t.strictSame(Object.keys(verify(run, sign(run, { a: 1 }))).sort(), ['a', 'iat'])
  t.equal(run.keys.userProperty, 'person', 'a hook of the handshake leaves the user where the application says')
})

t.test('its name for the user may be any', async (t) => {
  for (const options of [{}, { authAlgorithm: 'HS256' }]) {
    const run = await ready(t, options, own({ decoratorName: 'scAuthToken' }))
    t.equal(run.keys.userProperty, 'scAuthToken')
    t.match(verify(run, sign(run, { a: 1 })), { a: 1 })
  }
})

t.test('our options decide about algorithms', async (t) => {
  const signs = await ready(t, { authAlgorithm: 'HS256' }, own({ sign: { algorithm: 'HS512' } }))
  t.equal(jsonwebtoken.decode(sign(signs, {}), { complete: true })!.header.alg, 'HS256')
  t.match(verify(signs, sign(signs, { a: 1 })), { a: 1 })
  const by512 = jsonwebtoken.sign({}, SECRET, { algorithm: 'HS512' })
  t.match(outcome(() => verify(signs, by512)).error, { message: 'invalid algorithm' }, 'what we sign with is what we accept')
  const verifies = await ready(t, { authVerifyAlgorithms: ['HS256'] }, own())
  t.match(outcome(() => verify(verifies, by512)).error, { message: 'invalid algorithm' })
  const any = await ready(t, {}, own({ sign: { algorithm: 'HS512' } }))
  t.match(verify(any, sign(any, { a: 1 })), { a: 1 }, 'without them its own do')
})

t.test('the audience that its routes demand counts for sockets too, unless these have one of their own', async (t) => {
  const mail = jsonwebtoken.sign({ aud: 'mail' }, SECRET)
  const sockets = jsonwebtoken.sign({ aud: 'sockets' }, SECRET)
  for (const authAudience of [undefined, false] as const) {
    const run = await ready(t, { authAudience }, own({ verify: { allowedAud: 'api' } }))
    for (const token of [mail, sockets]) t.match(outcome(() => verify(run, token)).error, { message: 'jwt audience invalid' })
    t.match(verify(run, jsonwebtoken.sign({ aud: 'api' }, SECRET)), { aud: 'api' })
  }
  const run = await ready(t, { authAudience: 'sockets' }, own({ verify: { allowedAud: 'api' } }))
  t.match(verify(run, sockets), { aud: 'sockets' })
  t.match(outcome(() => verify(run, mail)).error, { message: 'jwt audience invalid' })
  const open = await ready(t, { authAudience: 'sockets' }, own())
  t.match(verify(open, mail), { aud: 'mail' }, 'who asked for the token looks at its audience')
})

t.test('before the application is ready its @fastify/jwt is found already', async (t) => {
  const { app } = newApp(t)
  let engine!: JwtEngine
  sc(app, {}, (made) => { engine = made })
  app.register(fastifyJwt, { secret: SECRET })
  let early: unknown
  app.register(async () => { early = verifyToken(engine, jsonwebtoken.sign({ a: 1 }, SECRET), null, { async: true }) })
  await app.ready()
  t.match(early, { a: 1 })
})

t.test('a secret that is fetched, without a request', async (t) => {
  const run = await ready(t, {}, own({ secret: async () => SECRET }))
  t.match(await verify(run, jsonwebtoken.sign({ a: 1 }, SECRET)), { a: 1 })
  await t.rejects(async () => verify(run, jsonwebtoken.sign({ exp: 5 }, SECRET)), { name: 'TokenExpiredError', expiredAt: new Date(5_000) } as never)
  await t.rejects(async () => verify(run, jsonwebtoken.sign({}, 'another')), { name: 'JsonWebTokenError', message: 'invalid signature' })
})

/** Verifies in the name of a socket whose handshake was this request. */
async function inRequest (t: Parameters<typeof newApp>[0], options: Parameters<typeof sc>[1], jwt: Partial<FastifyJWTOptions>, tokens: string[], key: string | null = null): Promise<unknown[]> {
  const { app } = newApp(t)
  let engine!: JwtEngine
  app.register(fastifyJwt, { secret: SECRET, ...jwt })
  sc(app, options, (made) => { engine = made })
  const results: unknown[] = []
  app.get('/', async (request) => {
    for (const token of tokens) {
      const socket = { fastifyRequest: request }
      results.push(await Promise.resolve().then(() => verifyToken(engine, token, key, { async: true, socket })).catch((err) => `${err.name}: ${err.message}`))
    }
    return ''
  })
  await app.inject('/')
  return results
}

t.test('with a request the errors are as exact as without one', async (t) => {
  const tokens = [jsonwebtoken.sign({}, 'another'), jsonwebtoken.sign({ nbf: now + 1_000 }, SECRET), jsonwebtoken.sign({}, SECRET, { algorithm: 'HS512' })]
  t.strictSame(await inRequest(t, { authAlgorithm: 'HS256' }, {}, tokens), ['JsonWebTokenError: invalid signature', 'NotBeforeError: jwt not active', 'JsonWebTokenError: invalid algorithm'])
})

t.test('a key of our own has nothing to do with its request', async (t) => {
  const key = 'x'.repeat(40)
  const results = await inRequest(t, { authKey: key }, { trusted: () => false }, [jsonwebtoken.sign({ a: 1 }, key), jsonwebtoken.sign({ a: 1 }, SECRET)], key)
  t.match(results, [{ a: 1 }, 'JsonWebTokenError: invalid signature'])
})

t.test('a request without its method is not asked', async (t) => {
  const results = await inRequest(t, { jwtNamespace: 'n' }, { namespace: 'n', jwtVerify: 'check' }, [jsonwebtoken.sign({ a: 1 }, SECRET)])
  t.match(results, [{ a: 1 }])
})

t.test('a decorator `jwt` of the application\'s own making works as far as it goes', async (t) => {
  let signed: unknown = 'signed'
  const run = await ready(t, {}, (app) => { app.decorate('jwt', { sign: () => signed, verify: () => ({ a: 1 }), decode: () => null, options: {} } as never) })
  t.equal(run.keys.source, 'application')
  t.equal(sign(run, {}), 'signed')
  t.match(verify(run, 'x.y.z'), { a: 1 })
  signed = undefined
  t.match(outcome(() => sign(run, {})).error, { message: 'Expected @fastify/jwt to sign the token, got undefined' })
})
