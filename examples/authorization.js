// "Only members may use the channel `club`", four ways. Each way alone is enough; pick the one that is closest to what it protects.
import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import scPlugin, { ScRefusal } from 'fastify-socketcluster'

class MembersOnlyError extends ScRefusal {
  constructor () {
    super('Members only', { name: 'MembersOnlyError' })
  }
}

const isMember = (socket) => socket.authToken?.member === true

const ways = {
  /** Nobody else gets a connection at all: HTTP 403 before the upgrade. For servers that are for members altogether. */
  handshake (app) {
    app.addHook('onRequest', async (request, reply) => {
      await request.jwtVerify()
      if (request.user.member !== true) return reply.code(403).send({ error: 'Members only' })
    })
  },

  /** Counts for all channels of a context: for rules that many channels share. */
  hook (app) {
    app.scHook('subscribe', async ({ socket }) => {
      if (!isMember(socket)) throw new MembersOnlyError()
    })
    app.scHook('publishIn', async ({ socket }) => {
      if (!isMember(socket)) throw new MembersOnlyError()
    })
  },

  /** Beside the channel's declaration: for rules of one pattern, and those that need its parameters. */
  policy (app) {
    app.scChannel('club', {
      async subscribe ({ socket }) {
        if (!isMember(socket)) throw new MembersOnlyError()
      },
      async publish ({ socket }) {
        if (!isMember(socket)) throw new MembersOnlyError()
      }
    })
  },

  /** SocketCluster's way: for code that is there already. */
  middleware (app) {
    const { scServer } = app
    const membersOnly = (req, next) => {
      if (req.channel === 'club' && !isMember(req.socket)) next(new MembersOnlyError())
      else next()
    }
    scServer.addMiddleware(scServer.MIDDLEWARE_SUBSCRIBE, membersOnly)
    scServer.addMiddleware(scServer.MIDDLEWARE_PUBLISH_IN, membersOnly)
  }
}

export async function start ({ port = 8000, logger = false, way = 'policy', secret = 'thirty-two bytes or more, and kept secret' } = {}) {
  const app = Fastify({ logger })
  await app.register(fastifyJwt, { secret })
  await app.register(scPlugin)
  ways[way](app)
  app.scEvent('join', {}, (_data, { socket }) => socket.setAuthToken({ member: true }))
  await app.listen({ port })
  return app
}
