// Who is in a room: users, not tabs. Whoever is cut off and comes back in time was never away.
import Fastify from 'fastify'
import scPlugin, { ScRefusal } from 'fastify-socketcluster'
import { Type } from 'typebox'

export async function start ({ port = 8000, logger = false, leaveDelay = 30_000 } = {}) {
  const app = Fastify({ logger })
  await app.register(scPlugin)

  app.scEvent('login', Type.Object({ name: Type.String({ pattern: '^\\w{1,20}$' }) }), async ({ name }, { socket }) => {
    await socket.setAuthToken({ sub: name })
  })

  // Clients subscribe to room/7, and to room/7#presence to see who is in it.
  app.scChannel('room/:id', {
    subscribe: ({ socket }) => { if (socket.authToken === null) throw new ScRefusal('log in first') },
    presence: {
      leaveDelay,
      data: () => ({ mood: 'fine' }),
      update: ({ data }) => {
        if (typeof data?.mood !== 'string' || data.mood.length > 20) throw new ScRefusal('what mood is that?')
        return { mood: data.mood }
      }
    }
  })

  app.get('/rooms/:id', async ({ params }) => {
    const { members, total } = await app.scServer.exchange.presence(`room/${params.id}`)
    return { total, users: members.map(({ key, data }) => `${key} (${data.mood})`) }
  })

  // The server hears of everybody who comes and leaves where it listens.
  app.scServer.exchange.subscribe('room/lobby#presence')
  app.scServer.on('join', (channel, { key }) => { app.log.info(`${key} came into ${channel}`) })
  app.scServer.on('leave', (channel, { key }) => { app.log.info(`${key} left ${channel}`) })

  await app.listen({ port })
  return app
}
