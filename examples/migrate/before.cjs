// The worker of a SocketCluster 14 application, as it was: `socketcluster create`, then this in `worker.js`.
const SCWorker = require('socketcluster/scworker')
const express = require('express')

class Worker extends SCWorker {
  run () {
    const { httpServer, scServer } = this

    const app = express()
    app.get('/health', (req, res) => res.json({ clients: scServer.clientsCount }))
    httpServer.on('request', app)

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
      socket.on('disconnect', () => console.log(`${socket.id} is gone`))
    })
  }
}

module.exports = new Worker()
