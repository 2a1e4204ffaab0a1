// What happens to histories in Redis only: a failover, and keys that are gone.
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { startRedis, startSentinel } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'
import type { RecoveryScenario } from './recovery.js'
import { type CommonFault, whileHalfIsAway } from './recovery-faults.js'

export function redisFaults (common: CommonFault): RecoveryScenario[] {
  const onRedis: CommonFault = { ...common, engines: ['redis'] }
  return [failover(onRedis), ...keys(onRedis), eviction(onRedis)]
}

/** A sentinel promotes a replica that does not have everything. */
function failover (common: CommonFault): RecoveryScenario {
  return {
    ...common,
    name: 'Sentinel: a failover that lost the last 50 acknowledged messages',
    async setUp (stage) {
      const { engine, cleanups } = stage
      const front = await stage.proxy(engine.port)
      // The first connection through the proxy is the replica's.
      const replica = (await startRedis(cleanups, ['--replicaof', '127.0.0.1', String(front.port), '--repl-diskless-sync-delay', '0']))!
      const sentinel = (await startSentinel(cleanups, 'main', front.port))!
      const control = new Redis(replica.port)
      // A sentinel ends the connections of a replica that it promotes.
      control.on('error', () => {})
      cleanups.teardown(() => control.disconnect())
      const asking = new Redis(sentinel.port)
      cleanups.teardown(() => asking.disconnect())
      const promoteAfter = (silence: number): Promise<unknown> => asking.call('SENTINEL', 'SET', 'main', 'down-after-milliseconds', silence)
      // On a busy machine the engine may be silent for long: only its end is a reason to promote the replica.
      await promoteAfter(60_000)
      await until('the replica to follow', async () => (await control.info('replication')).includes('master_link_status:up'))
      await until('the sentinel to know the replica', async () => (await asking.call('SENTINEL', 'REPLICAS', 'main') as unknown[]).length > 0)
      const target = { redis: { redis: { sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: 'main' } } }
      const nodes = [await stage.node(target), await stage.node(target)]
      return {
        ports: nodes.map(({ port }) => port),
        async fault () {
          await stage.pause()
          const before = stage.published
          // Some never get the last messages; some get them, and come back when their places are taken.
          const [away, late] = [stage.part(0, 2), stage.part(2, 3)]
          for (const client of away) await client.goAway()
          await until('the replica to have everything', async () => (await offsetOf(control, 'slave_repl_offset')) >= (await offsetOf(engine.port, 'master_repl_offset')))
          front.silence(0)
          await stage.publish(50)
          if (stage.published !== before + 50) throw new Error('expected 50 messages')
          for (const client of stage.part(2, 4)) client.mustBeTold = true
          for (const client of late) await client.goAway()
          await promoteAfter(1_000)
          await engine.kill()
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
  }
}

/** Keys and scripts that are deleted while half of the clients are away. */
function keys (common: CommonFault): RecoveryScenario[] {
  const onKeys = (name: string, isTold: boolean, act: (client: Redis) => Promise<unknown>): RecoveryScenario => whileHalfIsAway(common, name, isTold, async ({ engine }) => {
    const client = new Redis(engine.port)
    try {
      await act(client)
    } finally {
      client.disconnect()
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
function eviction (common: CommonFault): RecoveryScenario {
  const channels = [1, 2, 3, 4].map((i) => `room/${i}`)
  return {
    ...common,
    name: 'Redis evicts keys (allkeys-lru)',
    channels,
    async setUp (stage) {
      const nodes = [await stage.node(), await stage.node()]
      const client = new Redis(stage.engine.port)
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
