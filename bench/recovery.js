// `npm run bench:recovery`: what clients that lost their connection miss, and what bringing it to them costs; beside socket.io with its
// Redis streams adapter and `connectionStateRecovery`.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { TcpProxy } from '../test/helpers/proxy.js'
import { startRedis } from '../test/helpers/servers.js'
import { pinLoad } from './lib/cores.js'
import { inParallel } from './lib/load.js'
import { machine } from './lib/machine.js'
import { prepare } from './lib/prepare.js'
import { ServerProcess } from './lib/server-process.js'
import { median } from './lib/statistics.js'
import { engineCpu, onTwoNodes } from './lib/two-nodes.js'
import { versionOf } from './lib/versions.js'

const options = {
  sockets: { type: 'string', default: '1000' },
  missed: { type: 'string', default: '100' },
  runs: { type: 'string', default: '5' },
  reps: { type: 'string', default: '3' },
  seconds: { type: 'string', default: '3' },
  only: { type: 'string', default: 'room,one,publish,rooms' }
}
const { values: args } = parseArgs({ options })
const [sockets, missed, runs, reps, seconds] = ['sockets', 'missed', 'runs', 'reps', 'seconds'].map((name) => Number(args[name]))
const only = args.only.split(',')
const text = 'a line of chat that is about as long as most of them are'

const contenders = [
  { title: 'socket.io, Redis streams adapter', name: 'socketio' },
  { title: 'fastify-socketcluster, Redis', name: 'ours' }
]

await prepare()
const { account, bareClients, realClients } = await import('./lib/recovery-clients.js')
pinLoad()

/** Two nodes with recovery, and a Redis of their own. */
async function onNodes (name, body) {
  const cleanups = []
  const cleanup = { teardown: (fn) => { cleanups.unshift(fn) } }
  try {
    const server = await startRedis(cleanup)
    if (server === null) throw new Error('redis-server is not installed')
    const nodes = []
    for (let i = 0; i < 2; i++) {
      nodes.push(await ServerProcess.start(name, { redis: server.port, recovery: true }))
      cleanup.teardown(() => nodes[i].stop())
    }
    const redis = new Redis(server.port)
    cleanup.teardown(() => redis.quit())
    let next = 0
    /** Publishes the next number. */
    const publish = (channel) => nodes[0].ask('publish', { channels: [channel], count: 1, data: { n: next++, text } })
    /** Replaces both nodes. */
    const replace = async () => {
      for (let i = 0; i < 2; i++) {
        await nodes[i].stop()
        nodes[i] = await ServerProcess.start(name, { redis: server.port, recovery: true })
      }
    }
    return await body({ nodes, redis, publish, cleanup, replace, published: () => next })
  } finally {
    for (const fn of cleanups) await fn()
  }
}

const nodesCpu = async (nodes) => (await Promise.all(nodes.map((node) => node.ask('cpu')))).reduce((a, b) => a + b)

/** What both nodes and Redis have used so far. */
async function used (nodes, redis) {
  const [stats, commands] = [await redis.info('stats'), await redis.info('commandstats')]
  return {
    cpu: await nodesCpu(nodes),
    engine: await engineCpu(redis),
    bytes: Number(/^total_net_output_bytes:(\d+)/m.exec(stats)[1]),
    commands: [...commands.matchAll(/^cmdstat_(?!info)\S+:calls=(\d+)/gm)].reduce((sum, [, calls]) => sum + Number(calls), 0)
  }
}

const difference = (before, after) => Object.fromEntries(Object.keys(before).map((key) => [key, after[key] - before[key]]))

