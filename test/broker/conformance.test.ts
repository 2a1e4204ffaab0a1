import t from 'tap'
import type { Broker, BrokerSink } from '../../types/broker.js'
import { memoryBroker } from '../../lib/broker/memory.js'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { brokerSuite } from '../../lib/testing/broker-suite.js'
import { startJetStream, startNats, startRedis } from '../helpers/servers.js'

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

t.test('nats with histories', async (t) => {
  const server = await startJetStream(t)
  if (server === null) return t.plan(0, 'nats-server is not installed')
  // Each case has a stream of its own, and JetStream sets the memory of all of them aside.
  const create = () => natsBroker({ servers: `127.0.0.1:${server.port}`, history: { maxBytes: 16 * 1024 * 1024 } })
  for (const { name, run } of brokerSuite({ create, outage: { down: () => server.kill(), up: () => server.restart() } })) await t.test(name, run)
})

/** Nodes in one process whose own messages overtake those of others: two nodes see two orders. */
class MixingBroker implements Broker {
  static nodes = new Set<MixingBroker>()
  readonly name = 'mixing'
  readonly shared = true
  readonly #subscribed = new Set<string>()
  #sink: BrokerSink | null = null

  constructor (readonly order: 'channel' | 'publisher' | undefined) {}

  start (sink: BrokerSink) {
    this.#sink = sink
    MixingBroker.nodes.add(this)
    sink.state('up')
  }

  subscribe (channels: readonly string[]) { for (const channel of channels) this.#subscribed.add(channel) }
  unsubscribe (channels: readonly string[]) { for (const channel of channels) this.#subscribed.delete(channel) }
  receive (channel: string, data: string) { if (this.#subscribed.has(channel)) this.#sink?.publication(channel, data) }
  control () {}

  publish (channel: string, data: string) {
    this.receive(channel, data)
    for (const other of MixingBroker.nodes) if (other !== this) setImmediate(() => other.receive(channel, data))
  }

  stop () {
    this.#sink = null
    MixingBroker.nodes.delete(this)
  }
}

t.test('a broker is held to the order that it states, and to no other', async (t) => {
  const order = (stated: 'channel' | 'publisher' | undefined) => brokerSuite({ create: () => new MixingBroker(stated) }).find(({ name }) => name.startsWith('the order of each publisher'))!
  await order('publisher').run()
  await order(undefined).run()
  await t.rejects(order('channel').run(), /one order on every node/)
  t.equal(memoryBroker().order, 'channel')
  t.equal(redisBroker().order, 'channel')
  t.equal(natsBroker().order, 'publisher')
})
