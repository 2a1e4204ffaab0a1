// npm run soak: many sockets for a long time, with churn. SOAK_SECONDS (3600), SOAK_SOCKETS (500), SOAK_CHURN (20 a second),
// SOAK_RATE (2,000 messages a second) and SOAK_BROKER=redis (killed and started again every minute) change it.
// Writes a report in Markdown to stdout, or to the file named first.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { startRedis, type TestServer } from '../helpers/servers.js'

const self = fileURLToPath(import.meta.url)

if (process.env.SOAK_SERVER !== undefined) await beServer()
else await beClients()

/**
 * The server has a process of its own, so that only its memory is measured, and no optimizing compilers: what they write would be taken
 * for a leak.
 */
async function beServer (): Promise<void> {
  const redis = process.env.SOAK_REDIS_PORT
  const { app, sc, port, warnings } = await serve(null, redis === undefined ? {} : { broker: redisBroker({ url: `redis://127.0.0.1:${redis}` }) })
  sc.on('connection', (socket) => socket.on('echo', (data: unknown, res) => res(null, data)))
  process.on('disconnect', () => process.exit())
  process.on('message', async (question: string) => {
    if (question === 'close') {
      await app.close()
      process.disconnect()
      return
    }
    // What the helper collected is not the server's.
    warnings.length = 0
    globalThis.gc?.()
    const { rss, heapUsed } = process.memoryUsage()
    process.send!({ rss, heapUsed, stats: sc.stats() })
  })
  process.send!({ port })
}

async function beClients (): Promise<void> {
  const seconds = Number(process.env.SOAK_SECONDS ?? 3_600)
  const count = Number(process.env.SOAK_SOCKETS ?? 500)
  const churn = Number(process.env.SOAK_CHURN ?? 20)
  const rate = Number(process.env.SOAK_RATE ?? 2_000)
  /** Megabytes an hour, and milliseconds. */
  const marks = { growth: 1, p99: 50 }

  const teardowns: Array<() => unknown> = []
  let redis: TestServer | null = null
  if (process.env.SOAK_BROKER === 'redis') {
    redis = await startRedis({ teardown: (fn) => { teardowns.push(fn) } })
    if (redis === null) throw new Error('SOAK_BROKER=redis needs a redis-server on this machine')
  }
  const server = fork(self, { execArgv: [...process.execArgv, '--expose-gc', '--no-flush-bytecode', '--no-opt', '--no-sparkplug'], env: { ...process.env, SOAK_SERVER: '1', ...(redis === null ? {} : { SOAK_REDIS_PORT: String(redis.port) }) } })
  const [{ port }] = await once(server, 'message')

  const delays: number[] = []
  let sent = 0
  let failures = 0
  const clients: RawClient[] = []
  const connect = async (): Promise<RawClient> => {
    const client = await RawClient.connect(null, port)
    const room = `room ${clients.length % 50}`
    await client.call('#subscribe', room)
    client.inbox.push = (packet: any) => {
      // Answers are for who waits for them.
      if (packet.event === '#publish') delays.push(performance.timeOrigin + performance.now() - packet.data.data)
    }
    return client
  }
  while (clients.length < count) clients.push(await connect())

  const samples: Array<[hours: number, bytes: number]> = []
  const start = Date.now()
  const end = start + seconds * 1_000
  let killed = 0
  const publishing = (async () => {
    // Each message reaches count / 50 sockets; the rate counts what is received.
    const perTick = Math.max(1, Math.round(rate / (count / 50) / 100))
    while (Date.now() < end) {
      for (let i = 0; i < perTick; i++) {
        const client = clients[Math.floor(Math.random() * clients.length)]!
        if (client.ws.readyState !== 1) continue
        client.send({ event: '#publish', data: { channel: `room ${Math.floor(Math.random() * 50)}`, data: performance.timeOrigin + performance.now() } })
        sent++
      }
      await sleep(10)
    }
  })()
  const churning = (async () => {
    while (Date.now() < end) {
      const at = Math.floor(Math.random() * clients.length)
      const old = clients[at]!
      try {
        if (Math.random() < 0.5) old.ws.terminate()
        else await old.close()
        clients[at] = await connect()
      } catch {
        failures++
      }
      await sleep(1_000 / churn)
    }
  })()
  const killing = (async () => {
    if (redis === null) return
    while (Date.now() + 60_000 < end) {
      await sleep(60_000)
      await redis.kill()
      await sleep(1_000)
      await redis.restart()
      killed++
    }
  })()
  const measuring = (async () => {
    while (Date.now() < end) {
      await sleep(Math.min(10_000, seconds * 100))
      server.send('report')
      const [{ heapUsed }] = await once(server, 'message')
      samples.push([(Date.now() - start) / 3_600_000, heapUsed])
      process.stderr.write('.')
    }
  })()
  await Promise.all([publishing, churning, killing, measuring])

  const counted = samples.slice(Math.ceil(samples.length / 4))
  const mean = (of: 0 | 1): number => counted.reduce((sum, sample) => sum + sample[of], 0) / counted.length
  const [x, y] = [mean(0), mean(1)]
  const growth = counted.reduce((sum, [hours, bytes]) => sum + (hours - x) * (bytes - y), 0) / counted.reduce((sum, [hours]) => sum + (hours - x) ** 2, 0) / 1024 / 1024
  const sorted = Float64Array.from(delays).sort()
  const p99 = sorted[Math.floor(sorted.length * 0.99)] ?? NaN
  const exited = server.exitCode !== null
  for (const client of clients) client.ws.terminate()
  server.send('close')
  if (!exited) await once(server, 'exit')
  for (const teardown of teardowns) await teardown()

  // A short run says nothing about an hour: the growth then only informs.
  const judgesGrowth = seconds >= 400
  const failed = exited || p99 >= marks.p99 || (judgesGrowth && growth >= marks.growth)
  const report = [
    '# Soak', '', `Node.js ${process.version}, ${new Date().toISOString()}, ${seconds} s, ${count} sockets, churn ${churn}/s, broker ${redis === null ? 'memory' : `redis, killed ${killed} times`}`, '',
    '| what | value | mark |', '|---|---|---|',
    `| published / received | ${sent} / ${delays.length} | |`, `| delay p50, ms | ${(sorted[sorted.length >> 1] ?? NaN).toFixed(1)} | |`, `| delay p99, ms | ${p99.toFixed(1)} | < ${marks.p99} |`,
    `| heap growth, MB/h | ${growth.toFixed(2)} | ${judgesGrowth ? `< ${marks.growth}` : 'not judged under 400 s'} |`, `| failed connects | ${failures} | |`, `| server ended by itself | ${exited ? 'yes' : 'no'} | no |`, '', failed ? '**FAILED**' : 'Passed.', ''
  ].join('\n')
  if (process.argv[2] === undefined) process.stdout.write(`\n${report}`)
  else await writeFile(process.argv[2], report)
  process.exitCode = failed ? 1 : 0
}
