// Clients that recover, while nodes, links and Redis fail: exact counts with real clients of both generations.
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { RemoteBrokerOptions } from '../../lib/broker/remote/options.js'
import type { TcpProxy } from '../helpers/proxy.js'
import { startRedis, startSentinel } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'
import { NodeProcess } from './node-process.js'
import { RecoveryStage } from './recovery-stage.js'
import { Cleanups, type Pace } from './scenario.js'

export interface RecoveryScenario {
  readonly name: string
  readonly clients: number
  readonly channels: readonly string[]
  /** Messages in each channel; the fault begins when `faultAt` of them were published. */
  readonly messages: number
  readonly faultAt: number
  readonly rate: number
  readonly options: RemoteBrokerOptions
  /** Whether clients that the scenario did not send away may lose their connections. */
  readonly reconnects: boolean
  /** Builds the scene. @returns the ports of the clients, and the fault */
  setUp (stage: RecoveryStage): Promise<{ ports: number[], fault: () => Promise<void> }>
}

export interface RecoveryReport {
  clients: number
  published: number
  acked: number
  rejected: number
  delivered: number
  /** Accepted messages that a client did not get, without being told: must be 0. */
  lostSilently: number
  lostTold: number
  duplicates: number
  outOfOrder: number
  /** Connections that ended, but for those that the scenario ended. */
  reconnects: number
  /** `recovered: true`, over all clients and channels. */
  recovered: number
  /** `recovered: false`. */
  told: number
  /** The reasons that they were told, each once. */
  reasons: string
  /** Clients that were told less or more often than once in each channel, or at all though nothing was lost. */
  wronglyTold: number
}

/** What breaks a rule; empty when all is well. */
export function judgeRecovery ({ reconnects, clients, channels }: RecoveryScenario, report: RecoveryReport): string[] {
  const broken: string[] = []
  for (const name of ['lostSilently', 'duplicates', 'outOfOrder', 'wronglyTold'] as const) if (report[name] !== 0) broken.push(`${name} is ${report[name]}`)
  if (reconnects && report.reconnects < clients) broken.push('not every client lost its connection')
  if (!reconnects && report.reconnects !== 0) broken.push(`reconnects is ${report.reconnects}`)
  if (reconnects && report.recovered < clients * channels.length) broken.push('not every client recovered')
  if (report.acked + report.rejected !== report.published) broken.push('not every publish was acked or rejected')
  if (report.acked === 0 || report.delivered === 0) broken.push('nothing was published')
  return broken
}

/** Runs a scenario once. `null` when the machine has no Redis. */
export async function runRecovery (scenario: RecoveryScenario): Promise<RecoveryReport | null> {
  const cleanups = new Cleanups()
  try {
    const redis = await startRedis(cleanups)
    if (redis === null) return null
    const stage = new RecoveryStage(redis, cleanups, scenario.channels, scenario.options)
    const { ports, fault } = await scenario.setUp(stage)
    await stage.connect(scenario.clients, ports)
    await stage.publishDuring(scenario.rate, scenario.messages, scenario.rate / 2, stage.until(scenario.faultAt).then(fault))
    await stage.arrived()
    return account(scenario, stage)
  } finally {
    await cleanups.run()
  }
}

function account ({ channels }: RecoveryScenario, { clients, answers }: RecoveryStage): RecoveryReport {
  const all = [...answers.values()].flat()
  const report: RecoveryReport = {
    clients: clients.length,
    published: all.length,
    acked: all.filter((answer) => answer === 'acked').length,
    rejected: all.filter((answer) => answer === 'rejected').length,
    delivered: 0,
    lostSilently: 0,
    lostTold: 0,
    duplicates: 0,
    outOfOrder: 0,
    reconnects: 0,
    recovered: 0,
    told: 0,
    reasons: [...new Set(clients.flatMap((client) => client.reasons))].join(', '),
    wronglyTold: 0
  }
  for (const client of clients) {
    const counts = client.count(answers)
    for (const name of ['delivered', 'lostSilently', 'lostTold', 'duplicates', 'outOfOrder'] as const) report[name] += counts[name]
    report.reconnects += client.disconnects - (client.wasAway ? 1 : 0)
    report.recovered += client.recovered
    report.told += client.told
    if (client.mayBeTold ? client.told > channels.length : client.told !== (client.mustBeTold ? channels.length : 0)) report.wronglyTold++
  }
  return report
}

