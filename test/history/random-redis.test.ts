// The guarantee of recoveries with Redis, while links break and keys vanish: random sequences of a real client that moves between two
// nodes. REDIS_SEED, REDIS_PATH and REDIS_RUNS replay a failure.
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import t from 'tap'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { decodeFrame } from '../../lib/broker/remote/frames.js'
import { readPositioned } from '../../lib/broker/remote/history/positioned.js'
import { recovering } from '../../lib/client/index.js'
import { generations } from '../helpers/app.js'
import { TcpProxy } from '../helpers/proxy.js'
import { serve } from '../helpers/serve.js'
import { startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'
import { contradiction, type Seen } from './seen.js'

type Command =
  { kind: 'publish', from: number, count: number } |
  { kind: 'cut client' | 'cut link' | 'block' | 'unblock' | 'silence' | 'flush' | 'delete position' | 'delete messages' | 'flush scripts' | 'move' } |
  { kind: 'wait', ms: number }

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('publish' as const), from: fc.nat(2), count: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('cut client' as const, 'cut link' as const, 'move' as const, 'block' as const, 'unblock' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('silence' as const, 'flush' as const, 'delete position' as const, 'delete messages' as const, 'flush scripts' as const) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 40 }) }) }
)

const runs = Number(process.env.REDIS_RUNS ?? 40)
const seed = Number(process.env.REDIS_SEED ?? Date.now() % 0x7fffffff)

t.test(`${runs} random sequences, seed ${seed}`, { timeout: runs > 40 ? 0 : 60_000 }, async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const link = await new TcpProxy(redis.port).listen()
  t.teardown(() => link.close())
  const start = (port: number) => serve(t, {
    broker: redisBroker({ url: `redis://127.0.0.1:${port}`, timeout: 400, probeInterval: 300, connectTimeout: 400, retryDelay: 5, maxRetryDelay: 50 }),
    brokerPrefix: 'random',
    inboundRate: 0
  }, (app) => { app.scChannel('room/:id', { history: { size: 50, ttl: 60_000 }, recover: true }) })
  // The first node reaches Redis over the link, the others directly.
  const nodes = [await start(link.port), await start(redis.port), await start(redis.port)]
  for (const { sc } of nodes) sc.on('connection', (socket) => { socket.on('answer', (_data: unknown, respond: () => void) => respond()) })
  const front = await new TcpProxy(nodes[0]!.port).listen()
  t.teardown(() => front.close())
  const client = new Redis(redis.port)
  const watcher = new Redis(redis.port)
  for (const connection of [client, watcher]) t.teardown(() => connection.disconnect())
  let order: number[] = []
  watcher.on('message', (_topic: string, text: string) => {
    const positioned = readPositioned(text)
    order.push(...decodeFrame(positioned!.frame)!.messages.map(Number))
  })
  const remove = async (part: string): Promise<void> => {
    const keys = await client.keys(`*:${part}`)
    if (keys.length !== 0) await client.del(keys)
  }
  const counts = { recovered: 0, told: 0, repairs: 0 }
  let run = 0
  let serial = 0

  async function check (commands: readonly Command[]): Promise<void> {
    const name = `room/${++run}`
    order = []
    await watcher.subscribe(`random:c:${name}`)
    const seen: Seen[] = []
    const cleanups: Array<() => unknown> = []
    front.target = nodes[run % 2]!.port
    try {
      const { raw } = await generations[0]![1]({ teardown: (cleanup: () => unknown) => { cleanups.push(cleanup) } }, { port: front.port }, { codecEngine: recovering(), ackTimeout: 8_000, autoReconnect: true, autoReconnectOptions: { initialDelay: 5, randomness: 10, maxDelay: 30 } })
      raw.on('recovery', ({ recovered }: { recovered: boolean }) => seen.push({ what: 'recovery', recovered }))
      raw.on('subscribe', () => seen.push({ what: 'subscribed' }))
      raw.on('disconnect', () => seen.push({ what: 'disconnected' }))
      raw.channel(name).watch((n: number) => seen.push({ what: 'message', n }))
      raw.subscribe(name)
      await until('the subscription', () => raw.isSubscribed(name))
      for (const command of commands) {
        switch (command.kind) {
          case 'publish': for (let i = 0; i < command.count; i++) nodes[command.from]!.sc.exchange.publish(name, ++serial).catch(() => {}); break
          case 'cut client': front.cut(); break
          case 'move':
            front.target = front.target === nodes[0]!.port ? nodes[1]!.port : nodes[0]!.port
            front.cut()
            break
          case 'cut link': link.cut(); break
          case 'block': link.block(); break
          case 'unblock': link.unblock(); break
          case 'silence':
            link.blackHole()
            await until('the loss of the link', () => nodes[0]!.sc.stats().broker.state === 'down')
            link.heal()
            break
          case 'flush': await client.flushall(); break
          case 'delete position': await remove('meta'); break
          case 'delete messages': await remove('frames'); break
          case 'flush scripts': await client.script('FLUSH'); break
          case 'wait': await sleep(command.ms); break
        }
      }
      link.unblock()
      await until('all nodes', () => nodes.every(({ sc }) => sc.stats().broker.state === 'up'))
      // A connection that was cut looks open for a moment.
      await until('an answer', () => new Promise<boolean>((resolve) => raw.emit('answer', null, (err: unknown) => resolve(err === null || err === undefined))))
      await until('the subscription', () => raw.isSubscribed(name))
      // A link that was cut looks up for a moment. What is published then may be lost, with a notice: the next message must come.
      let last = 0
      let notices = -1
      await until(() => `the last message: ${JSON.stringify(seen)} of ${order.join()}`, async () => {
        const now = seen.filter((event) => event.what === 'recovery' && !event.recovered).length
        if (now !== notices) {
          notices = now
          last = ++serial
          // Scripts may be missing at the first attempt.
          await until('an accepted message', () => nodes[2]!.sc.exchange.publish(name, last).then(() => true, () => false))
        }
        return seen.some((event) => event.what === 'message' && event.n === last)
      })
      const wrong = contradiction(seen, order, true)
      if (wrong !== undefined) throw new Error(`${wrong}; it saw ${JSON.stringify(seen)} of ${order.join()}`)
      for (const event of seen) if (event.what === 'recovery') counts[event.recovered ? 'recovered' : 'told']++
    } finally {
      link.unblock()
      for (const cleanup of cleanups) await cleanup()
      await watcher.unsubscribe(`random:c:${name}`)
    }
  }

  const result = await fc.check(fc.asyncProperty(fc.array(command, { maxLength: 25, size: 'max' }), check), { seed, numRuns: runs, path: process.env.REDIS_PATH, interruptAfterTimeLimit: runs > 40 ? undefined : 25_000, endOnFailure: process.env.REDIS_SHRINK === undefined })
  counts.repairs = nodes[0]!.sc.stats().broker.historyRepairs!
  if (result.failed) t.fail(`REDIS_SEED=${seed} REDIS_PATH=${String(result.counterexamplePath)}`, { error: String((result.errorInstance as Error | null)?.message), sequence: JSON.stringify(result.counterexample) })
  else t.ok(counts.recovered > 0 && counts.repairs > 0, JSON.stringify(counts))
})
