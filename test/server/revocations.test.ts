import Fastify from 'fastify'
import jwt from 'jsonwebtoken'
import fastifyJwt from '@fastify/jwt'
import t from 'tap'
import { Revocations, lifeOf } from '../../lib/cluster/revocations.js'
import scPlugin from '../../lib/index.js'
import { generations, startApp } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { authKey } from '../helpers/serve.js'

const now = 1_700_000_000_000
const second = now / 1000

t.test('what a filter revokes: all of its fields together, and users as text', async (t) => {
  const both = new Revocations(86_400, 0)
  both.add({ user: 'ann', jti: 'one' }, now)
  for (const [token, revoked] of [
    [{ sub: 'ann', jti: 'one', iat: second }, true], [{ sub: 'ann', jti: 'one' }, true], [{ sub: 'ann', jti: 'two', iat: second }, false],
    [{ sub: 'bob', jti: 'one', iat: second }, false], [{ jti: 'one' }, false], [{ sub: 'ann', iat: 1 }, false]
  ] as const) t.equal(both.has(token), revoked, JSON.stringify(token))

  const numbers = new Revocations(86_400, 0)
  numbers.add({ user: 5 }, now)
  numbers.add({ jti: 7 }, now)
  t.ok(numbers.has({ sub: 5 as any, iat: second }))
  t.ok(numbers.has({ sub: '5', iat: second }))
  t.ok(numbers.has({ jti: 7 as any }))
  t.notOk(numbers.has({ sub: '05', iat: second }))

  const connection = new Revocations(86_400, 0)
  t.equal(connection.add({ user: 'ann', socketId: 'x' }, now), null)
  t.notOk(connection.has({ sub: 'ann', iat: 1 }), 'one connection is no user')
})

t.test('clocks: a tolerance, and tokens that are made because of a revocation', async (t) => {
  const revocations = new Revocations(86_400, 5)
  revocations.add({ user: 'ann' }, now)
  t.ok(revocations.has({ sub: 'ann', iat: second + 5 }), 'of a clock that is ahead')
  t.notOk(revocations.has({ sub: 'ann', iat: second + 6 }))
  t.equal(revocations.issuableFrom('ann'), second + 6)
  t.equal(revocations.issuableFrom('bob'), undefined)
  // Twice in the same moment: what was issued between is meant.
  revocations.add({ user: 'ann' }, now)
  t.ok(revocations.has({ sub: 'ann', iat: second + 6 }))
  t.equal(revocations.issuableFrom('ann'), second + 7)
  // What another node says is taken as it is, the later one counts, and nothing lies far ahead.
  t.equal(revocations.merge({ user: 'ann', at: now - 5_000 }, now), false)
  t.equal(revocations.merge({ user: 'ann', at: now * 2 }, now), true)
  t.equal(revocations.issuableFrom('ann'), second + 3_600 + 6)
  t.equal(revocations.merge({ user: 'old', at: 5 }, now), false, 'over already')
  t.equal(revocations.size, 1)
})

t.test('in pieces', async (t) => {
  const revocations = new Revocations(86_400, 5)
  for (let i = 0; i < 25; i++) revocations.add({ user: `user ${i}` })
  const users: unknown[] = []
  let pieces = 0
  for (let after: number | null = 0; after !== null; pieces++) {
    const { entries, next } = revocations.piece(after, 10)
    users.push(...entries.map(({ user }) => user))
    after = next
  }
  t.equal(pieces, 3)
  t.same(users, Array.from({ length: 25 }, (_, i) => `user ${i}`))
  t.same(revocations.piece(0, 10, -1).entries, [], 'nothing was learned since')
  const many = new Revocations(86_400, 5)
  for (let i = 0; i < 100_050; i++) many.merge({ jti: String(i), at: Date.now() })
  t.equal(many.size, 100_000)
  t.ok(many.has({ jti: '100049' }))
})

