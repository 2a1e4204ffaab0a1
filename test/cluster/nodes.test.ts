import t from 'tap'
import { once, EventEmitter } from 'node:events'
import type { Broker, BrokerState } from '../../types/broker.js'
import { Cluster, type ClusterOptions } from '../../lib/cluster/cluster.js'
import { BrokerLink } from '../../lib/broker/link.js'
import { memoryBroker } from '../../lib/broker/memory.js'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { startNats, startRedis } from '../helpers/servers.js'
import { Stopwatch } from '../helpers/stopwatch.js'
import { patience } from '../helpers/waiting.js'

interface Counts { clients: number, closes: Record<string, number> }

/** A node as a server makes it: a link and a cluster that talk to each other. */
async function startNode (t: { teardown (fn: () => Promise<void>): void }, id: string, broker: Broker, options: Partial<ClusterOptions<Counts>> = {}) {
  const events = new EventEmitter()
  const commands: unknown[] = []
  const warnings: Error[] = []
  const link: BrokerLink = new BrokerLink(broker, { node: { id, prefix: 'nodes' } }, {
    publication () {},
    state (state) {
      cluster.state(state)
      events.emit('state')
    },
    gap () {},
    control (message, fromNode) { cluster.handle(message, fromNode) },
    warning (err) { warnings.push(err) }
  })
  const cluster: Cluster<Counts> = new Cluster<Counts>(link, {
    nodeId: id,
    onCommand (command, fromNode) {
      commands.push([command, fromNode])
      if (command === 'fail') throw new Error(`${id} failed`)
      return `${id} did`
    },
    localStats: () => ({ clients: Number(id.slice(1)), closes: { 1000: 1, [id]: 2 } }),
    onNodes: () => events.emit('nodes'),
    onWarning: (err) => warnings.push(err),
    // Leases last 3.5 of them: a node is not to be missed because this process was held up.
    heartbeatInterval: 500,
    answerTimeout: 5000,
    ...options
  })
  await link.start()
  const stop = async () => {
    cluster.stop()
    await link.stop()
  }
  t.teardown(stop)
  return { id, link, cluster, commands, warnings, events, stop }
}

type TestNode = Awaited<ReturnType<typeof startNode>>

async function knows (node: TestNode, count: number) {
  while (node.cluster.nodes.length !== count) await once(node.events, 'nodes', { signal: AbortSignal.timeout(patience) })
}

async function reaches (node: TestNode, state: BrokerState) {
  while (node.link.state !== state) await once(node.events, 'state', { signal: AbortSignal.timeout(patience) })
}

t.test('a broker inside the process: one node, no timer, commands run at once', async (t) => {
  const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const node = await startNode(t, 'n1', memoryBroker())
  const answers = node.cluster.broadcast('x')
  t.strictSame(node.commands, [['x', 'n1']], 'done when broadcast returns')
  t.strictSame(await answers, { answers: [{ id: 'n1', value: 'n1 did' }], missing: [] })
  t.strictSame(await node.cluster.broadcast('fail'), { answers: [{ id: 'n1', error: 'n1 failed' }], missing: [] })
  t.strictSame(await node.cluster.stats(), { nodes: [{ id: 'n1', clients: 1, closes: { 1000: 1, n1: 2 } }], total: { clients: 1, closes: { 1000: 1, n1: 2 } }, missing: [] })
  t.strictSame(node.cluster.nodes, ['n1'])
  t.equal(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length, before)
})

