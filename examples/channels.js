// Channels: a pattern with parameters, checked messages, and who may do what.
import Fastify from 'fastify'
import scPlugin, { ScRefusal } from 'fastify-socketcluster'
import { Type } from 'typebox'

export async function start ({ port = 8000, logger = false } = {}) {
  const app = Fastify({ logger })
  // Names that are not declared here are refused.
  await app.register(scPlugin, { channels: 'declared' })

  // Anybody may listen, only the server speaks.
  app.scChannel('news', { message: Type.Object({ title: Type.String() }), clientPublish: false })

  app.scChannel('room/:id', {
    params: Type.Object({ id: Type.String({ pattern: '^[a-z]+$' }) }),
    message: Type.Object({ text: Type.String({ maxLength: 200 }), whisperTo: Type.Optional(Type.String()) }),
    async subscribe ({ params, data }) {
      if (params.id === 'cellar' && data?.password !== 'please') throw new ScRefusal('The cellar needs the password')
    },
    async publish ({ data }) {
      if (data.text.includes('!!!')) throw new ScRefusal('No shouting')
    },
    // Asked for each recipient, on its own copy: it may be left out, or get something else.
    deliver ({ socket, data }) {
      if (data.whisperTo !== undefined && data.whisperTo !== socket.id) throw new ScRefusal('Not for you')
    }
  })

  app.scEvent('headline', Type.String(), async (title) => {
    await app.scServer.exchange.publish('news', { title })
  })

  // The server may listen too.
  const seen = []
  const lounge = app.scServer.exchange.subscribe('room/lounge')
  lounge.watch((message) => { seen.push(message.text) })
  app.scEvent('seen in the lounge', {}, () => seen)

  await app.listen({ port })
  return app
}