/** A room of many sockets: all connections end, messages are published meanwhile, all come back at once, each to the other node. */
function room ({ name }) {
  return onNodes(name, async ({ nodes, redis, publish, published, replace }) => {
    const channel = 'room/1'
    const clients = Array.from({ length: sockets }, () => new bareClients[name](channel))
    const open = (turn) => inParallel(sockets, (i) => clients[i].open(nodes[(i + turn) % 2].port), 200)
    let lastAt = 0
    for (const client of clients) client.onMessage = () => { lastAt = performance.now() }
    const until = async (done) => {
      const from = lastAt = performance.now()
      while (!done() && performance.now() - Math.max(from, lastAt) < 3_000) await sleep(5)
    }
    await open(0)
    // A socket.io client has no position before its first message.
    await publish(channel)
    await until(() => clients.every(({ counts }) => counts.size === 1))

    const round = async (turn, count, areNew = false) => {
      await Promise.all(clients.map((client) => client.drop()))
      for (const node of nodes) while (await node.ask('connected') > 0) await sleep(5)
      await sleep(500) // what a server does behind the end of a connection
      for (const client of clients) client.reset()
      const first = published()
      for (let i = 0; i < count; i++) await publish(channel)
      await sleep(300) // until Redis has them
      if (areNew) await replace()
      const before = await used(nodes, redis)
      const from = performance.now()
      await open(turn)
      const opened = performance.now() - from
      await until(() => clients.every(({ counts }) => counts.size >= count))
      const took = count === 0 ? opened : lastAt - from
      await sleep(300) // for messages that come twice
      const spent = difference(before, await used(nodes, redis))
      let lost = 0
      let twice = 0
      for (const { counts } of clients) {
        for (let n = first; n < first + count; n++) if (!counts.has(n)) lost++
        for (const times of counts.values()) twice += times - 1
      }
      return { ...spent, took, lost, twice, recovered: clients.filter(({ recovered }) => recovered).length }
    }
    // Servers get quicker with what they do again.
    await round(1, 0)
    await round(2, missed)
    const before = await round(3, 0)
    const full = await round(4, missed)
    const after = await round(5, 0)
    const fresh = await round(6, missed, true)
    for (const client of clients) client.ws.terminate()
    const plain = (before.cpu + after.cpu) / 2
    return { ...full, cpu: full.cpu / sockets, plain: plain / sockets, onTop: (full.cpu - plain) / sockets, fresh }
  })
}

/** One real client that loses its connection 40 times amid 300 messages a second, and comes back to the other node. */
function one ({ name }) {
  return onNodes(name, async ({ nodes, publish, cleanup, published }) => {
    const channel = 'room/1'
    const front = await new TcpProxy(nodes[0].port).listen()
    cleanup.teardown(() => front.close())
    const state = { last: -1, isOver: false }
    const client = realClients[name](front.port, channel, (n) => { state.last = n })
    cleanup.teardown(() => client.close())
    const until = async (done, milliseconds = 20_000) => {
      for (const from = performance.now(); !done() && performance.now() - from < milliseconds;) await sleep(1)
    }
    await until(client.there)
    const publishing = (async () => {
      const from = performance.now()
      while (!state.isOver) {
        const due = (performance.now() - from) * 0.3
        while (published() < due) await publish(channel)
        await sleep(2)
      }
    })()
    await until(() => state.last >= 30)
    for (let i = 0; i < 40; i++) {
      front.target = nodes[(i + 1) % 2].port
      front.cut()
      await until(() => !client.there())
      await until(client.there)
      const reached = published()
      await until(() => state.last >= reached, 2000)
      await sleep(50 + i % 7 * 20)
    }
    state.isOver = true
    await publishing
    await until(() => state.last >= published() - 1, 2000)
    await sleep(300)
    return { ...account(client.got, published()), flagged: client.got.flagged }
  })
}

/** Publishing to one channel with a subscriber on each of both nodes: without a history, and with one. */
function publishing (burst, recovery) {
  return onTwoNodes({ name: 'ours', engine: 'redis', options: { recovery } }, 1, async ({ nodes, names, counts, receive, redis }) => {
    const turns = Math.ceil(64 / burst)
    const enough = 2000
    const run = async (milliseconds) => {
      counts.received = 0
      let sent = 0
      const from = performance.now()
      while (performance.now() - from < milliseconds) {
        await nodes[0].ask('publish', { channels: names, count: burst, turns, data: { n: 0, text } })
        sent += burst * turns
        await receive(2 * (sent - Math.max(enough - burst, 0)))
      }
      await receive(2 * sent)
      return sent
    }
    await run(1000)
    const before = [await nodesCpu(nodes), await engineCpu(redis)]
    const from = performance.now()
    const sent = await run(seconds * 1000)
    const took = performance.now() - from
    return { perSecond: sent / took * 1000, cpu: (await nodesCpu(nodes) - before[0]) / sent, engine: (await engineCpu(redis) - before[1]) / sent }
  })
}

