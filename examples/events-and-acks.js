// Events from clients and from the server, and what comes back: answers, errors, or nothing.
import Fastify from 'fastify'
import scPlugin, { ScRefusal } from 'fastify-socketcluster'
import { Type } from 'typebox'

export async function start ({ port = 8000, logger = false } = {}) {
  const app = Fastify({ logger })
  await app.register(scPlugin)
  let stock = 3

  // Declared: data is checked before the handler runs, and the answer is what it returns.
  app.scEvent('order', {
    data: Type.Object({ count: Type.Integer({ minimum: 1 }) }, { additionalProperties: false }),
    response: Type.Object({ left: Type.Integer() })
  }, async ({ count }) => {
    // A refusal is for the client; the text of any other error stays in the log.
    if (count > stock) throw new ScRefusal(`Only ${stock} left`, { name: 'OutOfStockError', left: stock })
    stock -= count
    return { left: stock }
  })

  // A mistake in a handler: the client gets "Internal error" with an id, which is in the log line too.
  app.scEvent('broken', {}, () => { throw new Error('password of the database: …') })

  app.scServer.on('connection', (socket) => {
    // SocketCluster's own way: `res(error)` or `res(null, data)`.
    socket.on('stock', (_data, res) => res(null, stock))
    // An async listener may simply return its answer.
    socket.on('double', async (n) => n * 2)
    // Sent without waiting for an answer, on either side.
    socket.on('note', (text) => socket.transmit('noted', text.length))
    // The server asks the client, and gets the client's answer.
    socket.on('ask me', async () => {
      const color = await socket.invoke('favourite color', undefined, { timeout: 1_000 })
      return `You like ${color}`
    })
  })

  await app.listen({ port })
  return app
}
