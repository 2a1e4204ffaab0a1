// `npm run bench:http`: what an event over HTTP costs, beside a route of Fastify that does the same. Writes HTTP.md.
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { canPin, pinLoad } from './lib/cores.js'
import { HttpLoad } from './lib/http-load.js'
import { machine } from './lib/machine.js'
import { prepare } from './lib/prepare.js'
import { ServerProcess } from './lib/server-process.js'
import { median } from './lib/statistics.js'
import { versionOf } from './lib/versions.js'

const { values: args } = parseArgs({
  options: {
    reps: { type: 'string', default: '5' },
    requests: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '16' },
    profile: { type: 'string' } // `route` or `event`
  }
})
const [reps, requests, rounds, connections] = ['reps', 'requests', 'rounds', 'connections'].map((name) => Number(args[name]))

const body = JSON.stringify({ room: 'r1', text: 'hello there, how are you', n: 5, tags: ['a', 'b'] })

function request (path, token) {
  const lines = [`POST ${path} HTTP/1.1`, 'host: 127.0.0.1', 'content-type: application/json', ...(token === null ? [] : [`authorization: Bearer ${token}`]), `content-length: ${body.length}`]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`)
}

const works = [
  { name: 'without a token', paths: ['/plain', '/events/event'], token: false },
  { name: 'with a token', paths: ['/plain-token', '/events/event'], token: true }
]

/** CPU microseconds of the server for one request, of both sides in turn. */
async function measure () {
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
    if (args.profile !== undefined) {
      await server.ask('startProfile')
      await load.send(pairs[0][args.profile === 'route' ? 0 : 1], requests)
      const functions = await server.ask('stopProfile', { path: `http-${args.profile}.cpuprofile` })
      for (const { name, share } of functions) console.log(`${(share * 100).toFixed(1).padStart(5)} %  ${name}`)
    }
    return results.map((pair) => pair.map(median))
  } finally {
    load.close()
    await server.stop()
  }
}

const count = (value) => value.toFixed(1)
await prepare()
pinLoad()
const runs = []
for (let rep = 0; rep < reps; rep++) {
  runs.push(await measure())
  console.error(`${rep + 1} of ${reps}: ${runs.at(-1).map(([plain, event]) => `${count(plain)} and ${count(event)}`).join(', ')}`)
}
const rows = works.map(({ name }, i) => {
  const byRatio = runs.map((run) => run[i]).map(([plain, event]) => ({ plain, event, ratio: event / plain })).sort((a, b) => a.ratio - b.ratio)
  // The numbers are those of one process, so that they make the ratio.
  const { plain, event, ratio } = byRatio[byRatio.length >> 1]
  return [name, count(plain), count(event), ratio.toFixed(2), `${byRatio[0].ratio.toFixed(2)} to ${byRatio.at(-1).ratio.toFixed(2)}`]
})
const table = ['work', 'a route of Fastify, µs', 'an event, µs', 'ratio', 'ratios of the runs']
const page = `# An event over HTTP

Written by \`npm run bench:http\` on ${new Date().toISOString().slice(0, 10)}. Do not edit.

- Machine: ${machine()}.
- Versions: Fastify ${versionOf('../../node_modules/fastify')}, @fastify/jwt ${versionOf('../../node_modules/@fastify/jwt')}, fastify-socketcluster ${versionOf('fastify-socketcluster')}.
- An event that is declared with \`http: true\`, beside a route of Fastify with the same two schemas, the same async handler and the same body of ${body.length} bytes; with a token, the route verifies it by @fastify/jwt. All limits of the event are on, except that its rate is one that is never reached.
- Numbers are the CPU time of the server's process for one request, user and system: medians of ${rounds} stretches of ${requests.toLocaleString('en')} requests. Both are routes of the same process and take turns; ${connections} connections are kept alive, with one request at a time on each.${canPin ? ' The server had one core, the load another.' : ''}
- A row is of the process with the median ratio, of ${reps} processes.

${[table, table.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')}

What an event does beyond a route: it looks at the origin, takes from the rate of the caller, counts keys, depth and nodes of the data, makes the \`context\` that a handler gets, sets the deadline of the handler, and notes that a closing server has to wait for it. With a token it also looks for revocations.
`
console.log(page.slice(page.indexOf('| work')))
if (args.profile === undefined) await writeFile(new URL('HTTP.md', import.meta.url), page)
