import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createAdapter } from '@socket.io/redis-adapter'
import { createAdapter as createStreamsAdapter } from '@socket.io/redis-streams-adapter'
import { Redis } from 'ioredis'
import { Server } from 'socket.io'
import { versionOf } from '../lib/versions.js'

export const dialect = 'socketio'
export const version = versionOf('socket.io')

export async function start ({ tls, deflate, redis, recovery }) {
  const http = tls ? createTlsServer(tls) : createServer()
  const io = new Server(http, {
    serveClient: false,
    transports: ['websocket'],
    perMessageDeflate: deflate ? { threshold: 0 } : false,
    ...(recovery ? { connectionStateRecovery: {}, adapter: createStreamsAdapter(new Redis(redis)) } : {})
  })
  if (redis && !recovery) io.adapter(createAdapter(new Redis(redis), new Redis(redis)))
  io.on('connection', (socket) => {
    socket.on('echo', (data, res) => res(data))
    socket.on('subscribe', (channel, res) => {
      socket.join(channel)
      res()
    })
  })
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve))
  return {
    port: http.address().port,
    publish: (channel, data) => io.to(channel).emit('publish', { channel, data }),
    connected: () => io.engine.clientsCount
  }
}
