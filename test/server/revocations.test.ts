import Fastify from 'fastify'
import jwt from 'jsonwebtoken'
import fastifyJwt from '@fastify/jwt'
import t from 'tap'
import scPlugin from '../../lib/index.js'
import { generations, startApp } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { authKey } from '../helpers/serve.js'

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
