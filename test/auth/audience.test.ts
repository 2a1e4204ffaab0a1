import fastifyJwt from '@fastify/jwt'
import Fastify, { type FastifyInstance } from 'fastify'
import jwt from 'jsonwebtoken'
import t, { type Test } from 'tap'
import scPlugin, { type ScPluginOptions } from '../../lib/index.js'
import { injectSC } from '../../lib/testing/index.js'
import { generations, startApp } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { authKey } from '../helpers/serve.js'

// A token has a purpose: those of routes and mails open no socket, and a socket's opens no route.

for (const [generation, connect] of generations) {
  t.test(`client ${generation}: only tokens for sockets, which setAuthToken makes`, async (t) => {
    const app = await startApp(t, { authAudience: 'sockets', authenticateRate: 0 })
    const client = await connect(t, app)
    const socket = app.sc.clients[client.id]!
    const failure = (promise: Promise<unknown>): Promise<any> => promise.then(() => { throw new Error('expected a failure') }, (err) => err)
    for (const claims of [{ sub: 'ann' }, { sub: 'ann', aud: 'mail' }, { sub: 'ann', aud: ['mail', 'refresh'] }, { sub: 'ann', aud: [] }, { sub: 'ann', aud: 'sockets2' }]) {
      t.match(await failure(client.authenticate(jwt.sign(claims, authKey))), { name: 'AuthTokenInvalidError', message: 'jwt audience invalid. expected: sockets' }, JSON.stringify(claims))
      t.equal(socket.authToken, null)
    }
    for (const aud of ['sockets', ['api', 'sockets']]) t.match(await client.authenticate(jwt.sign({ sub: 'ann', aud }, authKey)), { isAuthenticated: true })
    for (const [claims, options, aud] of [
      [{}, null, 'sockets'], [{ aud: 'api' }, null, ['api', 'sockets']], [{ aud: ['a', 'b'] }, null, ['a', 'b', 'sockets']], [{ aud: ['sockets', 'a'] }, null, ['sockets', 'a']],
      [{}, { audience: 'api' }, ['api', 'sockets']], [{}, { audience: ['sockets'] }, ['sockets']]
    ] as const) {
      await socket.setAuthToken({ sub: 'ann', ...claims } as any, options as any)
      t.same(jwt.decode(socket.signedAuthToken!, { json: true })!.aud, aud)
      t.same(socket.authToken!.aud, aud)
      t.match(await client.authenticate(socket.signedAuthToken!), { isAuthenticated: true })
    }
    const bad = await RawClient.open(t, app.port, { version: generation === 14 ? 1 : 2 })
    t.match(await bad.handshake(jwt.sign({ sub: 'ann' }, authKey)), { isAuthenticated: false, authError: { name: 'AuthTokenInvalidError' } })
  })
}

t.test('an engine of the application\'s own', async (t) => {
  const app = await startApp(t, {
    authAudience: 'sockets',
    authEngine: { async verifyToken (signed) { return JSON.parse(String(signed)) }, async signToken (claims) { return JSON.stringify(claims) } }
  })
  const client = await RawClient.connect(t, app.port)
  t.match((await client.call('#authenticate', '{"sub":"ann"}')).error, { name: 'AuthTokenInvalidError' })
  t.match((await client.call('#authenticate', '{"sub":"ann","aud":["sockets"]}')).data, { isAuthenticated: true })
})

async function withJwt (t: Test, options: ScPluginOptions, jwtOptions: object): Promise<{ app: FastifyInstance, port: number, logs: string[] }> {
  const logs: string[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { logs.push(JSON.parse(line).msg) } } } })
  await app.register(fastifyJwt, { secret: authKey, ...jwtOptions })
  await app.register(scPlugin, options)
  app.get('/me', { onRequest: async (request) => { await request.jwtVerify() } }, async () => 'you')
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => app.close())
  return { app, port: (app.server.address() as { port: number }).port, logs }
}

t.test('beside routes that demand an audience of their own', async (t) => {
  const { app, port, logs } = await withJwt(t, { authAudience: 'sockets' }, { sign: { aud: 'api' }, verify: { allowedAud: 'api' } })
  t.same(logs, [])
  const api = app.jwt.sign({ sub: 'ann' })
  const ours = app.jwt.sign({ sub: 'ann' }, { aud: 'sockets' })
  const client = await RawClient.connect(t, port)
  t.match((await client.call('#authenticate', api)).error, { name: 'AuthTokenInvalidError' })
  t.match((await client.call('#authenticate', ours)).data, { isAuthenticated: true })
  const [socket] = Object.values(app.scServer.clients)
  socket!.setAuthToken({ sub: 'bob' })
  t.equal((await app.inject({ url: '/me', headers: { authorization: `Bearer ${api}` } })).statusCode, 200)
  for (const token of [ours, socket!.signedAuthToken!]) t.equal((await app.inject({ url: '/me', headers: { authorization: `Bearer ${token}` } })).statusCode, 401)
  t.match((await client.call('#authenticate', socket!.signedAuthToken!)).data, { isAuthenticated: true })
})

t.test('without it, and with false', async (t) => {
  for (const [options, warns] of [[{}, 1], [{ authAudience: false }, 0], [{ authKey }, 0]] as const) {
    const { app, port, logs } = await withJwt(t, options, {})
    t.equal(logs.filter((line) => line.includes('authAudience')).length, warns)
    const client = await RawClient.connect(t, port)
    t.match((await client.call('#authenticate', app.jwt.sign({ sub: 'ann', aud: 'mail' }))).data, { isAuthenticated: true })
    const [socket] = Object.values(app.scServer.clients)
    socket!.setAuthToken({ sub: 'bob' })
    t.notOk('aud' in socket!.authToken!)
  }
})

t.test('the test kit makes tokens for sockets', async (t) => {
  const app = Fastify()
  await app.register(scPlugin, { authKey, authAudience: 'sockets' })
  t.teardown(() => app.close())
  const client = await injectSC(app)
  await client.authenticate({ sub: 'ann' })
  t.match(Object.values(app.scServer.clients)[0]!.authToken, { sub: 'ann', aud: 'sockets' })
})