/** 1,000 rooms with one client each and 20 messages a second over all of them; all connections end, and are back after 10 s. */
function rooms ({ name }) {
  return onNodes(name, async ({ nodes, publish, published }) => {
    const count = 1000
    const clients = Array.from({ length: count }, (_, i) => new bareClients[name](`room/${i}`))
    const open = () => inParallel(count, (i) => clients[i].open(nodes[i % 2].port), 50)
    const missed = new Map()
    let random = 1 // the same rooms for both servers
    const talk = async (milliseconds) => {
      for (let i = 0; i < milliseconds / 50; i++) {
        random = random * 48_271 % 0x7fffffff
        const room = random % count
        missed.set(room, published())
        await publish(`room/${room}`)
        await sleep(50)
      }
    }
    await open()
    await talk(20_000)
    await sleep(500)
    await Promise.all(clients.map((client) => client.drop()))
    await sleep(500)
    for (const client of clients) client.reset()
    missed.clear()
    await talk(10_000)
    await open()
    await sleep(1000)
    const lost = [...missed].filter(([room, n]) => !clients[room].counts.has(n)).length
    const result = { recovered: clients.filter(({ recovered }) => recovered).length / count, missed: missed.size, lost }
    for (const client of clients) client.ws.terminate()
    return result
  })
}

const count = (value) => Math.round(value).toLocaleString('en')
const row = (cells) => `| ${cells.join(' | ')} |`
const head = (...cells) => [row(cells), row(cells.map(() => '---'))]
const middle = (results, key) => median(results.map((result) => result[key]))
const sum = (results, key) => results.reduce((total, result) => total + result[key], 0)

/** In turn, so that a slow minute of the machine meets all alike. */
async function inTurn (title, times, all, measure) {
  const results = all.map(() => [])
  for (let rep = 0; rep < times; rep++) {
    for (const [i, contender] of all.entries()) {
      console.error(`${title}: ${contender.title}, ${rep + 1} of ${times}`)
      results[i].push(await measure(contender))
      console.error(JSON.stringify(results[i].at(-1)))
    }
  }
  return results
}

/** The tables of each part. Those of parts that are left out stay as they were. */
const cache = new URL('.cache/recovery.json', import.meta.url)
const sections = existsSync(cache) ? JSON.parse(readFileSync(cache, 'utf8')) : {}

if (only.includes('room')) {
  const results = await inTurn('a room comes back', reps, contenders, room)
  const fresh = results.map((of) => of.map((result) => result.fresh))
  const ratio = ([rival, own], key) => (middle(rival, key) / middle(own, key)).toFixed(1)
  const outcome = (of) => [count(missed * sockets * reps), count(sum(of, 'lost')), count(sum(of, 'twice')), `${(sum(of, 'recovered') / sockets / reps * 100).toFixed(1)} %`, count(middle(of, 'took'))]
  const engine = (of) => [count(middle(of, 'engine') / 1000), count(middle(of, 'commands')), (middle(of, 'bytes') / 1e6).toFixed(2)]
  sections.room = `## A room comes back

${count(sockets)} sockets in one room, half of them on each node. All connections are terminated, ${missed} messages are published, and all come back, at most 200 handshakes at a time, each to the other node. The clients are bare websockets that speak each protocol (ours with the package's \`recovering()\` codec): with ${count(sockets)} stock clients, their process would be the slow one. Medians over ${reps} runs; messages are sums over all runs.

${head('server', 'messages missed', 'lost', 'twice', 'recovered', 'ms to the last message', 'nodes, CPU µs a socket', 'of it a reconnect that missed nothing', 'on top', 'Redis, CPU ms', 'Redis commands', 'Redis, MB out').join('\n')}
${contenders.map(({ title }, i) => row([title, ...outcome(results[i]), ...['cpu', 'plain', 'onTop'].map((key) => count(middle(results[i], key))), ...engine(results[i])])).join('\n')}
${row(['socket.io ÷ ours', '', '', '', '', ...['took', 'cpu', 'plain'].map((key) => ratio(results, key)), '', '', '', ''])}

"On top" is what ${missed} missed messages cost for each socket, their delivery included; a few dozen microseconds more or less are noise. The Redis commands are those from the first handshake to the last message, with those that a script calls. socket.io also writes a session for each socket when its connection ends, which is not counted. Our nodes still had the messages, because they keep a channel for a while after the last client left.

The same once more, but both nodes are replaced before the clients come back:

${head('server', 'messages missed', 'lost', 'twice', 'recovered', 'ms to the last message', 'Redis, CPU ms', 'Redis commands', 'Redis, MB out').join('\n')}
${contenders.map(({ title }, i) => row([title, ...outcome(fresh[i]), ...engine(fresh[i])])).join('\n')}
${row(['socket.io ÷ ours', '', '', '', '', ...['took', 'engine', 'commands', 'bytes'].map((key) => ratio(fresh, key))])}

Each of our new nodes reads the channel once for all who wait. In socket.io each client reads for itself.
`
}

