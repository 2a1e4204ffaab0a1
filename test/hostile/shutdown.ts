// npm run test:shutdown: a server closes while polite, rude, slow and pending clients are connected.
// SHUTDOWN_CLIENTS (200 of each kind) and SHUTDOWN_CLOSE_TIMEOUT (2,000 ms) change it.
// Writes a report in Markdown to stdout, or to the file named first.
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { NetClient, RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { closed } from '../helpers/waiting.js'

const count = Number(process.env.SHUTDOWN_CLIENTS ?? 200)
const closeTimeout = Number(process.env.SHUTDOWN_CLOSE_TIMEOUT ?? 2_000)
const closeCode = 4001
/** Milliseconds over `closeTimeout` that closing may take. */
const slack = 1_000

const { app, sc, port } = await serve(null, { closeTimeout, closeCode, closeReason: 'deploy', maxConnections: 0, maxPendingHandshakes: 0, maxConnectionsPerIp: 0 }, (app) => {
  app.scEvent('work', {}, async (data) => {
    await sleep(closeTimeout / 4)
    return data
  })
}, { forceCloseConnections: true })
const many = <T>(make: (i: number) => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: count }, (_, i) => make(i)))

const polite = await many(() => RawClient.connect(null, port))
const answers = polite.map((client, i) => client.call('work', i))
const pending = await many(() => RawClient.open(null, port))
// Do not answer the close frame.
const rude = await many(() => NetClient.connect(null, port))
// Read nothing any more, with a backlog on its way to them.
const slow = await many(() => NetClient.connect(null, port))
const sockets = Object.values(sc.clients)
for (const client of slow) client.socket.pause()
for (const socket of sockets.slice(-count)) socket.emit('backlog', 'x'.repeat(500_000))
// Connected to the HTTP server, and silent: `forceCloseConnections` of Fastify ends them.
const silent = await many(async () => {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  return { closed: closed(socket) }
})
while (sc.stats().inboundMessages < 4 * count) await sleep(5)

const rudeFrames = rude.map((client) => client.closeFrame())
const start = performance.now()
await app.close()
const took = performance.now() - start

const answered = (await Promise.allSettled(answers)).filter((result) => result.status === 'fulfilled').length
const codesOf = async (closes: Array<Promise<{ code: number } | null>>): Promise<string> => {
  const codes = (await Promise.all(closes)).map((close) => close?.code ?? 'none')
  return [...new Set(codes)].map((code) => `${codes.filter((other) => other === code).length} × ${code}`).join(', ')
}
const all = `${count} × ${closeCode}`
const rows: Array<[what: string, value: string, mark: string, passed: boolean]> = [
  ['closing took, ms', took.toFixed(0), `< ${closeTimeout + slack}`, took < closeTimeout + slack],
  ['calls under way that were answered', String(answered), String(count), answered === count]
]
for (const [what, closes] of [
  ['close codes of polite clients', polite.map((client) => client.closed)],
  ['of clients without a handshake', pending.map((client) => client.closed)],
  ['of clients that do not answer it', rudeFrames]
] as const) {
  const codes = await codesOf(closes as Array<Promise<{ code: number } | null>>)
  rows.push([what, codes, all, codes === all])
}
for (const client of slow) client.socket.destroy()
await Promise.all(silent.map(({ closed }) => closed))
const left = sc.clientsCount + sc.pendingClientsCount
rows.push(['sockets left', String(left), '0', left === 0])

const failed = rows.some(([, , , passed]) => !passed)
const report = ['# Shutdown', '', `Node.js ${process.version}, ${new Date().toISOString()}, ${count} each of polite, pending, rude, slow and silent clients, closeTimeout ${closeTimeout} ms`, '',
  '| what | value | mark | |', '|---|---|---|---|', ...rows.map(([what, value, mark, passed]) => `| ${what} | ${value} | ${mark} | ${passed ? 'passed' : 'FAILED'} |`), ''].join('\n')
if (process.argv[2] === undefined) process.stdout.write(`\n${report}`)
else await writeFile(process.argv[2], report)
process.exitCode = failed ? 1 : 0