for (const [generation, connect] of generations) {
  t.test(`client ${generation}: a user with a number, and a login right after`, async (t) => {
    const app = await startApp(t, { authenticateRate: 0 })
    const client = await connect(t, app)
    const socket = app.sc.clients[client.id]!
    const token = jwt.sign({ sub: 5 as any, name: 'ann' }, authKey)
    t.match(await client.authenticate(token), { isAuthenticated: true })
    t.equal(await app.sc.revoke({ user: '5' }), 1)
    t.equal(socket.authToken, null)
    await t.rejects(client.authenticate(token).catch((err) => { throw Object.assign(new Error(err.message), { name: err.name }) }), { name: 'AuthTokenInvalidError' })
    // In the same second.
    await socket.setAuthToken({ sub: 5 as any, name: 'again' })
    const fresh = socket.signedAuthToken!
    t.match(await client.authenticate(fresh), { isAuthenticated: true }, 'a token that came after counts')
    t.equal(await app.sc.revoke({ user: 5 }), 1)
    await t.rejects(client.authenticate(fresh).catch((err) => { throw Object.assign(new Error(err.message), { name: err.name }) }), { name: 'AuthTokenInvalidError' }, 'and it can be revoked at once')
    for (const filter of [{}, { user: null }, { user: {} }, { jti: [] }, null, 'ann', { socketId: 5 }, { user: 5n }] as any[]) await t.rejects(app.sc.revoke(filter), { code: 'SC_ERR_FILTER' })
  })
}

t.test('users that came by header or cookie', async (t) => {
  const app = Fastify()
  await app.register(fastifyJwt, { secret: authKey })
  app.addHook('onRequest', async (request) => {
    const { authorization, cookie } = request.headers
    if (authorization !== undefined) await request.jwtVerify()
    else if (cookie !== undefined) request.user = app.jwt.verify(cookie.slice('token='.length))
  })
  await app.register(scPlugin)
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => app.close())
  const { port } = app.server.address() as { port: number }
  const token = app.jwt.sign({ sub: 'ann' })
  const ways: Array<Record<string, string>> = [{ authorization: `Bearer ${token}` }, { cookie: `token=${token}` }]
  for (const headers of ways) {
    const client = await RawClient.open(t, port, { headers })
    t.match(await client.handshake(), { isAuthenticated: true })
    if ('authorization' in headers) continue
    t.equal(await app.scServer.revoke({ user: 'ann' }), 2, 'those that are here lose it')
    await client.event('#removeAuthToken')
  }
  for (const headers of ways) {
    const client = await RawClient.open(t, port, { headers })
    t.match(await client.handshake(), { isAuthenticated: false, authError: { name: 'AuthTokenInvalidError', code: 'SC_ERR_TOKEN_REVOKED' } }, 'and the next handshake is refused')
    t.notOk(client.inbox.items.some((packet) => packet.event === '#removeAuthToken'), 'there is nothing to forget')
  }
})

t.test('a shared rate without a rate of its own; users by number share one', async (t) => {
  const app = await startApp(t, { inboundRate: 0, inboundRateKey: 'user', inboundKeyRate: 1, inboundKeyBurst: 10, authenticateRate: 0 })
  app.sc.on('connection', (socket) => { socket.on('x', (_data, res) => res()) })
  const token = jwt.sign({ sub: 5 as any }, authKey)
  const [a, b] = await Promise.all([RawClient.connect(t, app.port, { authToken: token }), RawClient.connect(t, app.port, { authToken: token })])
  const free = await RawClient.connect(t, app.port)
  const answers = await Promise.all([a!, b!, free].flatMap((client) => Array.from({ length: 8 }, () => client.call('x'))))
  t.equal(answers.slice(0, 16).filter(({ error }) => error?.name === 'RateLimitError').length, 6, 'one rate for the user')
  t.equal(answers.slice(16).filter(({ error }) => error !== undefined).length, 0, 'nobody has none')
  const flood = setInterval(() => a!.send({ event: 'x' }), 20)
  t.teardown(() => clearInterval(flood))
  t.equal((await a!.closed).code, 4429, 'who does not slow down is closed')
})

t.test('is in force as long as the longest token that is known of lives', (t) => {
  const day = 86_400_000
  const now = Date.now()
  const revocations = new Revocations(86_400, 5)
  revocations.outlive(lifeOf({ iat: 1_000, exp: 1_000 + 30 * 86_400 }))
  revocations.outlive(60)
  t.equal(revocations.longestLife, 30 * 86_400)
  revocations.merge({ user: 'ada', at: now - 20 * day })
  revocations.merge({ user: 'over', at: now - 31 * day })
  // What is over is forgotten with the next one.
  revocations.merge({ user: 'bob', at: now })
  t.ok(revocations.has({ sub: 'ada', iat: Math.floor((now - 25 * day) / 1000) }))
  t.notOk(revocations.has({ sub: 'over', iat: 1 }))
  t.same(revocations.piece(0, 10).entries.map(({ user }) => user), ['ada', 'bob'])

  // A token without an end.
  revocations.outlive(lifeOf({ sub: 'ada' }))
  t.ok(revocations.merge({ user: 'cat', at: 1 }))
  t.equal(JSON.parse(JSON.stringify(revocations.longestLife)), Number.MAX_SAFE_INTEGER)
  t.end()
})
