// `npm run bench:cluster`: messages through two nodes and a real Redis (and NATS), for us and for socket.io with its Redis adapter.
// `--only one-1,latency` runs some of the works, and `--profile` writes CPU profiles of both nodes of ours; neither writes CLUSTER.md.
import { mkdirSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { pinLoad } from './lib/cores.js'
import { machine } from './lib/machine.js'
import { prepare } from './lib/prepare.js'
import { median } from './lib/statistics.js'
import { engineCpu, onTwoNodes } from './lib/two-nodes.js'
import { versionOf } from './lib/versions.js'

const { values: flags } = parseArgs({ options: { only: { type: 'string' }, profile: { type: 'boolean' } } })
const seconds = Number(process.env.BENCH_SECONDS ?? 3)
const reps = Number(process.env.BENCH_REPS ?? 3)
const message = { from: 'LqKtAABXRb5lTmVJAAAB', text: 'a line of chat' }

const contenders = [
  { title: 'socket.io, Redis adapter', name: 'socketio', engine: 'redis' },
  { title: 'fastify-socketcluster, Redis', name: 'ours', engine: 'redis' },
  { title: 'fastify-socketcluster, NATS', name: 'ours', engine: 'nats' }
]

/** Each channel has one subscriber on each node; the first node publishes, `burst` messages to each channel in one turn of its event loop. */
const works = [
  { id: 'one-64', title: 'one channel, 64 messages in a turn', channels: 1, burst: 64 },
  { id: 'one-8', title: 'one channel, 8 messages in a turn', channels: 1, burst: 8 },
  { id: 'one-1', title: 'one channel, one message in a turn', channels: 1, burst: 1 },
  { id: 'many-1', title: '1,000 channels, one message each in a turn', channels: 1000, burst: 1 },
  { id: 'many-4', title: '1,000 channels, 4 messages each in a turn', channels: 1000, burst: 4 }
]

const ids = [...works.map(({ id }) => id), 'latency']
const only = flags.only?.split(',') ?? ids
const unknown = only.find((id) => !ids.includes(id))
if (unknown !== undefined) throw new RangeError(`expected --only to name works (${ids.join(', ')}), got ${unknown}`)

const profiles = new URL('profiles/', import.meta.url)

/** What may be on its way: enough that no process waits for another. */
const enough = 2000

/** As much as goes through. */
function throughput (contender, { id, channels, burst }) {
  return onTwoNodes(contender, channels, async ({ nodes, names, counts, receive, redis }) => {
    const turn = channels * burst
    const turns = Math.max(1, Math.ceil(64 / turn)) // in one command, each of them in a turn of its own
    const run = async (milliseconds) => {
      counts.received = 0
      let sent = 0
      const from = performance.now()
      while (performance.now() - from < milliseconds) {
        await nodes[0].ask('publish', { channels: names, count: burst, turns, data: message })
        sent += turn * turns
        await receive(2 * (sent - Math.max(enough - turn, 0)))
      }
      await receive(2 * sent)
      return sent
    }
    const cpu = async () => (await Promise.all(nodes.map((node) => node.ask('cpu')))).reduce((a, b) => a + b)
    await run(1000)
    const isProfiled = flags.profile && contender.name === 'ours'
    if (isProfiled) for (const node of nodes) await node.ask('startProfile')
    const before = [await cpu(), await engineCpu(redis)]
    const from = performance.now()
    const sent = await run(seconds * 1000)
    const took = performance.now() - from
    const after = [await cpu(), await engineCpu(redis)]
    if (isProfiled) await stopProfiles(nodes, `cluster-${id}-${contender.engine}`)
    if (counts.received !== 2 * sent) throw new Error(`expected ${2 * sent} messages, got ${counts.received}`)
    return { perSecond: sent / took * 1000, cpu: (after[0] - before[0]) / sent, engine: (after[1] - before[1]) / sent }
  })
}

async function stopProfiles (nodes, name) {
  mkdirSync(profiles, { recursive: true })
  for (const [i, node] of nodes.entries()) {
    const profile = await node.ask('stopProfile', { path: new URL(`${name}-${i}.cpuprofile`, profiles).pathname })
    console.error(`the node that ${i === 0 ? 'publishes' : 'receives'}`)
    for (const { share, name } of profile) console.error(`  ${(share * 100).toFixed(1).padStart(5)} %  ${name}`)
  }
}

/** Milliseconds from a publish, ten in a second to one channel, until both subscribers have it. */
function latency (contender) {
  return onTwoNodes(contender, 1, async ({ nodes, names, counts, receive }) => {
    const times = []
    const once = async () => {
      counts.received = 0
      const from = performance.now()
      await nodes[0].ask('publish', { channels: names, count: 1, data: message })
      await receive(2)
      return performance.now() - from
    }
    for (let i = 0; i < 200; i++) await once()
    for (let i = 0; i < seconds * 10; i++) {
      await sleep(100)
      times.push(await once())
    }
    times.sort((a, b) => a - b)
    return { p50: median(times), p95: times[Math.floor(times.length * 0.95)] }
  })
}

const count = (value) => Math.round(value).toLocaleString('en')
const row = (cells) => `| ${cells.join(' | ')} |`
const middle = (results, key) => median(results.map((result) => result[key]))

await prepare()
pinLoad()
const lines = []
for (const work of works.filter(({ id }) => only.includes(id))) {
  const results = contenders.map(() => [])
  // In turn, so that a slow minute of the machine meets all alike.
  for (let rep = 0; rep < reps; rep++) {
    for (const [i, contender] of contenders.entries()) {
      console.error(`${work.title}: ${contender.title}, ${rep + 1} of ${reps}`)
      const result = await throughput(contender, work)
      if (result !== null) results[i].push(result)
    }
  }
  const rival = results[0]
  for (const [i, { title }] of contenders.entries()) {
    const own = results[i]
    if (own.length === 0) continue
    const compared = rival.length === 0 || i === 0
      ? ['', '']
      : [`${(middle(own, 'perSecond') / middle(rival, 'perSecond')).toFixed(1)} ×`, `${(middle(rival, 'cpu') / middle(own, 'cpu')).toFixed(1)} ×`]
    const engine = middle(own, 'engine')
    lines.push(row([work.title, title, count(middle(own, 'perSecond')), middle(own, 'cpu').toFixed(2), Number.isNaN(engine) ? '' : engine.toFixed(2), ...compared]))
    console.log(lines.at(-1))
  }
}

const latencies = contenders.map(() => [])
for (let rep = 0; rep < reps && only.includes('latency'); rep++) {
  for (const [i, contender] of contenders.entries()) {
    console.error(`one message at a time: ${contender.title}, ${rep + 1} of ${reps}`)
    const result = await latency(contender)
    if (result !== null) latencies[i].push(result)
  }
}
const latencyLines = contenders.flatMap(({ title }, i) => latencies[i].length === 0 ? [] : [row([title, middle(latencies[i], 'p50').toFixed(2), middle(latencies[i], 'p95').toFixed(2)])])
for (const line of latencyLines) console.log(line)

const page = `# Two nodes

Written by \`npm run bench:cluster\` on ${new Date().toISOString().slice(0, 10)}. Do not edit.

- Machine: ${machine()}.
- Versions: socket.io ${versionOf('socket.io')} with @socket.io/redis-adapter ${versionOf('@socket.io/redis-adapter')}, fastify-socketcluster ${versionOf('fastify-socketcluster')}.
- Two processes on one core, the engine and the clients on the other: what counts is the ratio. Medians of ${reps} runs, each with new processes, in turn.
- One node publishes. Each channel has one subscriber on each of both nodes; a message counts once, when both have it. None was lost and none came twice.
- CPU is user and system time, of both nodes together and of Redis. "less" says how many times less of it the nodes needed for a message than socket.io's did.

${row(['work', 'server', 'messages/s', 'nodes, µs a message', 'Redis, µs a message', 'faster', 'less CPU'])}
${row(Array(7).fill('---'))}
${lines.join('\n')}

Ten messages a second to one channel, one at a time: milliseconds from the publish until both subscribers have it, the command to the publishing process included.

${row(['server', 'p50', 'p95'])}
${row(Array(3).fill('---'))}
${latencyLines.join('\n')}
`
if (flags.only === undefined && !flags.profile) writeFileSync(new URL('CLUSTER.md', import.meta.url), page)
