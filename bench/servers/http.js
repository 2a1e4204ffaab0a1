import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import { Type } from 'typebox'
import { scHttp } from '../../dist/lib/http/index.js'
import scPlugin from '../../dist/lib/index.js'
import { versionOf } from '../lib/versions.js'

export const dialect = 'socketcluster2'
export const version = versionOf('fastify-socketcluster')

const data = Type.Object({ room: Type.String(), text: Type.String({ maxLength: 100 }), n: Type.Integer(), tags: Type.Array(Type.String()) })
const response = Type.Object({ id: Type.String(), room: Type.String(), at: Type.Number() })
const authKey = 'a key for the benchmark, and for nothing else'

const answer = async ({ room }) => ({ id: 'abc', room, at: 5 })

/**
 * Routes of Fastify beside events over HTTP that do the same, with the same schemas and the same handler; and streams. All limits are on,
 * but one client of the load stands for many.
 */
export async function start () {
  const app = Fastify()
  await app.register(fastifyJwt, { secret: authKey })
  await app.register(scPlugin, { authKey, inboundRate: 1e9, inboundBurst: 1e9 })
  const schema = { body: data, response: { 200: response } }
  app.post('/plain', { schema }, (request) => answer(request.body))
  app.post('/plain-token', { schema, onRequest: (request) => request.jwtVerify() }, (request) => answer(request.body))
  app.get('/token', () => app.jwt.sign({ sub: 'user-1' }))
  app.scEvent('event', { http: true, data, response }, answer)
  await app.register(scHttp, { authorize: ({ ip }, { operation }) => ip === '127.0.0.1' && operation === 'stream', streams: { maxStreams: 0, maxStreamsPerKey: 0 } })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    port: app.server.address().port,
    publish: (channel, data) => { app.scServer.exchange.publish(channel, data) }
  }
}
