// The arithmetic of docs/scale-out.md: its tables are what these formulas give, and a cluster in one process counts the same.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Cluster } from '../../lib/cluster/cluster.js'
import type { Engine, EngineSession, OutboundFrame, SessionEvents } from '../../lib/broker/remote/engine.js'
import { BrokerLink } from '../../lib/broker/link.js'
import { RemoteBroker } from '../../lib/broker/remote/broker.js'
import { resolveRemoteOptions } from '../../lib/broker/remote/options.js'
import { bestOf, until } from '../helpers/waiting.js'

/** How many nodes have at least one of a channel's subscribers, when they are spread evenly. */
const nodesOfChannel = (nodes: number, subscribers: number): number => nodes * (1 - (1 - 1 / nodes) ** subscribers)

/** Seconds between the heartbeats of a node. */
const heartbeatInterval = (nodes: number): number => Math.max(2, nodes * 0.04)

/** Rooms of 20 with a message a second each, 10,000 sockets on a node. */
const rooms = { sockets: 10_000, size: 20, rate: 1 }
/** What one Redis process hands out in a second with room to spare, as a round number: `npm run bench:cluster` measures it. */
const redisFrames = 100_000

const text = (value: number): string => value.toLocaleString('en', { maximumSignificantDigits: value < 1000 ? 3 : 2 })

t.test('the table of sizes', async (t) => {
  const page = readFileSync(new URL('../../docs/scale-out.md', import.meta.url), 'utf8')
  for (const nodes of [1, 10, 100, 1000]) {
    const channels = nodes * rooms.sockets / rooms.size
    const published = channels * rooms.rate
    const copies = nodesOfChannel(nodes, rooms.size)
    const out = published * copies
    const beats = nodes ** 2 / heartbeatInterval(nodes)
    const cells = [
      nodes, nodes * rooms.sockets, published, copies, out, out / nodes, nodes === 1 ? 0 : beats, nodes === 1 ? 0 : Math.ceil((out + beats) / redisFrames)
    ]
    const row = `| ${cells.map(text).join(' | ')} |`
    t.ok(page.includes(row), `docs/scale-out.md has the row ${row}`)
  }
})

/** An engine in this process that counts what it carries. */
class CountingEngine implements Engine {
  readonly name = 'counting'
  readonly order = 'channel'
  readonly address = 'this process'
  framesIn = 0
  framesOut = 0
  readonly #topics = new Map<string, Set<SessionEvents>>()

  async load (): Promise<void> {}
  channelTopic (prefix: string, channel: string): string { return `${prefix}:c:${channel}` }
  nodeTopic (prefix: string, nodeId = ''): string { return `${prefix}:n:${nodeId}` }

  async open (events: SessionEvents): Promise<EngineSession> {
    const topics = this.#topics
    return {
      async subscribe (names) {
        for (const name of names) topics.set(name, (topics.get(name) ?? new Set()).add(events))
      },
      async unsubscribe (names) {
        for (const name of names) topics.get(name)?.delete(events)
      },
      publish: (frames) => { for (const frame of frames) this.#carry(frame) },
      close () {
        for (const sessions of topics.values()) sessions.delete(events)
      }
    }
  }

  #carry (frame: OutboundFrame): void {
    this.framesIn++
    for (const session of this.#topics.get(frame.topic) ?? []) {
      this.framesOut++
      session.message(frame.topic, frame.text)
    }
    frame.settle()
  }
}

/** Numbers from 0 to 1 that are the same in every run. */
function * randomNumbers (seed: number): Generator<number, never> {
  for (;;) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    yield seed / 2 ** 32
  }
}

function near (t: Test, found: number, expected: number, share: number, what: string): void {
  t.ok(Math.abs(found - expected) <= expected * share, `${what}: ${found.toFixed(2)}, by arithmetic ${expected.toFixed(2)}`)
}

