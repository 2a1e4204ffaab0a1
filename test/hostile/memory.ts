// npm run test:memory: whether connections and publications leave something behind.
// MEMORY_CONNECTS (50,000) and MEMORY_PUBLISHES (1,000,000) change how many are counted; a tenth as many come before. Writes a report in Markdown to stdout, or to the file named first.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

const connects = Number(process.env.MEMORY_CONNECTS ?? 50_000)
const publishes = Number(process.env.MEMORY_PUBLISHES ?? 1_000_000)
/** Bytes that may stay per thousand cycles. */
const mark = 1_024
const points = 10
const concurrency = 32

type Samples = Array<readonly [cycles: number, bytes: number]>

if (process.env.MEMORY_SERVER !== undefined) await beServer()
else await beClients()

/**
 * The server has a process of its own, so that only its memory is measured, and no optimizing compilers: what they write, which goes
 * on for a hundred thousand connections, would be taken for a leak.
 */
async function beServer (): Promise<void> {
  const { app, sc, port, warnings } = await serve(null, { inboundRate: 0, maxConnections: 0, maxPendingHandshakes: 0 })
  sc.on('connection', (socket) => socket.on('echo', (data: unknown, res) => res(null, data)))
  sc.exchange.subscribe('news').watch(() => {})
  const heapUsed = async (): Promise<number> => {
    // What waits for finalizers and closed handles goes with the second one.
    for (let i = 0; i < 3; i++) {
      globalThis.gc!()
      await sleep(20)
    }
    return process.memoryUsage().heapUsed
  }
  process.on('disconnect', () => process.exit())
  process.on('message', async ({ command, count }: { command: 'heap' | 'publish' | 'close', count: number }) => {
    // What the helper collected is not the server's.
    warnings.length = 0
    if (command === 'heap') {
      // Connections that just closed are let go first.
      for (let i = 0; i < 500 && sc.stats().clients > count; i++) await sleep(2)
      process.send!(await heapUsed())
    } else if (command === 'publish') {
      for (let n = 0; n < count; n++) {
        sc.exchange.transmitPublish('news', { n, text: 'some text that has a length' })
        if (n % 200 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      process.send!(0)
    } else {
      await app.close()
      const { clients, pendingClients, subscriptions } = sc.stats()
      process.send!({ clients, pendingClients, subscriptions })
      process.disconnect()
    }
  })
  process.send!(port)
}

/** Bytes per cycle: the slope of the line that fits the points best. */
function slope (samples: Samples): number {
  const mean = (of: 0 | 1): number => samples.reduce((sum, sample) => sum + sample[of], 0) / samples.length
  const [x, y] = [mean(0), mean(1)]
  const up = samples.reduce((sum, [cycles, bytes]) => sum + (cycles - x) * (bytes - y), 0)
  const down = samples.reduce((sum, [cycles]) => sum + (cycles - x) ** 2, 0)
  return up / down
}

async function beClients (): Promise<void> {
  const server = fork(fileURLToPath(import.meta.url), { execArgv: [...process.execArgv, '--expose-gc', '--no-flush-bytecode', '--no-opt', '--no-sparkplug'], env: { ...process.env, MEMORY_SERVER: '1' } })
  const [port] = await once(server, 'message') as [number]
  const ask = async <T>(command: string, count = 0): Promise<T> => {
    const answer = once(server, 'message')
    server.send({ command, count })
    return (await answer)[0] as T
  }

  async function cycle (n: number): Promise<void> {
    const client = await RawClient.connect(null, port, { version: n % 2 === 0 ? 1 : 2 })
    await client.call('#subscribe', `channel ${n}`)
    await client.call('echo', n)
    if (n % 3 === 0) client.ws.terminate()
    else await client.close()
  }

  async function measure (total: number, staying: number, run: (from: number, to: number) => Promise<void>): Promise<Samples> {
    await run(0, Math.ceil(total / 10))
    const samples: Samples = [[0, await ask<number>('heap', staying)]]
    const step = Math.max(1, Math.floor(total / points))
    for (let done = 0; done < total; done += step) {
      const to = Math.min(total, done + step)
      await run(done, to)
      samples.push([to, await ask<number>('heap', staying)])
      process.stderr.write('.')
    }
    return samples
  }

  const connecting = await measure(connects, 0, async (from, to) => {
    let next = from
    await Promise.all(Array.from({ length: concurrency }, async () => { while (next < to) await cycle(next++) }))
  })

  const subscriber = await RawClient.connect(null, port)
  await subscriber.call('#subscribe', 'news')
  const counter = { received: 0 }
  subscriber.inbox.push = () => { counter.received++ }
  const publishing = await measure(publishes, 1, async (from, to) => {
    const wanted = counter.received + to - from
    await ask('publish', to - from)
    while (counter.received < wanted) await sleep(2)
  })
  subscriber.ws.terminate()
  const left = await ask<{ clients: number, pendingClients: number, subscriptions: number }>('close')

  let failed = left.clients + left.pendingClients + left.subscriptions !== 0
  const lines = ['# Memory', '', `Node.js ${process.version}, ${new Date().toISOString()}`, '', '| what | cycles | heap at the start, MB | heap at the end, MB | bytes per 1,000 cycles | mark | |', '|---|---|---|---|---|---|---|']
  const results = [['connects and closes', connects, connecting], ['publishes', publishes, publishing]] as const
  for (const [what, cycles, samples] of results) {
    const each = slope(samples) * 1_000
    const passed = each < mark
    failed ||= !passed
    const [first, last] = [samples[0]![1], samples.at(-1)![1]].map((bytes) => (bytes / 1024 / 1024).toFixed(2))
    lines.push(`| ${what} | ${cycles.toLocaleString('en')} | ${first} | ${last} | ${each.toFixed(0)} | < ${mark} | ${passed ? 'passed' : 'FAILED'} |`)
  }
  lines.push('', 'Heap in bytes at the points measured:', '')
  for (const [what, , samples] of results) lines.push(`- ${what}: ${samples.map(([cycles, bytes]) => `${cycles}: ${bytes}`).join(', ')}`)
  lines.push('', `Left after the end: ${left.clients} clients, ${left.pendingClients} pending, ${left.subscriptions} subscriptions.`, '')
  const report = lines.join('\n')
  if (process.argv[2] === undefined) process.stdout.write(`\n${report}`)
  else await writeFile(process.argv[2], report)
  process.exitCode = failed ? 1 : 0
}
