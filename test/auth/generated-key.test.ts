// A server that is given no key.
import Fastify from 'fastify'
import t from 'tap'
import { memoryBroker, scPlugin, type Broker } from '../../lib/index.js'
import { authKey } from '../helpers/serve.js'
import { bound } from '../helpers/slow-broker.js'

t.test('a random key is drawn with a warning, and refused for a shared broker', async (t) => {
  const lines: any[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } })
  t.teardown(() => app.close())
  await app.register(scPlugin)
  await app.ready()
  t.ok(lines.some(({ level, msg }) => level === 40 && /authKey/.test(msg)), 'a warning names the option')
  t.ok(typeof app.scServer.signatureKey === 'string' && app.scServer.signatureKey.length >= 32)

  const quiet = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } })
  t.teardown(() => quiet.close())
  lines.length = 0
  await quiet.register(scPlugin, { authKey })
  await quiet.ready()
  t.same(lines, [])

  const shared: Broker = { ...bound(memoryBroker()), shared: true }
  const clustered = Fastify()
  t.teardown(() => clustered.close())
  clustered.register(scPlugin, { broker: shared })
  await t.rejects(async () => clustered.ready(), { name: 'InvalidOptionsError', message: /authKey/ })
  const keyed = Fastify()
  t.teardown(() => keyed.close())
  keyed.register(scPlugin, { broker: shared, authKey })
  await keyed.ready()
})
