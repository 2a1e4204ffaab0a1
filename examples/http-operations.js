// Operations over HTTP: a line of curl publishes, and one tells who is there.
//
//   curl localhost:8000/operator/publish -H 'authorization: Bearer change me' -H 'content-type: application/json' -d '{ "channel": "news", "data": "It works" }'
//   curl localhost:8000/operator/sockets -H 'authorization: Bearer change me'
import { timingSafeEqual } from 'node:crypto'
import Fastify from 'fastify'
import scPlugin, { ScRefusal } from 'fastify-socketcluster'
import scHttp from 'fastify-socketcluster/http'

export async function start ({ port = 8000, logger = false, key = process.env.OPERATOR_KEY ?? 'change me' } = {}) {
  const app = Fastify({ logger })
  await app.register(scPlugin)
  app.scChannel('news', { message: { type: 'string' }, history: { size: 10 }, clientPublish: false })

  await app.register(scHttp, {
    prefix: '/operator',
    principal: () => 'operator',
    authorize (request, operation) {
      if (!isEqual(request.headers.authorization, `Bearer ${key}`)) throw new ScRefusal('The key is wrong', { statusCode: 401 })
      // Not even the operator may close all connections with one line.
      return operation.operation !== 'disconnect' || Object.keys(operation.filter).length !== 0
    }
  })
  await app.listen({ port })
  return app
}

function isEqual (given = '', wanted) {
  const [left, right] = [Buffer.from(given), Buffer.from(wanted)]
  return left.length === right.length && timingSafeEqual(left, right)
}
