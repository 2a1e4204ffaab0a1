// npm run test:memory: whether connections and publications leave something behind.
// MEMORY_CONNECTS (50,000) and MEMORY_PUBLISHES (1,000,000) change how many. Writes a report in Markdown to stdout, or to the file named first.
import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

const connects = Number(process.env.MEMORY_CONNECTS ?? 50_000)
const publishes = Number(process.env.MEMORY_PUBLISHES ?? 1_000_000)
/** Bytes that may stay per thousand cycles. */
const mark = 1_024
const points = 10
const concurrency = 32

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

async function heapUsed (): Promise<number> {
  // What waits for finalizers and closed handles goes with the second one.
  for (let i = 0; i < 3; i++) {
    collect()
    await sleep(20)
  }
  return process.memoryUsage().heapUsed
}

/** Bytes per cycle: the slope of the line that fits the points best. The first points warm up and do not count. */
function slope (samples: ReadonlyArray<readonly [cycles: number, bytes: number]>): number {
  const counted = samples.slice(Math.ceil(samples.length / 4))
  const mean = (of: 0 | 1): number => counted.reduce((sum, sample) => sum + sample[of], 0) / counted.length
  const [x, y] = [mean(0), mean(1)]
  const up = counted.reduce((sum, [cycles, bytes]) => sum + (cycles - x) * (bytes - y), 0)
  const down = counted.reduce((sum, [cycles]) => sum + (cycles - x) ** 2, 0)
  return up / down
}

const { app, sc, port, warnings } = await serve(null, { inboundRate: 0, maxConnections: 0, maxPendingHandshakes: 0 })
sc.on('connection', (socket) => socket.on('echo', (data: unknown, res) => res(null, data)))

async function cycle (n: number): Promise<void> {
  const client = await RawClient.connect(null, port, { version: n % 2 === 0 ? 1 : 2 })
  await client.call('#subscribe', `channel ${n}`)
  await client.call('echo', n)
  if (n % 3 === 0) client.ws.terminate()
  else await client.close()
}

async function measure (total: number, run: (from: number, to: number) => Promise<void>): Promise<Array<readonly [number, number]>> {
  const samples: Array<readonly [number, number]> = []
  const step = Math.max(1, Math.floor(total / points))
  for (let done = 0; done < total; done += step) {
    await run(done, Math.min(total, done + step))
    for (let i = 0; i < 500 && sc.stats().clients > watching; i++) await sleep(2)
    // What the helper collected is not the server's.
    warnings.length = 0
    samples.push([Math.min(total, done + step), await heapUsed()])
    process.stderr.write('.')
  }
  return samples
}

let watching = 0
const connecting = await measure(connects, async (from, to) => {
  let next = from
  await Promise.all(Array.from({ length: concurrency }, async () => { while (next < to) await cycle(next++) }))
})

const subscriber = await RawClient.connect(null, port)
await subscriber.call('#subscribe', 'news')
watching = 1
const counter = { received: 0 }
subscriber.inbox.push = () => { counter.received++ }
sc.exchange.subscribe('news').watch(() => {})
const publishing = await measure(publishes, async (from, to) => {
  const wanted = counter.received + to - from
  for (let n = from; n < to; n++) {
    sc.exchange.transmitPublish('news', { n, text: 'some text that has a length' })
    if (n % 200 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  while (counter.received < wanted) await sleep(2)
})
subscriber.ws.terminate()
await app.close()

const { clients, pendingClients, subscriptions } = sc.stats()
const results = [['connects and closes', connects, connecting], ['publishes', publishes, publishing]] as const
let failed = clients + pendingClients + subscriptions !== 0
const lines = ['# Memory', '', `Node.js ${process.version}, ${new Date().toISOString()}`, '', '| what | cycles | heap at the start, MB | heap at the end, MB | bytes per 1,000 cycles | mark | |', '|---|---|---|---|---|---|---|']
for (const [what, cycles, samples] of results) {
  const each = slope(samples) * 1_000
  const passed = each < mark
  failed ||= !passed
  const [first, last] = [samples[0]![1], samples.at(-1)![1]].map((bytes) => (bytes / 1024 / 1024).toFixed(2))
  lines.push(`| ${what} | ${cycles.toLocaleString('en')} | ${first} | ${last} | ${each.toFixed(0)} | < ${mark} | ${passed ? 'passed' : 'FAILED'} |`)
}
lines.push('', `Left after the end: ${clients} clients, ${pendingClients} pending, ${subscriptions} subscriptions.`, '')
const report = lines.join('\n')
if (process.argv[2] === undefined) process.stdout.write(`\n${report}`)
else await writeFile(process.argv[2], report)
process.exitCode = failed ? 1 : 0
