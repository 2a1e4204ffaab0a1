// The smallest server there is: one event with an answer.
//
// A client:
//   import { create } from 'socketcluster-client'
//   console.log(await create({ port: 8000 }).invoke('hello', 'Ada'))   // "Hello, Ada"
import Fastify from 'fastify'
import scPlugin from 'fastify-socketcluster'

export async function start ({ port = 8000, logger = false } = {}) {
  const app = Fastify({ logger })
  await app.register(scPlugin)

  app.scEvent('hello', { type: 'string' }, (name) => `Hello, ${name}`)

  await app.listen({ port })
  return app
}
