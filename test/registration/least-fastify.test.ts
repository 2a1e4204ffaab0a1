// The least Fastify that package.json asks for.
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import type Fastify from 'fastify'
import t from 'tap'
import { scPlugin } from '../../lib/index.js'
import { generations } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { authKey } from '../helpers/serve.js'

const require = createRequire(import.meta.url)
const least = require('fastify-least') as typeof Fastify
const { version } = require('fastify-least/package.json') as { version: string }
const { peerDependencies } = require('../../package.json') as { peerDependencies: { fastify: string } }

t.test('it is the one of package.json', async (t) => {
  t.equal(peerDependencies.fastify, `^${version}`)
})

for (const lifecycle of ['own', 'request'] as const) {
  t.test(`clients of both generations, with lifecycle: '${lifecycle}'`, async (t) => {
    const app = least()
    t.teardown(() => app.close())
    await app.register(scPlugin, { authKey, lifecycle })
    app.scEvent('next', { data: { type: 'integer' }, response: { type: 'integer' } }, (n) => (n as number) + 1)
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo
    for (const [, connect] of generations) {
      const client = await connect(t, { port })
      t.equal(await client.call('next', 1), 2)
      await t.rejects(client.call('next', 'one'), { name: 'ValidationError' })
      await client.subscribe('news')
      await client.publish('news', 'hi')
      t.equal(await client.next('news'), 'hi')
      await client.close()
    }
  })
}

t.test('a hook that hangs is answered, and does not hold up the end', async (t) => {
  const app = least()
  t.teardown(() => app.close())
  await app.register(scPlugin, { authKey, handshakeTimeout: 200 })
  app.addHook('onRequest', () => new Promise<void>(() => {}))
  await app.listen({ port: 0, host: '127.0.0.1' })
  await t.rejects(RawClient.open(t, (app.server.address() as AddressInfo).port), /Unexpected server response: 503/)
  await app.close()
})
