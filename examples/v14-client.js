// A client of 2018 and one of today in one channel, on the same port. The server finds out which is which.
import Fastify from 'fastify'
import scPlugin from 'fastify-socketcluster'

export async function start ({ port = 8000, logger = false } = {}) {
  const app = Fastify({ logger })
  await app.register(scPlugin)
  app.scEvent('version', {}, (_data, { socket }) => socket.protocolVersion)
  await app.listen({ port })
  return app
}

/** socketcluster-client 14: callbacks. Resolves with the first `count` messages of the channel. */
export function listenAs14 (create, port, count) {
  const socket = create({ hostname: 'localhost', port, multiplex: false })
  const channel = socket.subscribe('chat')
  return new Promise((resolve, reject) => {
    const heard = []
    socket.on('error', reject)
    channel.watch((message) => {
      heard.push(message)
      if (heard.length < count) return
      socket.disconnect()
      resolve(heard)
    })
    channel.on('subscribe', () => socket.publish('chat', 'hello from 14', (err) => { if (err) reject(err) }))
  })
}

/** socketcluster-client 15 to 20: promises and streams. Resolves with the first `count` messages of the channel. */
export async function listenAs20 (create, port, count) {
  const socket = create({ hostname: 'localhost', port })
  const channel = socket.subscribe('chat')
  const heard = []
  const listening = (async () => {
    for await (const message of channel) {
      heard.push(message)
      if (heard.length === count) break
    }
  })()
  await channel.listener('subscribe').once()
  await socket.invokePublish('chat', 'hello from 20')
  await listening
  socket.disconnect()
  return heard
}
