// Keys of messages in Redis: while links break, and in random sequences. KEYS_SEED, KEYS_PATH and KEYS_RUNS replay a failure.
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { keyTag } from '../../lib/broker/redis/slots.js'
import type { ScPluginOptions, ScServer } from '../../lib/index.js'
import { TcpProxy } from '../helpers/proxy.js'
import { serve } from '../helpers/serve.js'
import { startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'

const brokerKey = 'a key of brokers that has more than thirty-two bytes'
const quick = { timeout: 10_000, probeInterval: 10_000, connectTimeout: 10_000, retryDelay: 5, maxRetryDelay: 50 }

function node (t: Test, port: number, options: ScPluginOptions = {}) {
  return serve(t, { broker: redisBroker({ url: `redis://127.0.0.1:${port}`, ...quick }), brokerPrefix: 'once', ...options }, (app) => {
    app.scChannel('room/:id', { history: { size: 5_000, ttl: 60_000 }, recover: true })
    app.scChannel('short', { history: { size: 10, ttl: 1_000 } })
  })
}

async function readAll ({ exchange }: ScServer, channel: string): Promise<unknown[]> {
  const { messages } = await exchange.history(channel, { limit: 10_000 })
  return messages.map(({ data }) => data)
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

t.test('publishes that are tried again until they resolve, while the link is cut: each message once', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const link = await new TcpProxy(redis.port).listen()
  t.teardown(() => link.close())
  const [far, near] = [await node(t, link.port, { brokerKey }), await node(t, redis.port, { brokerKey })]
  const got: unknown[] = []
  const channel = near.sc.exchange.subscribe('room/1')
  channel.watch((n) => { got.push(n) })
  await until('the subscription', () => channel.state === 'subscribed')
  let attempts = 0
  /** Attempts after one that was published although it rejected. */
  let needless = 0
  const publish = async (n: number): Promise<void> => {
    for (;;) {
      attempts++
      if (got.includes(n)) needless++
      try {
        return await far.sc.exchange.publish('room/1', n, { idempotencyKey: `n ${n}` })
      } catch (err) {
        if ((err as Error).name !== 'BrokerError') throw err
        await sleep(5)
      }
    }
  }
  const end = new AbortController()
  const ended = end.signal
  const cutting = (async () => {
    for (let cuts = 0; !ended.aborted; cuts++) {
      await until('the link', () => ended.aborted || far.sc.stats().broker.state === 'up')
      // At different moments after a publish: before it arrives, and before its answer does.
      await sleep(cuts % 7)
      link.cut()
    }
  })()
  for (let n = 0; n < 1_000; n += 20) {
    await Promise.all(range(20).map((i) => publish(n + i)))
    // Some that were accepted are tried again at the other node too.
    await near.sc.exchange.publish('room/1', 'a repeat', { idempotencyKey: `n ${n}` })
  }
  end.abort()
  await cutting
  const sorted = (list: unknown[]): unknown[] => [...list].sort((a, b) => Number(a) - Number(b))
  t.same(sorted(await readAll(near.sc, 'room/1')), range(1_000))
  await until('the messages', () => got.length >= 1_000)
  t.same(sorted(got), range(1_000))
  t.ok(needless > 0, `${attempts} attempts, ${needless} for what was published already, ${far.sc.stats().broker.reconnects} lost links`)
})

t.test('keys are in the slot of the channel, expire, and cost nothing where no publish has one', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const { sc } = await node(t, redis.port)
  const client = new Redis(redis.port)
  t.teardown(() => client.disconnect())
  await sc.exchange.publish('short', 1)
  const own = (await client.keys('*')).sort()
  const tag = keyTag('once:c:short')
  t.same(own, [`${tag}:frames`, `${tag}:meta`])
  await sc.exchange.publish('short', 2, { idempotencyKey: 'a {b}' })
  t.same((await client.keys('*')).sort(), [...own, `${tag}:key:a {b}`].sort())
  const left = await client.pttl(`${tag}:key:a {b}`)
  t.ok(left > 0 && left <= 1_000, `${left} ms`)
  await until('the end of the key', async () => await client.exists(`${tag}:key:a {b}`) === 0)
  await sc.exchange.publish('short', 3, { idempotencyKey: 'a {b}' })
  t.equal((await sc.exchange.history('short', { limit: 1 })).messages[0]!.data, 3)
})

t.test('what Redis refuses uses no key', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const { sc } = await node(t, redis.port)
  const client = new Redis(redis.port)
  t.teardown(() => client.disconnect())
  await sc.exchange.publish('room/1', 1)
  await client.config('SET', 'maxmemory', '1')
  await t.rejects(sc.exchange.publish('room/1', 2, { idempotencyKey: 'k' }), { name: 'BrokerError', message: /OOM/ })
  await client.config('SET', 'maxmemory', '0')
  t.same(await client.keys('*:key:*'), [])
  await sc.exchange.publish('room/1', 2, { idempotencyKey: 'k' })
  t.same(await readAll(sc, 'room/1'), [1, 2])
})

