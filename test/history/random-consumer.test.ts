// The guarantee of the server's own subscriptions with `since`, in random sequences over Redis: while links break, keys vanish and
// loops are slow. CONSUMER_SEED, CONSUMER_PATH and CONSUMER_RUNS replay a failure.
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { redisBroker } from '../../lib/broker/redis/index.js'
import type { ScPosition } from '../../lib/index.js'
import { TcpProxy } from '../helpers/proxy.js'
import { serve, type Served } from '../helpers/serve.js'
import { startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'

type Command =
  { kind: 'publish', count: number, parts: number } |
  { kind: 'pause' | 'continue' | 'leave' | 'cut' | 'block' | 'unblock' | 'turn' } |
  { kind: 'delete position' | 'delete messages' } |
  { kind: 'wait', ms: number }

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('publish' as const), count: fc.integer({ min: 1, max: 40 }), parts: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('publish' as const), count: fc.integer({ min: 1_000, max: 1_400 }), parts: fc.constant(20) }) },
  { weight: 7, arbitrary: fc.record({ kind: fc.constantFrom('pause' as const, 'continue' as const, 'leave' as const, 'cut' as const, 'block' as const, 'unblock' as const, 'turn' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('delete position' as const, 'delete messages' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 20 }) }) }
)

const runs = Number(process.env.CONSUMER_RUNS ?? 40)
const seed = Number(process.env.CONSUMER_SEED ?? Date.now() % 0x7fffffff)

/** A worker: a loop that may pause, and that continues from its stored position after it left. */
class Worker {
  readonly seen: Array<number | 'lost'> = []
  #stored: ScPosition | undefined
  #pause: { promise: Promise<void>, go: () => void } | null = null

  constructor (readonly node: Served, readonly name: string) {}

  get last (): number { return this.seen.filter((n) => n !== 'lost').at(-1) ?? 0 }

  begin (): void {
    const { exchange } = this.node.sc
    const channel = exchange.subscribe(this.name, { since: this.#stored })
    channel.on('recovery', ({ recovered }) => { if (!recovered) this.seen.push('lost') })
    const read = async (): Promise<void> => {
      for await (const n of channel) {
        await this.#pause?.promise
        if (exchange.channel(this.name) !== channel) return
        this.seen.push(n as number)
        this.#stored = channel.position
      }
    }
    read()
  }

  /** Stores where the worker has begun, before its first message. */
  store (): void {
    this.#stored = this.node.sc.exchange.channel(this.name).position
  }

  /** Ends amid the message that the loop has, if there is one. */
  leave (): void {
    this.node.sc.exchange.destroyChannel(this.name)
    this.continue()
  }

  pause (): void {
    if (this.#pause !== null) return
    let go!: () => void
    this.#pause = { promise: new Promise<void>((resolve) => { go = resolve }), go }
  }

  continue (): void {
    this.#pause?.go()
    this.#pause = null
  }
}

/** Why a worker did not see what it should have. @param mayLose whether something happened that loses messages */
function contradiction (seen: Worker['seen'], published: number, mayLose: boolean): string | null {
  let expected = 1
  let mayMiss = false
  for (const item of seen) {
    if (item === 'lost') {
      mayMiss = true
      continue
    }
    if (item < expected) return `${item} came twice or late`
    if (item > expected && !mayMiss) return `${expected} is missing before ${item}`
    // A loss may be told while a slow loop has not read the messages before it.
    if (item > expected) mayMiss = false
    expected = item + 1
  }
  if (expected !== published + 1 && !mayMiss) return `${expected} to ${published} are missing at the end`
  if (!mayLose && seen.includes('lost')) return 'a loss was told although nothing was lost'
  return null
}

t.test(`${runs} random sequences, seed ${seed}`, { timeout: runs > 40 ? 0 : 90_000 }, async (t: Test) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const link = await new TcpProxy(redis.port).listen()
  t.teardown(() => link.close())
  const start = (port: number): Promise<Served> => serve(t, {
    broker: redisBroker({ url: `redis://127.0.0.1:${port}`, timeout: 400, probeInterval: 300, connectTimeout: 5_000, retryDelay: 5, maxRetryDelay: 50 }),
    brokerPrefix: 'random'
  }, (app) => { app.scChannel('jobs/:id', { history: { size: 3_000, ttl: 60_000 } }) })
  const [publisher, node] = [await start(redis.port), await start(link.port)]
  const client = new Redis(redis.port)
  t.teardown(() => client.disconnect())
  const counts = { messages: 0, lost: 0, lives: 0 }
  let run = 0

  await fc.assert(fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 40, size: 'max' }), async (commands) => {
    const name = `jobs/${++run}`
    const worker = new Worker(node, name)
    worker.begin()
    await until('the subscription', () => node.sc.exchange.isSubscribed(name))
    await until('its position', () => node.sc.exchange.channel(name).position !== undefined)
    worker.store()
    let published = 0
    let mayLose = false
    try {
      for (const command of commands) {
        switch (command.kind) {
          case 'publish':
            for (let part = 0; part < command.parts; part++) await Promise.all(Array.from({ length: Math.ceil(command.count / command.parts) }, () => publisher.sc.exchange.publish(name, ++published)))
            break
          case 'pause': worker.pause(); break
          case 'continue': worker.continue(); break
          case 'leave':
            worker.leave()
            counts.lives++
            worker.begin()
            break
          case 'cut': link.cut(); break
          case 'block': link.block(); break
          case 'unblock': link.unblock(); break
          case 'turn': await new Promise((resolve) => setImmediate(resolve)); break
          case 'wait': await sleep(command.ms); break
          default:
            mayLose = true
            await client.del((await client.keys(`*${name}}:h:${command.kind === 'delete position' ? 'meta' : 'frames'}`)).concat('none'))
        }
        // More than the history keeps would be lost.
        if (published - worker.last > 2_000) {
          link.unblock()
          worker.continue()
          await until('the worker', () => worker.last === published || mayLose, 20_000)
        }
      }
      link.unblock()
      worker.continue()
      await until('the link', () => node.sc.stats().broker.state === 'up')
      // After a loss it goes on with the next message, so the last one may be among those that are lost.
      for (let attempt = 0; worker.last !== published || attempt === 0; attempt++) {
        if (attempt === 200) throw new Error(`${published} did not come: ${worker.seen.slice(-5).join(' ')}`)
        await publisher.sc.exchange.publish(name, ++published)
        for (let i = 0; i < 20 && worker.last !== published; i++) await sleep(5)
      }
      const wrong = contradiction(worker.seen, published, mayLose)
      if (wrong !== null) throw new Error(`${wrong}: ${worker.seen.join(' ').slice(-2_000)}`)
      counts.messages += published
      counts.lost += worker.seen.filter((item) => item === 'lost').length
    } finally {
      link.unblock()
      worker.leave()
    }
  }), { numRuns: runs, seed, endOnFailure: true, ...(process.env.CONSUMER_PATH === undefined ? {} : { path: process.env.CONSUMER_PATH }) })
  t.ok(counts.messages > runs * 20, `${counts.messages} messages, ${counts.lives} lives of workers, ${counts.lost} losses told`)
})
