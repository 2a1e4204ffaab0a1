// A node that is killed: its users are silent if they come back in time, and leave once at each other node if not.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { engineBroker, type EngineName } from '../chaos/scenario.js'
import { connect20 } from '../helpers/app.js'
import { startNats, startRedis } from '../helpers/servers.js'
import { patience, until } from '../helpers/waiting.js'
import { enter, startRooms, userOf, Watched } from './parts.js'

// The time is spent on waiting for the lease of the node that was killed.
t.jobs = 2

const users = Array.from({ length: 100 }, (_, i) => `user ${i}`)

/** Two nodes here and one in a process of its own, with all users at the last one, and a client at each of the others that looks. */
async function setUp (t: Test, name: EngineName, leaveDelay: number) {
  const engine = await (name === 'redis' ? startRedis(t) : startNats(t))
  if (engine === null) return null
  const child = fork(fileURLToPath(new URL('node-process.ts', import.meta.url)), [name, String(engine.port), String(leaveDelay)])
  t.teardown(() => { child.kill('SIGKILL') })
  const [doomed] = await once(child, 'message', { signal: AbortSignal.timeout(60_000) }) as [{ port: number }]
  const nodes = await Promise.all([1, 2].map(() => startRooms(t, { key: userOf, interval: 10, leaveDelay }, {
    broker: engineBroker(name, engine.port, { timeout: 10_000, probeInterval: 10_000, maxRetryDelay: 100 }),
    inboundRate: 0
  })))
  for (const { sc } of nodes) await until('all nodes', () => sc.cluster.nodes.length === 3)
  const clients = await Promise.all(users.map((user) => enter(t, connect20, doomed, user)))
  await Promise.all(clients.map((client) => client.subscribe('room/7')))
  const watched = await Promise.all(nodes.map(async (node) => Watched.of(await enter(t, connect20, node, null), 'room/7')))
  for (const each of watched) {
    await each.until(...users)
    each.messages.length = 0
  }
  const told: string[] = []
  for (const [i, { sc }] of nodes.entries()) {
    sc.exchange.subscribe('room/7#presence')
    await until('the subscription', () => sc.exchange.isSubscribed('room/7#presence'))
    for (const event of ['join', 'update', 'leave'] as const) sc.on(event, (_channel, { key }) => told.push(`${i} ${event} ${key}`))
  }
  const kill = async (): Promise<void> => {
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
  }
  return { nodes, watched, told, kill }
}

for (const name of ['redis', 'nats'] as const) {
  t.test(`${name}: all users come back elsewhere, and nobody sees anything`, { buffered: true }, async (t) => {
    const started = await setUp(t, name, 3_000)
    if (started === null) return t.pass(`no ${name} here`)
    const { nodes, watched, told, kill } = started
    await kill()
    const clients = await Promise.all(users.map((user, i) => enter(t, connect20, nodes[i % 2]!, user)))
    await Promise.all(clients.map((client) => client.subscribe('room/7')))
    for (const { sc } of nodes) await until('the lease of the killed node to end', () => sc.cluster.nodes.length === 2)
    // Behind everything that could have been said.
    const late = await enter(t, connect20, nodes[0]!, 'late')
    await late.subscribe('room/7')
    for (const each of watched) t.match(await each.next(), { type: 'diff', joins: [{ key: 'late' }], updates: [], leaves: [], total: 101 })
    t.same(told.sort(), ['0 join late', '1 join late'])
    for (const { sc } of nodes) t.match(await sc.exchange.presence('room/7'), { total: 101, complete: true })
  })

  t.test(`${name}: nobody comes back, and everybody leaves once at each node`, { buffered: true }, async (t) => {
    const started = await setUp(t, name, 1_000)
    if (started === null) return t.pass(`no ${name} here`)
    const { nodes, watched, told, kill } = started
    await kill()
    const from = performance.now()
    for (const each of watched) await each.until()
    t.ok(performance.now() - from < patience / 2, `${Math.round(performance.now() - from)} ms`)
    t.same(told.sort(), nodes.flatMap((_, i) => users.map((user) => `${i} leave ${user}`)).sort())
    for (const { sc } of nodes) t.same(await sc.exchange.presence('room/7'), { members: [], total: 0, complete: true })
  })
}
