import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { versionOf } from '../lib/versions.js'
import { serve } from './ws.js'

export const dialect = 'json'
export const version = versionOf('@fastify/websocket')

/** What an application writes by hand on @fastify/websocket: the same code as on bare ws, inside a route. */
export async function start ({ tls, deflate }) {
  const app = Fastify(tls ? { https: tls } : {})
  await app.register(websocket, { options: { perMessageDeflate: deflate ? { threshold: 0 } : false } })
  const channels = new Map()
  app.get('/', { websocket: true }, (ws) => serve(ws, channels))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const publish = (channel, data) => {
    const text = JSON.stringify({ event: '#publish', data: { channel, data } })
    for (const ws of channels.get(channel) ?? []) ws.send(text)
  }
  return { port: app.server.address().port, publish, connected: () => app.websocketServer.clients.size }
}
