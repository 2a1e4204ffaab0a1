import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { WebSocketServer } from 'ws'
import { versionOf } from '../lib/versions.js'

export const dialect = 'json'
export const version = versionOf('ws')

/** The least a server of events and channels can be: `JSON.parse`, `JSON.stringify`, `send`, nothing else. */
export async function start ({ tls, deflate }) {
  const http = tls ? createTlsServer(tls) : createServer()
  const wss = new WebSocketServer({ server: http, perMessageDeflate: deflate ? { threshold: 0 } : false })
  const channels = new Map()
  const publish = (channel, data) => {
    const text = JSON.stringify({ event: '#publish', data: { channel, data } })
    for (const ws of channels.get(channel) ?? []) ws.send(text)
  }
  wss.on('connection', (ws) => serve(ws, channels))
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve))
  return { port: http.address().port, publish, connected: () => wss.clients.size }
}

/** One connection; `servers/fastify-websocket.js` has the same one. */
export function serve (ws, channels) {
  const mine = []
  ws.on('message', (message) => {
    const { event, data, cid } = JSON.parse(message)
    if (event === '#subscribe') {
      const { channel } = data
      let subscribers = channels.get(channel)
      if (subscribers === undefined) channels.set(channel, subscribers = new Set())
      subscribers.add(ws)
      mine.push(channel)
    }
    ws.send(JSON.stringify({ rid: cid, data }))
  })
  ws.on('close', () => {
    for (const channel of mine) {
      const subscribers = channels.get(channel)
      subscribers.delete(ws)
      if (subscribers.size === 0) channels.delete(channel)
    }
  })
}
