// What histories in an engine promise, whichever it is: what clients get when a node, a link or the engine fails.
import t, { type Test } from 'tap'
import type { RemoteBrokerOptions } from '../../lib/broker/remote/options.js'
import type { Broker, ScPluginOptions } from '../../lib/index.js'
import { generations } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import type { TestServer } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'
import { history, impatient, join, numbers, proxyOf, publish, recover } from './several-nodes.js'

/** An engine that keeps histories. */
export interface HistoryEngine {
  readonly name: string
  /** Starts an engine of the test's own; `null` where it is not installed. */
  readonly start: (t: Test) => Promise<TestServer | null>
  readonly broker: (port: number, options?: RemoteBrokerOptions) => Broker
}

type Connect = (typeof generations)[number][1]
type Node = Awaited<ReturnType<typeof historyNode>>

/** What a case works with. */
interface CaseTools {
  readonly engine: TestServer
  /** Starts a node: with the engine's own port, or that of a proxy in front of it. */
  readonly node: (port?: number, options?: ScPluginOptions, broker?: RemoteBrokerOptions) => Promise<Node>
  readonly connect: Connect
}

interface EngineCase {
  readonly name: string
  /** Whether it is run with clients of both generations. */
  readonly perGeneration?: boolean
  readonly run: (t: Test, tools: CaseTools) => Promise<void>
}

/** Starts a node with the channels of these tests. */
export function historyNode (t: Test, broker: Broker, options: ScPluginOptions = {}) {
  return serve(t, { broker, inboundRate: 0, brokerPrefix: 'history', gapEvent: 'gap', ...options }, (app) => {
    app.scChannel('room/:id', { history, recover })
    app.scChannel('kept', { history })
  })
}

/** Runs a test with an engine of its own. */
export function withEngine ({ name: engine, start }: Pick<HistoryEngine, 'name' | 'start'>, name: string, run: (t: Test, server: TestServer) => Promise<void>): void {
  t.test(name, async (t) => {
    const server = await start(t)
    if (server === null) return t.plan(0, `the server of ${engine} is not installed`)
    await run(t, server)
  })
}

/** Runs all cases. */
export function runEngineCases (engine: HistoryEngine): void {
  for (const { name, perGeneration = false, run } of cases) {
    for (const [generation, connect] of perGeneration ? generations : generations.slice(0, 1)) {
      withEngine(engine, perGeneration ? `client ${generation}: ${name}` : name, (t, server) => run(t, {
        engine: server,
        node: (port = server.port, options, broker) => historyNode(t, engine.broker(port, broker), options),
        connect
      }))
    }
  }
}

const down = (...nodes: Node[]): Promise<void> => until('the loss of the engine', () => nodes.every(({ sc }) => sc.stats().broker.state === 'down'))
const dataOf = async ({ sc }: Node, channel: string, query?: { since?: string, limit?: number }): Promise<unknown[]> => (await sc.exchange.history(channel, query)).messages.map(({ data }) => data)

