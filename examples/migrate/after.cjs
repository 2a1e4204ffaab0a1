// The same application on Fastify. Clients stay as they are; what is inside `connection` and the middleware did not change.
// The options of SocketCluster's server.js go to `register`: the same authKey accepts the tokens that clients have.
const Fastify = require('fastify')
const scPlugin = require('fastify-socketcluster')

async function start ({ port = 8000, logger = false, authKey = process.env.SC_AUTH_KEY } = {}) {
  const app = Fastify({ logger })
  await app.register(scPlugin, { authKey })
  const { scServer } = app

  app.get('/health', async () => ({ clients: scServer.clientsCount }))

  scServer.addMiddleware(scServer.MIDDLEWARE_PUBLISH_IN, (req, next) => {
    if (req.channel === 'announcements' && !req.socket.authToken) next(new Error('Log in first'))
    else next()
  })

  scServer.on('connection', (socket) => {
    socket.on('login', ({ username, password }, respond) => {
      if (password !== 'sesame') return respond('Login failed')
      socket.setAuthToken({ username })
      respond()
    })
    socket.on('announce', (text, respond) => {
      scServer.exchange.publish('announcements', { by: socket.authToken.username, text })
      respond(null, 'done')
    })
    socket.on('disconnect', () => app.log.info(`${socket.id} is gone`))
  })

  await app.listen({ port })
  return app
}

module.exports = { start }
