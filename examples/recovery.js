// A channel that remembers: a client that was cut off gets what it missed, each message once and in order.
import Fastify from 'fastify'
import scPlugin from 'fastify-socketcluster'
import { Type } from 'typebox'

export async function start ({ port = 8000, logger = false, interval = 1_000 } = {}) {
  const app = Fastify({ logger })
  await app.register(scPlugin)

  app.scChannel('ticks', {
    message: Type.Object({ n: Type.Integer() }),
    clientPublish: false,
    history: { size: 100, ttl: 60_000 },
    recover: true
  })

  let n = 0
  const ticking = setInterval(() => { app.scServer.exchange.publish('ticks', { n: ++n }) }, interval)
  app.addHook('onClose', async () => clearInterval(ticking))

  // To see it: this ends the caller's connection as a bad network does.
  app.scEvent('cut me off', {}, (_data, { socket }) => { setImmediate(() => socket.disconnect(4100, 'as you wish')) })

  // The last messages, for pages that are loaded anew.
  app.get('/ticks', async () => {
    const { messages } = await app.scServer.exchange.history('ticks', { limit: 10 })
    return messages.map(({ data }) => data.n)
  })

  await app.listen({ port })
  return app
}
