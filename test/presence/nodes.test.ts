// Presence over several nodes and a real engine: what each node's clients see.
import t, { type Test } from 'tap'
import type { ScPresenceOptions } from '../../lib/index.js'
import { engineBroker, type EngineName } from '../chaos/scenario.js'
import { type Client, connect14, connect20 } from '../helpers/app.js'
import type { Served } from '../helpers/serve.js'
import { startNats, startRedis, type TestServer } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'
import { enter, quick, startRooms, userOf, Watched } from './parts.js'

interface Nodes {
  readonly engine: TestServer
  readonly nodes: readonly Served[]
}

/** Nodes that know each other. */
async function startNodes (t: Test, name: EngineName, count: number, presence: ScPresenceOptions = quick): Promise<Nodes | null> {
  const engine = await (name === 'redis' ? startRedis(t) : startNats(t))
  if (engine === null) return null
  const nodes: Served[] = []
  for (let i = 0; i < count; i++) {
    nodes.push(await startRooms(t, presence, {
      broker: engineBroker(name, engine.port, { timeout: 10_000, probeInterval: 10_000, maxRetryDelay: 100 }),
      inboundRate: 0,
      closeTimeout: 500
    }))
  }
  for (const { sc } of nodes) await until('all nodes', () => sc.cluster.nodes.length === count)
  return { engine, nodes }
}

/** The users that a node knows of. */
async function usersAt (node: Served, channel = 'room/7'): Promise<string[]> {
  return (await node.sc.exchange.presence(channel)).members.map(({ key }) => key).sort()
}

/** A client that looks who is in the room, at each node. */
function watchAll (t: Test, nodes: readonly Served[], channel = 'room/7'): Promise<Watched[]> {
  return Promise.all(nodes.map(async (node, i) => Watched.of(await enter(t, i % 2 === 0 ? connect20 : connect14, node, null), channel)))
}

async function join (t: Test, node: { port: number }, user: string, channel = 'room/7'): Promise<Client> {
  const client = await enter(t, connect20, node, user)
  await client.subscribe(channel)
  return client
}

function cut (client: Client): void {
  client.raw.transport.socket.terminate()
}

/** All messages that came so far say that these users joined and left, and nobody else. */
function tally (watched: Watched): { joins: string[], leaves: string[] } {
  const diffs = watched.messages.filter(({ type }) => type === 'diff')
  return { joins: diffs.flatMap(({ joins }) => joins.map(({ key }: { key: string }) => key)).sort(), leaves: diffs.flatMap(({ leaves }) => leaves as string[]).sort() }
}