t.test('a simulation: how many copies the engine makes, how many messages a frame carries', async (t) => {
  const random = randomNumbers(1)
  const below = (limit: number): number => Math.floor(random.next().value * limit)
  for (const nodes of [1, 10, 100, 1000]) {
    const engine = new CountingEngine()
    let deliveries = 0
    const received = new Array<number>(nodes).fill(0)
    const links = Array.from({ length: nodes }, (_, n) => new BrokerLink(new RemoteBroker(engine, resolveRemoteOptions('sizing', {}, [])), { node: { id: `n${n}`, prefix: 'sizing' } }, {
      publication () { received[n]!++ },
      state () {},
      gap () {},
      control () {},
      warning (err) { throw err }
    }))
    await Promise.all(links.map((link) => link.start()))
    const channels = 500
    const subscribers = Array.from({ length: channels }, () => Array.from({ length: rooms.size }, () => below(nodes)))
    await Promise.all(subscribers.flatMap((placed, channel) => [...new Set(placed)].map((node) => links[node]!.hold(`room/${channel}`))))

    engine.framesIn = engine.framesOut = 0
    for (let round = 0; round < 4; round++) {
      await Promise.all(subscribers.map((placed, channel) => {
        deliveries += placed.length
        return links[below(nodes)]!.publish(`room/${channel}`, '"hello"')
      }))
    }
    t.equal(engine.framesIn, 4 * channels, 'one message a turn is one frame')
    near(t, engine.framesOut / engine.framesIn, nodesOfChannel(nodes, rooms.size), 0.02, `${nodes} nodes, copies of a message`)
    t.equal(received.reduce((a, b) => a + b), engine.framesOut)
    t.equal(deliveries, 4 * channels * rooms.size)

    engine.framesIn = engine.framesOut = 0
    await Promise.all(Array.from({ length: 640 }, () => links[0]!.publish('room/0', '"hello"')))
    t.equal(engine.framesIn, 10, '64 messages of one turn and one channel are one frame')
    t.equal(engine.framesOut, 10 * new Set(subscribers[0]).size)
    await Promise.all(links.map((link) => link.stop()))
  }
})

t.test('a simulation: heartbeats', async (t) => {
  const engine = new CountingEngine()
  const count = 75
  const nodes = await Promise.all(Array.from({ length: count }, async (_, n) => {
    const link: BrokerLink = new BrokerLink(new RemoteBroker(engine, resolveRemoteOptions('sizing', {}, [])), { node: { id: `n${n}`, prefix: 'sizing' } }, {
      publication () {},
      state: (state) => cluster.state(state),
      gap () {},
      control: (message, from) => cluster.handle(message, from),
      warning (err) { throw err }
    })
    const cluster: Cluster = new Cluster(link, { nodeId: `n${n}`, onCommand: () => 1, localStats: () => ({ clients: 1 }) })
    await link.start()
    return { link, cluster }
  }))
  t.teardown(() => Promise.all(nodes.map(async ({ link, cluster }) => {
    cluster.stop()
    await link.stop()
  })))
  await until('everybody to know everybody', () => nodes.every(({ cluster }) => cluster.nodes.length === count))
  // The first interval of a node was set when it knew nobody.
  await sleep(2500)
  engine.framesIn = engine.framesOut = 0
  const { total } = await nodes[0]!.cluster.stats()
  t.strictSame(total, { clients: count }, 'everybody answers')
  const question = engine.framesIn
  t.equal(question, 1 + (count - 1), 'one question, and an answer of each of the others')
  // Beats that are late because this process was held up come in another interval.
  const isNear = (counted: number, expected: number): boolean => Math.abs(counted - expected) <= expected * 0.2
  const { framesIn, framesOut } = await bestOf(3, async () => {
    engine.framesIn = engine.framesOut = 0
    await sleep(heartbeatInterval(count) * 1000)
    return { framesIn: engine.framesIn, framesOut: engine.framesOut }
  }, ({ framesIn, framesOut }) => isNear(framesIn, count) && isNear(framesOut, count * count))
  near(t, framesIn, count, 0.2, 'heartbeats in an interval')
  near(t, framesOut, count * count, 0.2, 'copies of them')
  t.equal(nodes[7]!.cluster.nodes.length, count, 'and nobody was taken for dead')
})
