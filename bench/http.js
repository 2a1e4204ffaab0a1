// `npm run bench:http`: what an event over HTTP costs beside a route of Fastify that does the same, and what a delivery to a stream costs
// beside one to a websocket. Writes HTTP.md.
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { canPin, pinLoad } from './lib/cores.js'
import { HttpLoad } from './lib/http-load.js'
import { Load } from './lib/load.js'
import { machine } from './lib/machine.js'
import { prepare } from './lib/prepare.js'
import { message } from './lib/run.js'
import { ServerProcess } from './lib/server-process.js'
import { median } from './lib/statistics.js'
import { StreamConnection } from './lib/stream-connection.js'
import { versionOf } from './lib/versions.js'

const { values: args } = parseArgs({
  options: {
    reps: { type: 'string', default: '5' },
    requests: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '16' },
    streams: { type: 'string', default: '500' },
    only: { type: 'string', default: 'requests,deliveries' },
    profile: { type: 'string' } // `route`, `event`, `websocket` or `stream`
  }
})
const [reps, requests, rounds, connections, streams] = ['reps', 'requests', 'rounds', 'connections', 'streams'].map((name) => Number(args[name]))

const body = JSON.stringify({ room: 'r1', text: 'hello there, how are you', n: 5, tags: ['a', 'b'] })

function request (path, token) {
  const lines = [`POST ${path} HTTP/1.1`, 'host: 127.0.0.1', 'content-type: application/json', ...(token === null ? [] : [`authorization: Bearer ${token}`]), `content-length: ${body.length}`]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`)
}

const works = [
  { name: 'without a token', paths: ['/plain', '/events/event'], token: false },
  { name: 'with a token', paths: ['/plain-token', '/events/event'], token: true }
]

const bursts = [1, 8]
const listeners = { websocket: 'of-websockets', stream: 'of-streams' }

/** Prints where the time goes of a work whose profile is asked for. */
async function profiled (server, name, work) {
  if (args.profile !== name) return
  await server.ask('startProfile')
  await work()
  const functions = await server.ask('stopProfile', { path: `http-${name}.cpuprofile` })
  for (const { name, share } of functions) console.log(`${(share * 100).toFixed(1).padStart(5)} %  ${name}`)
}

/** CPU microseconds of the server for one delivery, to websockets and to streams in turn, by the size of a burst. */
async function measureDeliveries () {
  const server = await ServerProcess.start('http')
  const loads = Object.values(listeners).map(() => new Load(server))
  try {
    await loads[0].open(streams)
    await loads[0].subscribe(() => [listeners.websocket])
    await loads[1].open(streams, () => StreamConnection.open(server.port, listeners.stream))
    const publish = async (side, burst) => {
      const before = await server.ask('cpu')
      const times = Math.ceil(30 / burst)
      for (let i = 0; i < times; i++) {
        await loads[side].receive(streams * burst, () => server.ask('publish', { channels: [Object.values(listeners)[side]], count: burst, data: message }))
      }
      return (await server.ask('cpu') - before) / (times * burst * streams)
    }
    const results = bursts.map(() => [[], []])
    for (const side of [0, 1, 0, 1]) await publish(side, 1)
    for (let round = 0; round < rounds; round++) {
      for (const [i, burst] of bursts.entries()) for (const side of [0, 1]) results[i][side].push(await publish(side, burst))
    }
    for (const [side, name] of Object.keys(listeners).entries()) await profiled(server, name, () => publish(side, 1))
    return results.map((pair) => pair.map(median))
  } finally {
    for (const load of loads) load.drop()
    await server.stop()
  }
}

/** CPU microseconds of the server for one request, of both sides in turn. */
async function measureRequests () {
  const server = await ServerProcess.start('http')
  const load = await HttpLoad.open(server.port, connections)
  try {
    const token = await (await fetch(`http://127.0.0.1:${server.port}/token`)).text()
    const pairs = works.map(({ paths, token: needed }) => paths.map((path) => request(path, needed ? token : null)))
    const cpuOf = async (bytes) => {
      const before = await server.ask('cpu')
      await load.send(bytes, requests)
      return (await server.ask('cpu') - before) / requests
    }
    // The compiler of the engine needs a while.
    for (const bytes of pairs.flat()) await cpuOf(bytes)
    const results = works.map(() => [[], []])
    for (let round = 0; round < rounds; round++) {
      for (const [i, pair] of pairs.entries()) for (const [side, bytes] of pair.entries()) results[i][side].push(await cpuOf(bytes))
    }
    for (const [side, name] of ['route', 'event'].entries()) await profiled(server, name, () => load.send(pairs[0][side], requests))
    return results.map((pair) => pair.map(median))
  } finally {
    load.close()
    await server.stop()
  }
}

