import t from 'tap'
import { memoryBroker } from '../../lib/broker/memory.js'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { brokerSuite } from '../../lib/testing/broker-suite.js'
import { startNats, startRedis } from '../helpers/servers.js'

t.test('memory', async (t) => {
  for (const { name, run } of brokerSuite({ create: () => memoryBroker() })) await t.test(name, run)
})

t.test('redis', async (t) => {
  const server = await startRedis(t)
  if (server === null) return t.plan(0, 'redis-server is not installed')
  const create = () => redisBroker({ url: `redis://127.0.0.1:${server.port}` })
  for (const { name, run } of brokerSuite({ create, outage: { down: () => server.kill(), up: () => server.restart() } })) await t.test(name, run)
})

t.test('nats', async (t) => {
  const server = await startNats(t)
  if (server === null) return t.plan(0, 'nats-server is not installed')
  const create = () => natsBroker({ servers: `127.0.0.1:${server.port}` })
  for (const { name, run } of brokerSuite({ create, outage: { down: () => server.kill(), up: () => server.restart() } })) await t.test(name, run)
})
