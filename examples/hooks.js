// Hooks count for the context they are added in and for those inside it, exactly as Fastify's own.
import Fastify from 'fastify'
import scPlugin, { ScRefusal } from 'fastify-socketcluster'

export async function start ({ port = 8000, logger = false, log = console.log } = {}) {
  const app = Fastify({ logger })
  await app.register(scPlugin)

  // For every event of every context, before its data is checked.
  app.scHook('emit', async ({ event }) => { log(`emit ${event}`) })
  // Replaces the message for everybody.
  app.scHook('publishIn', async (request) => { request.data = { ...request.data, at: Date.now() } })
  // Per recipient, on its own copy.
  app.scHook('publishOut', async (request) => { request.data.you = request.socket.id })

  app.scEvent('public', {}, () => 'for all')

  app.register(async (admin) => {
    admin.scHook('preHandler', async ({ socket }) => {
      if (socket.authToken?.role !== 'admin') throw new ScRefusal('For admins', { name: 'NotAllowedError' })
    })
    admin.scHook('onResponse', async ({ event, response }) => { log(`${event} answered ${response}`) })
    admin.scHook('onError', async ({ event, error }) => { log(`${event} failed: ${error.message}`) })

    admin.scEvent('restart', {
      data: { type: 'string' },
      // The event's own hooks run last.
      preHandler: async (request) => { request.data = request.data.toUpperCase() }
    }, (part) => `restarted ${part}`)
  })

  app.scEvent('become admin', {}, (_data, { socket }) => socket.setAuthToken({ role: 'admin' }))

  await app.listen({ port })
  return app
}
