import Fastify from 'fastify'
import { Type } from 'typebox'
import { natsBroker } from '../../dist/lib/broker/nats/index.js'
import { redisBroker } from '../../dist/lib/broker/redis/index.js'
import scPlugin from '../../dist/lib/index.js'
import { versionOf } from '../lib/versions.js'

export const dialect = 'socketcluster2'
export const version = versionOf('fastify-socketcluster')

const text = Type.Object({ n: Type.Integer(), text: Type.String({ maxLength: 100 }) })

/** All limits are on; the rates are raised, because one client of the load stands for many of an application. */
export async function start ({ tls, deflate, redis, nats, recovery, presence }) {
  const app = Fastify(tls ? { https: tls } : {})
  await app.register(scPlugin, {
    perMessageDeflate: deflate ? { threshold: 0 } : false,
    pingTimeoutDisabled: deflate === true, // the load cannot tell a compressed ping from a message
    inboundRate: 1e9,
    inboundBurst: 1e9,
    maxConnections: 20_000,
    broker: redis ? redisBroker({ url: `redis://127.0.0.1:${redis}` }) : nats ? natsBroker({ servers: `127.0.0.1:${nats}` }) : undefined,
    authKey: 'a key for the benchmark, and for nothing else'
  })
  app.scServer.on('connection', (socket) => {
    socket.on('echo', (data, res) => res(null, data))
  })
  app.register(async (inside) => {
    inside.scHook('preHandler', () => {})
    inside.scHook('preHandler', () => {})
    inside.scEvent('declared', { data: text, response: text }, (data) => data)
  })
  app.register(async (inside) => {
    inside.scHook('preHandler', async () => {})
    inside.scHook('preHandler', async () => {})
    inside.scEvent('declared-async', { data: text, response: text }, async (data) => data)
  })
  if (recovery) app.scChannel('room/:id', { history: { size: 1_000 }, recover: true })
  if (presence) {
    app.scChannel('plain/:id', {})
    app.scChannel('room/:id', { presence: { key: ({ socket }) => socket.request.url.split('user=')[1] ?? null } })
  }
  await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    port: app.server.address().port,
    publish: (channel, data) => { app.scServer.exchange.publish(channel, data) },
    connected: () => app.scServer.clientsCount
  }
}
