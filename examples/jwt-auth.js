// One token for HTTP routes and for sockets: the application's own @fastify/jwt makes and checks both.
import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import scPlugin, { ScRefusal } from 'fastify-socketcluster'
import { Type } from 'typebox'

const users = new Map([['ada', { password: 'engine', role: 'admin' }], ['grace', { password: 'compiler', role: 'member' }]])

class LoginError extends ScRefusal {
  constructor (message) {
    super(message, { name: 'LoginError', statusCode: 401 })
  }
}

function check ({ name, password }) {
  const user = users.get(name)
  if (user?.password !== password) throw new LoginError('Wrong name or password')
  return { sub: name, role: user.role }
}

const credentials = Type.Object({ name: Type.String(), password: Type.String() })

export async function start ({ port = 8000, logger = false, secret = 'thirty-two bytes or more, and kept secret' } = {}) {
  const app = Fastify({ logger })
  await app.register(fastifyJwt, { secret })
  await app.register(scPlugin)

  // Login over HTTP …
  app.post('/login', { schema: { body: credentials } }, async (request) => ({ token: app.jwt.sign(check(request.body), { expiresIn: '1h' }) }))
  app.get('/me', { onRequest: (request) => request.jwtVerify() }, async (request) => ({ name: request.user.sub }))

  // … or over the socket. The client keeps the token and shows it again whenever it connects.
  app.scEvent('login', credentials, async (data, { socket }) => {
    await socket.setAuthToken(check(data), { expiresIn: '1h' })
  })

  // A client that brings `Authorization: Bearer …` to the handshake is authenticated from the start.
  app.addHook('onRequest', async (request) => {
    if (request.headers.authorization !== undefined) await request.jwtVerify()
  })

  app.scEvent('whoami', {}, (_data, { socket }) => socket.authToken?.sub ?? null)

  // Takes a user's tokens away on every connection, and refuses them from now on.
  app.scEvent('ban', Type.String(), async (name, { socket }) => {
    if (socket.authToken?.role !== 'admin') throw new LoginError('Only admins may ban')
    return app.scServer.revoke({ user: name })
  })

  await app.listen({ port })
  return app
}