/** A publish, or a pause for the publishes before it. */
type Step = { node: number, how: 'plain' | 'not kept' } | { node: number, how: 'keyed', key: number } | 'turn' | 'settle'

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ node: fc.nat(1), how: fc.constant('keyed' as const), key: fc.nat(8) }) },
  { weight: 3, arbitrary: fc.record({ node: fc.nat(1), how: fc.constantFrom('plain' as const, 'not kept' as const) }) },
  { weight: 2, arbitrary: fc.constantFrom('turn' as const, 'settle' as const) }
)

const runs = Number(process.env.KEYS_RUNS ?? 60)
const seed = Number(process.env.KEYS_SEED ?? Date.now() % 0x7fffffff)

t.test(`${runs} random sequences of two nodes, seed ${seed}`, { timeout: runs > 60 ? 0 : 60_000 }, async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const nodes = [await node(t, redis.port, { brokerKey }), await node(t, redis.port, { brokerKey })]
  let run = 0
  let repeats = 0
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 120, size: 'max' }), async (steps) => {
    const name = `room/${++run}`
    const got: string[][] = [[], []]
    for (const [i, { sc: { exchange } }] of nodes.entries()) {
      const channel = exchange.subscribe(name)
      channel.watch((data) => { got[i]!.push(data as string) })
      await until('the subscription', () => channel.state === 'subscribed')
    }
    /** The messages of each node in the order of the calls, with the key. */
    const calls: Array<Array<{ text: string, key?: number, kept: boolean }>> = [[], []]
    let pending: unknown[] = []
    for (const [n, step] of steps.entries()) {
      if (step === 'turn') await new Promise((resolve) => setImmediate(resolve))
      else if (step === 'settle') await Promise.all(pending.splice(0))
      else {
        const key = step.how === 'keyed' ? step.key : undefined
        const kept = step.how !== 'not kept'
        const text = `${step.node}:${n}`
        calls[step.node]!.push({ text, kept, ...(key === undefined ? {} : { key }) })
        pending.push(nodes[step.node]!.sc.exchange.publish(name, text, key === undefined ? kept ? {} : { history: false } : { idempotencyKey: String(key) }))
      }
    }
    await Promise.all(pending)
    pending = []
    for (const { sc: { exchange } } of nodes) await exchange.publish(name, 'end', { history: false })
    for (const list of got) await until('the end', () => list.filter((text) => text === 'end').length === 2)
    const [one, other] = got.map((list) => list.filter((text) => text !== 'end'))
    if (JSON.stringify(one) !== JSON.stringify(other)) throw new Error(`two orders: ${one!.join(' ')} and ${other!.join(' ')}`)
    const all = calls.flat()
    const byText = new Map(all.map((call) => [call.text, call]))
    const keys = new Set<number>()
    for (const text of one!) {
      const { key } = byText.get(text)!
      if (key === undefined) continue
      if (keys.has(key)) throw new Error(`the key ${key} was used twice`)
      keys.add(key)
    }
    repeats += all.filter(({ key }) => key !== undefined).length - keys.size
    const missing = all.filter(({ text, key }) => !one!.includes(text) && (key === undefined || !keys.has(key)))
    if (missing.length !== 0) throw new Error(`missing: ${missing.map(({ text }) => text).join(' ')}`)
    if (new Set(one).size !== one!.length) throw new Error(`twice: ${one!.join(' ')}`)
    for (const list of calls) {
      const own = list.map(({ text }) => text).filter((text) => one!.includes(text))
      if (JSON.stringify(own) !== JSON.stringify(one!.filter((text) => own.includes(text)))) throw new Error(`not in the order of the calls: ${one!.join(' ')}`)
      // Of a node's own calls with a key, the first one that is published is the first one of the node.
      for (const [i, { text, key }] of list.entries()) {
        if (key !== undefined && one!.includes(text) && list.slice(0, i).some((earlier) => earlier.key === key)) throw new Error(`${text} was published after a repeat`)
      }
    }
    const kept = one!.filter((text) => byText.get(text)!.kept)
    const { messages } = await nodes[0]!.sc.exchange.history(name, { limit: 10_000 })
    if (JSON.stringify(messages.map(({ data }) => data)) !== JSON.stringify(kept)) throw new Error(`the history has ${JSON.stringify(messages)}, expected ${kept.join(' ')}`)
    for (const { sc: { exchange } } of nodes) exchange.destroyChannel(name)
  }), { numRuns: runs, seed, ...(process.env.KEYS_PATH === undefined ? {} : { path: process.env.KEYS_PATH, endOnFailure: true }) })
  t.ok(repeats > runs, `${repeats} repeats`)
})