const cases: readonly EngineCase[] = [
  {
    name: 'who comes back to another node misses nothing',
    perGeneration: true,
    run: async (t, { node, connect }) => {
      const [a, b, publisher] = [await node(), await node(), await node()]
      const front = await proxyOf(t, a.port)
      const seen = await join(t, connect, front.port)
      await publish(publisher.sc, 1, 600, async (n) => {
        if (n % 100 !== 50) return
        // Back, and in the channel, from the time before.
        await until('the client', () => seen.client.isSubscribed('room/1'))
        front.target = front.target === a.port ? b.port : a.port
        front.cut()
      })
      await until(() => `600 messages, got ${seen.events.length}`, () => seen.messages().length >= 600)
      t.strictSame(seen.messages(), numbers(1, 600))
      t.strictSame([seen.disconnects, seen.others()], [6, Array(6).fill('recovered')])
    }
  },
  {
    name: 'a node that loses the engine for a moment delivers what it missed, and no client notices',
    perGeneration: true,
    run: async (t, { engine, node, connect }) => {
      const a = await node()
      const proxy = await proxyOf(t, engine.port)
      const b = await node(proxy.port, {}, impatient)
      const watched: unknown[] = []
      b.sc.exchange.watch('room/1', (data: unknown) => { watched.push(data) })
      b.sc.exchange.subscribe('room/1')
      const seen = await Promise.all(Array.from({ length: 5 }, () => join(t, connect, b.port)))
      const repaired = (times: number): Promise<void> => until(`repair ${times}`, () => b.sc.stats().broker.historyRepairs! >= times)
      const accepted = await publish(a.sc, 1, 900, async (n) => {
        if (n === 150) proxy.cut()
        if (n === 440) await repaired(1)
        if (n === 450) {
          proxy.blackHole()
          await down(b)
        }
        if (n === 500) proxy.heal()
        if (n === 640) await repaired(2)
        if (n === 650) {
          proxy.block()
          await down(b)
        }
        if (n === 700) proxy.unblock()
      })
      t.strictSame(accepted, numbers(1, 900))
      for (const one of seen) {
        await until(() => `900 messages, got ${one.events.length}`, () => one.messages().length >= 900)
        t.strictSame([one.events, one.disconnects], [numbers(1, 900), 0])
      }
      t.strictSame(watched, numbers(1, 900), 'the server itself missed nothing either')
      await repaired(3)
    }
  },
  {
    name: 'an engine that comes back empty is told once, with the order kept',
    perGeneration: true,
    run: async (t, { engine, node, connect }) => {
      const [a, b] = [await node(), await node()]
      const seen = [await join(t, connect, a.port), await join(t, connect, b.port)]
      await publish(a.sc, 1, 20)
      for (const one of seen) await until('20 messages', () => one.messages().length === 20)
      await engine.kill()
      await down(a, b)
      await engine.restart()
      for (const one of seen) {
        await until('the notice', () => one.others().length === 2)
        t.strictSame(one.others().sort(), ['gap of room/1', 'told: unknown'])
      }
      await publish(b.sc, 21, 40)
      for (const one of seen) await until('40 messages', () => one.messages().length === 40)
      // Afterwards they recover as before.
      for (const one of seen) {
        const recovered = one.client.nextEvent('subscribe')
        one.client.raw.transport.socket.terminate()
        await recovered
        await until('the recovery', () => one.others().length === 3)
      }
      await publish(b.sc, 41, 42)
      for (const one of seen) {
        await until('42 messages', () => one.messages().length === 42)
        t.strictSame([one.messages(), one.others().slice(2)], [numbers(1, 42), ['recovered']])
      }
      for (const { sc } of [a, b]) t.match(sc.stats().recovery, { losses: 1, recovered: 1, unknown: 0 })
    }
  },
  {
    name: 'a subscription waits while the engine is down, and then recovers',
    run: async (t, { engine, node }) => {
      const proxy = await proxyOf(t, engine.port)
      const [a, b] = [await node(), await node(proxy.port)]
      const there = await join(t, generations[0]![1], b.port)
      const back = await join(t, generations[1]![1], b.port)
      await publish(a.sc, 1, 5)
      for (const one of [there, back]) await until('5 messages', () => one.messages().length === 5)
      proxy.block()
      await down(b)
      const returned = back.client.nextEvent('connect')
      back.client.raw.transport.socket.terminate()
      await publish(a.sc, 6, 10)
      await returned
      t.notOk(back.client.isSubscribed('room/1'))
      proxy.unblock()
      for (const one of [there, back]) {
        await until('10 messages', () => one.messages().length === 10)
        t.strictSame(one.messages(), numbers(1, 10))
      }
      t.strictSame([there.others(), back.others()], [[], ['recovered']])
    }
  },
  {
    name: '2,000 sockets that come back at once cost one read',
    run: async (t, { node }) => {
      const [a, b] = [await node(), await node()]
      const { exchange } = a.sc
      const { position } = await exchange.history('room/1')
      for (const n of numbers(1, 100)) await exchange.publish('room/1', n)
      const count = 2_000
      const clients: RawClient[] = []
      for (let i = 0; i < count; i += 100) clients.push(...await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(t, b.port))))
      const before = b.sc.stats().broker.historyReads!
      const answers = await Promise.all(clients.map((client) => client.call('#subscribe', { channel: 'room/1', since: position })))
      t.ok(answers.every(({ data }) => data.recovered === true && data.count === 100))
      for (const client of clients) await until('100 messages', () => client.inbox.items.filter(({ event }) => event === '#publish').length === 100)
      t.equal(b.sc.stats().broker.historyReads! - before, 1)
      const again = await Promise.all(clients.slice(0, 50).map((client) => client.call('#unsubscribe', 'room/1').then(() => client.call('#subscribe', { channel: 'room/1', since: position }))))
      t.ok(again.every(({ data }) => data.count === 100))
      t.equal(b.sc.stats().broker.historyReads! - before, 1, 'whoever comes later needs none')
    }
  },
  {
    name: 'several nodes that publish to one channel at the same time: one order, no message refused',
    run: async (t, { node, connect }) => {
      const nodes = await Promise.all(numbers(1, 4).map(() => node()))
      const seen = await Promise.all(nodes.map(({ port }) => join(t, connect, port)))
      await Promise.all(nodes.map(async ({ sc }, i) => {
        for (let n = 0; n < 100; n++) await sc.exchange.publish('room/1', i * 1_000 + n)
      }))
      for (const one of seen) {
        await until('400 messages', () => one.messages().length === 400)
        t.strictSame(one.events, seen[0]!.events)
      }
      for (const i of nodes.keys()) t.strictSame(seen[0]!.messages().filter((n) => Math.floor(Number(n) / 1_000) === i), numbers(i * 1_000, i * 1_000 + 99))
    }
  },
  {
    name: 'reads from any position of a long history, among other channels',
    run: async (t, { node }) => {
      const one = await node()
      const { exchange } = one.sc
      const positions: string[] = [(await exchange.history('room/1')).position]
      // At first one by one, later in bursts, with other messages between.
      for (let n = 1; n <= 1_500;) {
        const burst = n < 500 ? 1 : 40
        const all = numbers(n, Math.min(1_500, n + burst - 1))
        await Promise.all(all.map((m) => exchange.publish('room/1', m)))
        n += burst
        if (n % 3 === 0) await Promise.all(numbers(1, n % 30).map((m) => exchange.publish('room/2', m)))
      }
      const whole = await exchange.history('room/1', { limit: 2_000 })
      t.strictSame(whole.messages.map(({ data }) => data), numbers(1, 1_500))
      positions.push(...whole.messages.map(({ position }) => position))
      for (const after of [0, 1, 2, 31, 32, 33, 250, 499, 500, 777, 1_100, 1_459, 1_499, 1_500]) {
        for (const limit of [1, 10, 2_000]) {
          const { messages, gap } = await exchange.history('room/1', { since: positions[after]!, limit })
          t.strictSame([messages.map(({ data }) => data), gap], [numbers(after + 1, Math.min(1_500, after + limit)), after + limit < 1_500 ? 'limit' : null], `${limit} after ${after}`)
        }
      }
      t.strictSame(await dataOf(one, 'room/1', { limit: 3 }), [1_498, 1_499, 1_500])
    }
  },
  {
    name: 'one read stops behind 8 MiB, with the newest messages; bytes count, not characters',
    run: async (t, { node }) => {
      const one = await node()
      // 900,000 bytes each: nine are less than 8 MiB, and the read stops with the tenth.
      for (const [channel, character] of [['room/1', 'x'], ['room/2', '€']] as const) {
        const text = character.repeat(900_000 / Buffer.byteLength(character))
        const { position } = await one.sc.exchange.history(channel)
        for (const n of numbers(1, 12)) await one.sc.exchange.publish(channel, { n, text })
        const read = async (query: { since?: string, limit?: number }) => {
          const { messages, gap } = await one.sc.exchange.history(channel, { limit: 20, ...query })
          return { numbers: messages.map(({ data }) => (data as { n: number }).n), gap, last: messages.at(-1)!.position }
        }
        t.match(await read({ since: position }), { numbers: numbers(1, 10), gap: 'limit' }, character)
        t.match(await read({}), { numbers: numbers(3, 12), gap: 'limit' }, 'older ones are left out')
        t.match(await read({ limit: 10 }), { numbers: numbers(3, 12), gap: null }, 'as many as were asked for')
        const oldest = await read({ since: 'oldest' })
        t.match(oldest, { numbers: numbers(1, 10), gap: 'limit' })
        t.match(await read({ since: oldest.last }), { numbers: [11, 12], gap: null })
      }
    }
  },
  {
    name: 'a history that was followed before its first message is read without a warning',
    run: async (t, { node }) => {
      const [a, b] = [await node(), await node()]
      const client = await RawClient.connect(t, b.port)
      await client.call('#subscribe', 'room/1')
      await publish(a.sc, 1, 3)
      t.strictSame(await dataOf(a, 'room/1'), [1, 2, 3])
      t.strictSame([a, b].map(({ sc }) => sc.stats().broker.framesDropped), [0, 0])
    }
  },
  {
    name: 'messages that are not kept come in the order of the calls',
    run: async (t, { node, connect }) => {
      const one = await node()
      const seen = await join(t, connect, one.port)
      await Promise.all(numbers(1, 200).map((n) => one.sc.exchange.publish('room/1', n, n % 3 === 0 ? { history: false } : {})))
      await until('200 messages', () => seen.messages().length === 200)
      t.strictSame(seen.events, numbers(1, 200))
      t.strictSame(await dataOf(one, 'room/1', { limit: 1_000 }), numbers(1, 200).filter((n) => n % 3 !== 0))
    }
  },
  {
    name: 'signed frames: histories are read only with the key',
    run: async (t, { node }) => {
      const brokerKey = 'a key of brokers that has more than thirty-two bytes'
      const signed = await node(undefined, { brokerKey })
      for (const n of numbers(1, 3)) await signed.sc.exchange.publish('kept', n)
      const other = await node(undefined, { brokerKey })
      t.strictSame(await dataOf(other, 'kept'), [1, 2, 3])
      const unsigned = await node()
      await unsigned.sc.exchange.publish('kept', 4)
      t.strictSame(await dataOf(unsigned, 'kept'), [4], 'a node without the key')
      t.strictSame(await dataOf(other, 'kept'), [1, 2, 3], 'a message of a node without the key')
      t.match(other.warnings, [{ code: 'SC_ERR_BROKER_DROPPED', message: /without a signature/ }])
    }
  }
]
