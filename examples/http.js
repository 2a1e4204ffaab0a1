// One declaration, called over the websocket and over HTTP: the same schema, hooks, rights and handler.
import Fastify from 'fastify'
import scPlugin, { ScRefusal } from 'fastify-socketcluster'

export async function start ({ port = 8000, logger = false, authKey } = {}) {
  const app = Fastify({ logger })
  await app.register(scPlugin, { authKey })

  const stock = new Map([['tea', 5]])

  app.register(async (shop) => {
    // Counts for both ways in.
    shop.scHook('preHandler', async ({ socket }) => {
      if (socket.authToken === null) throw new ScRefusal('Log in first', { name: 'NotAuthenticatedError' })
    })

    // POST /shop/events/order
    shop.scEvent('order', {
      summary: 'Order some of an article',
      tags: ['shop'],
      http: true,
      data: { type: 'object', properties: { article: { type: 'string' }, count: { type: 'integer', minimum: 1 } }, required: ['article', 'count'] },
      response: { type: 'object', properties: { left: { type: 'integer' }, by: { type: 'string' } } },
      errors: { OutOfStockError: { type: 'object', properties: { left: { type: 'integer' } } } }
    }, async ({ article, count }, { socket }) => {
      const left = stock.get(article) ?? 0
      if (left < count) throw Object.assign(new Error(`Only ${left} left`), { name: 'OutOfStockError', left, statusCode: 409 })
      stock.set(article, left - count)
      // Everybody hears of it, whichever way the order came.
      await socket.exchange.publish('stock', { article, left: left - count })
      return { left: left - count, by: socket.transport }
    })

    // PUT /shop/stock
    shop.scEvent('restock', { http: { method: 'PUT', url: '/stock' }, data: { type: 'object', additionalProperties: { type: 'integer' } } }, async (counts) => {
      for (const [article, count] of Object.entries(counts)) stock.set(article, count)
    })
  }, { prefix: '/shop' })

  await app.listen({ port })
  return app
}