/** The rows of the table, at a pace. */
export function recoveryScenarios ({ options, outage, pause, duration }: Pace): RecoveryScenario[] {
  const isLong = duration > 10_000
  const common = {
    clients: isLong ? 48 : 16,
    channels: ['room/1'],
    messages: isLong ? 3_000 : 300,
    faultAt: isLong ? 500 : 50,
    rate: isLong ? 500 : 200,
    options,
    reconnects: false
  }
  const nodesGo = { ...common, messages: isLong ? 10_000 : 300, reconnects: true }
  return [
    {
      ...nodesGo,
      name: `kill -9 of the clients' node${isLong ? ', twice' : ''}`,
      async setUp (stage) {
        const nodes = [await stage.node(), ...await Promise.all(Array.from({ length: isLong ? 2 : 1 }, () => stage.process()))]
        const front = await stage.proxy(nodes.at(-1)!.port)
        return {
          ports: [front.port],
          async fault () {
            for (let node = nodes.pop(); node instanceof NodeProcess; node = nodes.pop()) {
              front.target = nodes.at(-1)!.port
              await node.kill()
              await stage.until(stage.published + nodesGo.messages / 4)
            }
          }
        }
      }
    },
    {
      ...nodesGo,
      name: 'rolling restart of three nodes',
      clients: isLong ? 48 : 6,
      async setUp (stage) {
        await stage.node()
        const nodes = await Promise.all([1, 2, 3].map(() => stage.restartable(isLong)))
        const fronts = await Promise.all(nodes.map(({ port }) => stage.proxy(port)))
        return {
          ports: fronts.map(({ port }) => port),
          async fault () {
            for (const [i, front] of fronts.entries()) {
              front.target = nodes[(i + 1) % 3]!.port
              await nodes[i]!.close()
              nodes[i] = await stage.restartable(isLong)
              front.target = nodes[i]!.port
            }
          }
        }
      }
    },
    ...links(common, { outage }),
    {
      ...common,
      name: `SIGSTOP of Redis for ${pause / 1000} s`,
      async setUp (stage) {
        const nodes = [await stage.node(), await stage.node()]
        return {
          ports: nodes.map(({ port }) => port),
          async fault () {
            stage.redis.pause()
            await stage.down(...nodes)
            await sleep(pause)
            stage.redis.resume()
            await stage.up(...nodes)
          }
        }
      }
    },
    {
      ...common,
      name: `Redis is killed, back empty after ${outage / 1000} s`,
      channels: ['room/1', 'room/2'],
      async setUp (stage) {
        const nodes = [await stage.node(), await stage.node()]
        return {
          ports: nodes.map(({ port }) => port),
          async fault () {
            for (const client of stage.clients) client.mustBeTold = true
            await stage.redis.kill()
            await sleep(outage)
            await stage.redis.restart()
            await stage.up(...nodes)
          }
        }
      }
    },
    {
      ...common,
      name: 'Sentinel: a failover that lost the last 50 acknowledged messages',
      async setUp (stage) {
        const { redis, cleanups } = stage
        const front = await stage.proxy(redis.port)
        // The first connection through the proxy is the replica's.
        const replica = (await startRedis(cleanups, ['--replicaof', '127.0.0.1', String(front.port), '--repl-diskless-sync-delay', '0']))!
        const sentinel = (await startSentinel(cleanups, 'main', front.port))!
        const control = new Redis(replica.port)
        // A sentinel ends the connections of a replica that it promotes.
        control.on('error', () => {})
        cleanups.teardown(() => control.disconnect())
        const asking = new Redis(sentinel.port)
        cleanups.teardown(() => asking.disconnect())
        await until('the replica to follow', async () => (await control.info('replication')).includes('master_link_status:up'))
        await until('the sentinel to know the replica', async () => (await asking.call('SENTINEL', 'REPLICAS', 'main') as unknown[]).length > 0)
        const target = { redis: { sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: 'main' } }
        const nodes = [await stage.node(target), await stage.node(target)]
        return {
          ports: nodes.map(({ port }) => port),
          async fault () {
            await stage.pause()
            const before = stage.published
            // Some never get the last messages; some get them, and come back when their places are taken.
            const [away, late] = [stage.part(0, 2), stage.part(2, 3)]
            for (const client of away) await client.goAway()
            await until('the replica to have everything', async () => (await offsetOf(control, 'slave_repl_offset')) >= (await offsetOf(redis.port, 'master_repl_offset')))
            front.silence(0)
            await stage.publish(50)
            if (stage.published !== before + 50) throw new Error('expected 50 messages')
            for (const client of stage.part(2, 4)) client.mustBeTold = true
            for (const client of late) await client.goAway()
            await redis.kill()
            stage.lose(50)
            stage.resume()
            await until('the promotion of the replica', async () => (await control.info('replication')).includes('role:master'))
            await stage.up(...nodes)
            const other = await stage.node(target)
            await stage.until(stage.published + 100)
            for (const some of [late, away]) await Promise.all(some.map((client, i) => client.comeBack(i % 4 < 2 ? other.port : undefined)))
          }
        }
      }
    },
    ...keys(common),
    eviction(common)
  ]
}

