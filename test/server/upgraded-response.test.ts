// What becomes of the response of an upgrade request when the upgrade is made.
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import t from 'tap'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

t.test('a connection does not keep the response of its upgrade', async (t) => {
  let response: ServerResponse | undefined
  const { port } = await serve(t, {}, (app) => app.addHook('onRequest', async (_request, reply) => { response = reply.raw }))
  const client = await RawClient.connect(t, port)
  t.equal(response?.socket, null)
  response?.end('nothing that a websocket could read')
  t.match(await client.call('nobody'), { error: { name: 'InvalidActionError' } }, 'what is written to it later is not sent')
})

t.test('whoever listens to the end of the response is told when the connection ends', async (t) => {
  const ended: Array<Promise<unknown>> = []
  const { port } = await serve(t, {}, (app) => app.addHook('onRequest', async (_request, reply) => { ended.push(once(reply.raw, 'close')) }))
  const client = await RawClient.connect(t, port)
  client.ws.close()
  await ended[0]
})

t.test('a hook may have freed the response itself', async (t) => {
  const { port } = await serve(t, {}, (app) => app.addHook('onRequest', async (request, reply) => { reply.raw.detachSocket(request.raw.socket) }))
  const client = await RawClient.connect(t, port)
  t.match(await client.call('nobody'), { error: { name: 'InvalidActionError' } })
})