for (const engine of ['redis', 'nats'] as const) {
  t.test(engine, async (t) => {
    const server = await (engine === 'redis' ? startRedis(t) : startNats(t))
    if (server === null) return t.plan(0, `${engine}-server is not installed`)
    const make = (): Broker => engine === 'redis'
      ? redisBroker({ url: `redis://127.0.0.1:${server.port}`, maxRetryDelay: 100 })
      : natsBroker({ servers: `127.0.0.1:${server.port}`, maxRetryDelay: 100 })
    const nodes = await Promise.all(['n1', 'n2', 'n3'].map((id) => startNode(t, id, make())))
    const [a, b, c] = nodes as [TestNode, TestNode, TestNode]

    await t.test('nodes find each other; commands and statistics go to all', async (t) => {
      for (const node of nodes) await knows(node, 3)
      const { answers, missing } = await a.cluster.broadcast({ kick: 'é' })
      t.strictSame([...answers].sort((x, y) => x.id < y.id ? -1 : 1), ['n1', 'n2', 'n3'].map((id) => ({ id, value: `${id} did` })))
      t.equal(answers[0]!.id, 'n1')
      t.strictSame(missing, [])
      for (const node of nodes) t.strictSame(node.commands, [[{ kick: 'é' }, 'n1']])
      const failed = await b.cluster.broadcast('fail')
      t.strictSame(failed.answers.map(({ error }) => error).sort(), ['n1 failed', 'n2 failed', 'n3 failed'])
      const stats = await c.cluster.stats()
      t.strictSame(stats.nodes.map(({ id }) => id).sort(), ['n1', 'n2', 'n3'])
      t.strictSame(stats.total, { clients: 6, closes: { 1000: 3, n1: 2, n2: 2, n3: 2 } })
    })

    await t.test('questions at the same time do not mix', async (t) => {
      const all = await Promise.all(Array.from({ length: 50 }, (_, i) => i % 2 === 0 ? a.cluster.stats() : b.cluster.stats()))
      for (const stats of all) t.equal(stats.total.clients, 6)
    })

    await t.test('what cannot be read is a warning', async (t) => {
      await a.link.control('not json')
      await a.link.control('{"t":"ask","id":"1"}')
      await a.link.control('null')
      await a.cluster.stats()
      t.equal(b.warnings.length, 3)
      b.warnings.length = c.warnings.length = 0
    })

    await t.test('a node that says goodbye is gone at once', async () => {
      await c.stop()
      await Promise.all([knows(a, 2), knows(b, 2)])
    })

    await t.test('a node that falls silent is missing until its lease is over, then left out', async (t) => {
      // Its engine connection works, but nobody beats its heart or answers: a process that hangs.
      const silent = new BrokerLink(make(), { node: { id: 'n9', prefix: 'nodes' } }, { publication () {}, state () {}, gap () {}, control () {}, warning () {} })
      await silent.start()
      t.teardown(() => silent.stop())
      await silent.control('{"t":"hello"}')
      await knows(a, 3)
      const watch = new Stopwatch()
      const stats = await a.cluster.stats()
      t.strictSame([stats.nodes.map(({ id }) => id), stats.missing], [['n1', 'n2'], []], 'left out when the lease ended, without waiting for the time limit')
      t.ok(watch.stop() < 4_000)
      t.strictSame(a.cluster.nodes, ['n1', 'n2'])
    })

    await t.test('an outage: commands are refused after they ran here, statistics are of this node; afterwards all is well', async (t) => {
      await server.kill()
      await Promise.all([reaches(a, 'down'), reaches(b, 'down')])
      a.commands.length = 0
      await t.rejects(a.cluster.broadcast('x'), { name: 'BrokerError' })
      t.strictSame(a.commands, [['x', 'n1']])
      const stats = await a.cluster.stats()
      t.strictSame([stats.nodes.map(({ id }) => id), stats.missing], [['n1'], ['n2']])
      await server.restart()
      await Promise.all([reaches(a, 'up'), reaches(b, 'up')])
      await Promise.all([knows(a, 2), knows(b, 2)])
      t.equal((await a.cluster.stats()).total.clients, 3)
      t.strictSame([a.warnings, b.warnings], [[], []])
    })
  })
}

t.test('how long a node may be silent is not for the node alone to say', async (t) => {
  let beats = 0
  const broker: Broker = {
    name: 'fake',
    shared: true,
    async start (sink) { sink.state('up') },
    async subscribe () {},
    async unsubscribe () {},
    async publish () {},
    async control (message) { if (message.includes('"every"')) beats++ },
    async stop () {}
  }
  const { cluster } = await startNode(t, 'n1', broker, { heartbeatInterval: 20 })
  const { now } = performance
  let time = now.call(performance)
  performance.now = () => time
  t.teardown(() => { performance.now = now })
  const says = (node: string, every: number): void => { cluster.handle(JSON.stringify({ t: 'beat', every }), node) }
  /** Until three beats have looked who is silent. */
  const silent = async (): Promise<void> => {
    const enough = beats + 3
    const looked = (): boolean => beats >= enough
    while (!looked()) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  for (const [i, every] of [-5, 0, Number.MIN_VALUE].entries()) says(`short${i}`, every)
  await silent()
  t.same(cluster.nodes, ['n1', 'short0', 'short1', 'short2'], 'no time at all has passed')
  for (const [i, every] of [1e300, 1e9, Number.MAX_SAFE_INTEGER].entries()) says(`long${i}`, every)
  time += 1_000
  await silent()
  t.same(cluster.nodes, ['n1', 'long0', 'long1', 'long2'], 'a second is a long time for who is heard all the time')
  time += 300_000
  await silent()
  t.same(cluster.nodes, ['n1'], 'and five minutes for anybody')
})
