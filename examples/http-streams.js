// Streams over HTTP: a shell listens with curl, a page with EventSource, and both get what they missed when they come back.
//
//   curl -N 'localhost:8000/realtime/stream?channel=headlines'
//   curl localhost:8000/headlines -H 'content-type: application/json' -d '{ "text": "It works" }'
//
// http://localhost:8000 logs in, and listens to a channel for members too. An EventSource sends no token, so the page gets a ticket.
import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import scPlugin, { ScRefusal } from 'fastify-socketcluster'
import scHttp from 'fastify-socketcluster/http'

const page = `<!doctype html><meta charset="utf-8"><title>Headlines</title><ul></ul><script type="module">
const { token } = await (await fetch('/login', { method: 'POST' })).json()
let lastEventId = ''

async function listen () {
  const answer = await fetch('/realtime/stream/ticket', { method: 'POST', headers: { authorization: 'Bearer ' + token } })
  const { ticket } = await answer.json()
  const query = new URLSearchParams([['channel', 'headlines'], ['channel', 'gossip'], ['ticket', ticket], ['lastEventId', lastEventId]])
  const source = new EventSource('/realtime/stream?' + query)
  source.onmessage = (event) => {
    lastEventId = event.lastEventId
    const { channel, data } = JSON.parse(event.data)
    show(channel + ': ' + data.text)
  }
  source.addEventListener('gap', ({ data }) => show(JSON.parse(data).channel + ': some are missing'))
  source.onerror = () => {
    // A ticket is good for one stream.
    source.close()
    setTimeout(() => listen().catch(source.onerror), 2000 + Math.random() * 3000)
  }
}

function show (text) {
  document.querySelector('ul').append(Object.assign(document.createElement('li'), { textContent: text }))
}

await listen()
</script>`

export async function start ({ port = 8000, logger = false, secret = 'thirty-two bytes or more, and kept secret' } = {}) {
  const app = Fastify({ logger })
  await app.register(fastifyJwt, { secret })
  await app.register(scPlugin)

  app.scChannel('headlines', { history: { size: 100 }, recover: true, clientPublish: false })
  app.scChannel('gossip', { history: { size: 100 }, recover: true, clientPublish: false })

  // Counts for websockets and for streams.
  app.scHook('subscribe', async ({ channel, socket }) => {
    if (channel === 'gossip' && socket.authToken === null) throw new ScRefusal('For members', { name: 'NotAuthenticatedError' })
  })

  await app.register(scHttp, {
    prefix: '/realtime',
    streams: true,
    // The hook decides who may listen to what. Nothing else is open to the world.
    authorize: (_request, { operation }) => operation === 'stream' || operation === 'streamTicket'
  })

  const schema = { body: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] } }
  for (const channel of ['headlines', 'gossip']) {
    app.post(`/${channel}`, { schema }, async ({ body }, reply) => {
      await app.scServer.exchange.publish(channel, body)
      return await reply.code(204).send()
    })
  }
  // A real application asks for a password.
  app.post('/login', async () => ({ token: app.jwt.sign({ sub: 'ada' }, { expiresIn: '1h' }) }))
  app.get('/', async (_request, reply) => await reply.type('text/html').send(page))

  await app.listen({ port })
  return app
}