type Common = Omit<RecoveryScenario, 'name' | 'setUp'>

/** Faults of the link between the clients' node and Redis. */
function links (common: Common, { outage }: { outage: number }): RecoveryScenario[] {
  const onLink = (name: string, act: (proxy: TcpProxy, down: () => Promise<void>) => Promise<void> | void): RecoveryScenario => ({
    ...common,
    name,
    async setUp (stage) {
      await stage.node()
      const proxy = await stage.proxy(stage.redis.port)
      const node = await stage.node(stage.url(proxy.port))
      return {
        ports: [node.port],
        async fault () {
          const links = (): number => node.sc.stats().broker.reconnects!
          const before = links()
          await act(proxy, () => stage.down(node))
          await until('a new link', () => links() > before)
          await stage.up(node)
        }
      }
    }
  })
  return [
    onLink('the link to Redis is cut', (proxy) => proxy.cut()),
    onLink(`the link to Redis is a black hole for ${outage / 1000} s after it was noticed`, async (proxy, down) => {
      proxy.blackHole()
      await down()
      await sleep(outage)
      proxy.heal()
    })
  ]
}

/** Keys and scripts that are deleted while half of the clients are away. */
function keys (common: Common): RecoveryScenario[] {
  const onKeys = (name: string, isTold: boolean, act: (client: Redis) => Promise<unknown>): RecoveryScenario => ({
    ...common,
    name,
    async setUp (stage) {
      const nodes = [await stage.node(), await stage.node()]
      const client = new Redis(stage.redis.port)
      stage.cleanups.teardown(() => client.disconnect())
      return {
        ports: nodes.map(({ port }) => port),
        async fault () {
          const away = stage.part(0, 2)
          for (const one of away) await one.goAway()
          await stage.until(stage.published + 50)
          for (const one of away) one.mustBeTold = isTold
          await act(client)
          await stage.until(stage.published + 50)
          await Promise.all(away.map((one) => one.comeBack()))
        }
      }
    }
  })
  const del = async (client: Redis, part: string): Promise<void> => {
    const found = await client.keys(`*${part}`)
    if (await client.del(found) !== 1) throw new Error(`expected one key ${part}`)
  }
  return [
    onKeys('FLUSHALL', true, (client) => client.flushall()),
    onKeys('DEL of the position', true, (client) => del(client, ':meta')),
    onKeys('DEL of the messages, clients return to nodes that have them', false, (client) => del(client, ':frames')),
    onKeys('SCRIPT FLUSH', false, (client) => client.script('FLUSH'))
  ]
}

/** Redis has no memory left and evicts whatever it likes, because of other keys that are written all the time. */
function eviction (common: Common): RecoveryScenario {
  const channels = [1, 2, 3, 4].map((i) => `room/${i}`)
  return {
    ...common,
    name: 'Redis evicts keys (allkeys-lru)',
    channels,
    async setUp (stage) {
      const nodes = [await stage.node(), await stage.node()]
      const client = new Redis(stage.redis.port)
      stage.cleanups.teardown(() => client.disconnect())
      const epochs = async (): Promise<string> => {
        const found = await client.keys('*:meta')
        return (await Promise.all(found.sort().map(async (key) => `${key} ${await client.hget(key, 'e')}`))).join()
      }
      return {
        ports: nodes.map(({ port }) => port),
        async fault () {
          const away = stage.part(0, 2)
          for (const one of away) await one.goAway()
          for (const one of away) one.mayBeTold = true
          const used = Number(/^used_memory:(\d+)/m.exec(await client.info('memory'))![1])
          await client.config('SET', 'maxmemory-policy', 'allkeys-lru')
          await client.config('SET', 'maxmemory', used + 2_000_000)
          const before = await epochs()
          const hog = Buffer.alloc(16_384)
          const enough = stage.published + common.messages / 3
          let isBack = false
          let back: Promise<unknown> | null = null
          let written = 0
          // Until histories were evicted, while messages come, and until those that were away are back.
          for (const from = performance.now(); !isBack; await sleep(1)) {
            if (performance.now() - from > 60_000) throw new Error('expected Redis to evict a history')
            await Promise.all(Array.from({ length: 2 }, () => client.set(`hog ${written++}`, hog)))
            if (back !== null || stage.published < enough || await epochs() === before) continue
            back = Promise.all(away.map((one) => one.comeBack())).finally(() => { isBack = true })
          }
          await back
        }
      }
    }
  }
}

async function offsetOf (from: Redis | number, field: string): Promise<number> {
  const client = typeof from === 'number' ? new Redis(from) : from
  try {
    return Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(await client.info('replication'))![1])
  } finally {
    if (client !== from) client.disconnect()
  }
}