if (only.includes('one')) {
  const results = await inTurn('one client', runs, contenders, one)
  sections.one = `## One client, 40 reconnects

A real client (socketcluster-client ${versionOf('../../node_modules/socketcluster-client')} with \`recovering()\`, socket.io-client ${versionOf('socket.io-client')}) amid 300 messages a second. Its connection is reset 40 times, and it comes back to the other node after 100 to 150 ms. ${runs} runs; sums.

${head('server', 'reconnects', 'told that it recovered', 'lost without being told', 'lost and told', 'twice').join('\n')}
${contenders.map(({ title }, i) => row([title, 40 * runs, ...['flagged', 'lost', 'told', 'twice'].map((key) => count(sum(results[i], key)))])).join('\n')}

Lost and told are the messages between the connection's end and a new subscription, where the server said that it could not recover.
`
}

if (only.includes('publish')) {
  const lines = []
  for (const burst of [64, 8, 1]) {
    const kinds = [{ title: 'plain', recovery: false }, { title: 'with history', recovery: true }]
    const results = await inTurn(`${burst} in a turn`, reps, kinds, ({ recovery }) => publishing(burst, recovery))
    const ratio = (key) => (middle(results[1], key) / middle(results[0], key)).toFixed(2)
    for (const [i, { title }] of kinds.entries()) {
      lines.push(row([burst, title, count(middle(results[i], 'perSecond')), middle(results[i], 'cpu').toFixed(2), middle(results[i], 'engine').toFixed(2), ...(i === 0 ? ['', ''] : [`${ratio('cpu')} ×`, `${ratio('engine')} ×`])]))
    }
  }
  sections.publish = `## What a history costs the publisher

Ours only: one channel with a subscriber on each of both nodes, as in [CLUSTER.md](CLUSTER.md). With history, 1,000 messages are kept, and clients may recover. Medians over ${reps} runs.

${head('messages in a turn', '', 'messages/s', 'nodes, µs a message', 'Redis, µs a message', 'nodes, ratio', 'Redis, ratio').join('\n')}
${lines.join('\n')}

Messages of a turn travel as one frame, which Redis keeps and publishes by one script. Each message also carries its position to the clients.
`
}

if (only.includes('rooms')) {
  const results = await inTurn('many rooms', 1, contenders, rooms)
  sections.rooms = `## 1,000 quiet rooms

1,000 rooms with one client each, 20 messages a second over all of them: 20 s with connections, 10 s without. One run.

${head('server', 'recovered', 'messages missed', 'lost').join('\n')}
${contenders.map(({ title }, i) => row([title, `${(results[i][0].recovered * 100).toFixed(1)} %`, results[i][0].missed, results[i][0].lost])).join('\n')}

A client of socket.io has a position only after its first message, so one whose room was quiet until then cannot recover; the rooms of messages are random. Our server gives the position with the subscription.
`
}

writeFileSync(new URL('RECOVERY.md', import.meta.url), `# Recovery

Written by \`npm run bench:recovery\` on ${new Date().toISOString().slice(0, 10)}. Do not edit.

- Machine: ${machine()}.
- Versions: socket.io ${versionOf('socket.io')} with @socket.io/redis-streams-adapter ${versionOf('@socket.io/redis-streams-adapter')} and \`connectionStateRecovery\`, both with their defaults; fastify-socketcluster ${versionOf('fastify-socketcluster')} with \`history: { size: 1_000 }\` and \`recover: true\`.
- Two server processes on one core; a real Redis and the clients on the other. What counts is the ratio. Each run has new processes, and the servers take turns.

${['room', 'one', 'publish', 'rooms'].flatMap((part) => sections[part] ?? []).join('\n')}`)
mkdirSync(new URL('.', cache), { recursive: true })
writeFileSync(cache, JSON.stringify(sections))