const count = (value) => value.toFixed(1)

/** Runs a measurement in some processes. Returns a row for each name: the numbers of the process with the median ratio. */
async function rowsOf (names, measure) {
  const runs = []
  for (let rep = 0; rep < reps; rep++) {
    runs.push(await measure())
    console.error(`${rep + 1} of ${reps}: ${runs.at(-1).map(([base, other]) => `${count(base)} and ${count(other)}`).join(', ')}`)
  }
  return names.map((name, i) => {
    const byRatio = runs.map((run) => run[i]).map(([base, other]) => ({ base, other, ratio: other / base })).sort((a, b) => a.ratio - b.ratio)
    const { base, other, ratio } = byRatio[byRatio.length >> 1]
    return [name, count(base), count(other), ratio.toFixed(2), `${byRatio[0].ratio.toFixed(2)} to ${byRatio.at(-1).ratio.toFixed(2)}`]
  })
}

const tableOf = (head, rows) => [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')

const sections = {
  requests: async () => `## An event

- An event that is declared with \`http: true\`, beside a route of Fastify with the same two schemas, the same async handler and the same body of ${body.length} bytes; with a token, the route verifies it by @fastify/jwt. All limits of the event are on, except that its rate is one that is never reached.
- The CPU time for one request: medians of ${rounds} stretches of ${requests.toLocaleString('en')} requests. ${connections} connections are kept alive, with one request at a time on each.

${tableOf(['work', 'a route of Fastify, µs', 'an event, µs', 'ratio', 'ratios of the runs'], await rowsOf(works.map(({ name }) => name), measureRequests))}

What an event does beyond a route: it looks at the origin, takes from the rate of the caller, counts keys, depth and nodes of the data, makes the \`context\` that a handler gets, sets the deadline of the handler, and notes that a closing server has to wait for it. With a token it also looks for revocations.
`,
  deliveries: async () => `## A delivery

- A publication of ${JSON.stringify(message).length} bytes to ${streams} streams of server-sent events, beside the same to ${streams} websockets.
- The CPU time for one delivery: medians of ${rounds} stretches.

${tableOf(['publishes in a turn', 'to a websocket, µs', 'to a stream, µs', 'ratio', 'ratios of the runs'], await rowsOf(bursts, measureDeliveries))}
`
}

await prepare()
pinLoad()
const texts = []
for (const name of args.only.split(',')) {
  texts.push(await sections[name]())
  console.log(texts.at(-1))
}
if (args.profile === undefined && texts.length === Object.keys(sections).length) {
  await writeFile(new URL('HTTP.md', import.meta.url), `# Events and streams over HTTP

Written by \`npm run bench:http\` on ${new Date().toISOString().slice(0, 10)}. Do not edit.

- Machine: ${machine()}.
- Versions: Fastify ${versionOf('../../node_modules/fastify')}, @fastify/jwt ${versionOf('../../node_modules/@fastify/jwt')}, fastify-socketcluster ${versionOf('fastify-socketcluster')}.
- Numbers are the CPU time of the server's process, user and system. Both sides of a row are in the same process and take turns.${canPin ? ' The server had one core, the load another.' : ''}
- A row is of the process with the median ratio, of ${reps} processes.

${texts.join('\n')}`)
}