for (const name of ['redis', 'nats'] as const) {
  t.test(name, async (t) => {
    t.test('all nodes see who comes, who changes and who leaves', async (t) => {
      const started = await startNodes(t, name, 3, { ...quick, data: (context) => ({ name: userOf(context)!.toUpperCase() }), update: true })
      if (started === null) return t.pass(`no ${name} here`)
      const { nodes } = started
      const ada = await join(t, nodes[0]!, 'ada')
      const watched = await watchAll(t, nodes)
      for (const { users } of watched) t.same([...users], [['ada', { name: 'ADA' }]], 'who was there before')
      const bob = await join(t, nodes[1]!, 'bob')
      await Promise.all(watched.map((each) => each.until('ada', 'bob')))
      await bob.call('#presence', { channel: 'room/7', data: { name: 'Bob' } })
      for (const each of watched) t.strictSame((await each.next()).updates, [{ key: 'bob', data: { name: 'Bob' } }])
      ada.unsubscribe('room/7')
      await Promise.all(watched.map((each) => each.until('bob')))
      for (const node of nodes) t.same(await usersAt(node), ['bob'])
      for (const { sc } of nodes) t.equal((await sc.exchange.presence('room/7')).complete, true)
      t.same(await usersAt(nodes[2]!, 'room/8'), [])
      await join(t, nodes[2]!, 'cem', 'room/8')
      await until('a node that only asks knows too', async () => (await usersAt(nodes[0]!, 'room/8')).join() === 'cem')
      for (const { warnings } of nodes) t.same(warnings, [])
    })

    t.test('a user with sockets at two nodes leaves with the last one', async (t) => {
      const started = await startNodes(t, name, 2)
      if (started === null) return t.pass(`no ${name} here`)
      const { nodes } = started
      const watched = await watchAll(t, nodes)
      const [one, two] = [await join(t, nodes[0]!, 'ada'), await join(t, nodes[1]!, 'ada')]
      await join(t, nodes[0]!, 'bob')
      await Promise.all(watched.map((each) => each.until('ada', 'bob')))
      t.equal(await nodes[0]!.sc.exchange.occupancy('room/7'), 3)
      t.equal(await nodes[1]!.sc.exchange.occupancy('room/7'), 3)
      one.unsubscribe('room/7')
      await join(t, nodes[1]!, 'cem')
      await Promise.all(watched.map((each) => each.until('ada', 'bob', 'cem')))
      for (const each of watched) t.same(tally(each), { joins: ['ada', 'bob', 'cem'], leaves: [] })
      two.unsubscribe('room/7')
      await Promise.all(watched.map((each) => each.until('bob', 'cem')))
    })

    t.test('who is cut off and comes back at another node was never away; who does not leaves once', async (t) => {
      const started = await startNodes(t, name, 2, { ...quick, leaveDelay: 1_000 })
      if (started === null) return t.pass(`no ${name} here`)
      const { nodes } = started
      const watched = await watchAll(t, nodes)
      const [ada, bob] = [await join(t, nodes[0]!, 'ada'), await join(t, nodes[0]!, 'bob')]
      await Promise.all(watched.map((each) => each.until('ada', 'bob')))
      cut(ada)
      cut(bob)
      await join(t, nodes[1]!, 'ada')
      await Promise.all(watched.map((each) => each.until('ada')))
      for (const each of watched) t.same(tally(each), { joins: ['ada', 'bob'], leaves: ['bob'] })
    })

    t.test('a node that closes: nobody leaves who comes back elsewhere', async (t) => {
      const started = await startNodes(t, name, 3, { ...quick, leaveDelay: 2_000 })
      if (started === null) return t.pass(`no ${name} here`)
      const { nodes } = started
      const users = Array.from({ length: 20 }, (_, i) => `user ${i}`)
      await Promise.all([...users, 'not back'].map((user) => join(t, nodes[0]!, user)))
      const watched = await watchAll(t, nodes.slice(1))
      for (const each of watched) await each.until(...users, 'not back')
      await nodes[0]!.app.close()
      await Promise.all(users.map((user, i) => join(t, nodes[1 + i % 2]!, user)))
      await Promise.all(watched.map((each) => each.until(...users)))
      for (const each of watched) t.same(tally(each).leaves, ['not back'])
      for (const each of watched) t.same(tally(each).joins.filter((key) => each.messages[0].members.some((member: { key: string }) => member.key === key)), [], 'nobody came who was there')
    })

    t.test('nobody leaves while the engine is down, and all nodes agree afterwards', async (t) => {
      const started = await startNodes(t, name, 2)
      if (started === null) return t.pass(`no ${name} here`)
      const { engine, nodes } = started
      const watched = await watchAll(t, nodes)
      const clients = await Promise.all(['ada', 'bob', 'cem'].map((user, i) => join(t, nodes[i % 2]!, user)))
      await Promise.all(watched.map((each) => each.until('ada', 'bob', 'cem')))
      await engine.kill()
      for (const { sc } of nodes) await until('the outage', () => sc.brokerState === 'down')
      cut(clients[2]!)
      // Longer than leaveDelay: an own user that a timer would have removed.
      await until('the delay', () => nodes[0]!.sc.stats().clients === 2)
      const from = performance.now()
      await until('three times leaveDelay', () => performance.now() - from > 900)
      for (const node of nodes) t.same(await usersAt(node), ['ada', 'bob', 'cem'])
      t.equal((await nodes[0]!.sc.exchange.presence('room/7')).complete, false)
      await t.rejects(nodes[0]!.sc.exchange.occupancy('room/7'), { name: 'BrokerError' })
      await t.rejects(nodes[0]!.sc.exchange.presence('room/9'), { name: 'BrokerError' })
      for (const each of watched) t.equal(tally(each).leaves.length, 0)
      await engine.restart()
      await join(t, nodes[1]!, 'dan')
      await Promise.all(watched.map((each) => each.until('ada', 'bob', 'dan')))
      for (const node of nodes) t.same(await usersAt(node), ['ada', 'bob', 'dan'])
      for (const each of watched) t.same(tally(each), { joins: ['ada', 'bob', 'cem', 'dan'], leaves: ['cem'] })
    })

    t.test('many users with much data are told in pieces', async (t) => {
      const text = 'x'.repeat(4_000)
      const started = await startNodes(t, name, 2, { ...quick, members: 0, data: () => text })
      if (started === null) return t.pass(`no ${name} here`)
      const { nodes } = started
      const users = Array.from({ length: 300 }, (_, i) => `user ${i}`)
      for (let i = 0; i < users.length; i += 50) await Promise.all(users.slice(i, i + 50).map((user) => join(t, nodes[0]!, user)))
      const { members, total, complete } = await nodes[1]!.sc.exchange.presence('room/7')
      t.equal(total, 300)
      t.equal(complete, true)
      t.ok(members.every(({ data }) => data === text))
      t.equal(new Set(members.map(({ key }) => key)).size, 300)
    })
  })
}
