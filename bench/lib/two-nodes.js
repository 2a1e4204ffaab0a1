import { Redis } from 'ioredis'
import { startNats, startRedis } from '../../test/helpers/servers.js'
import { Load } from './load.js'
import { ServerProcess } from './server-process.js'

/** Two nodes with an engine between them, and a subscriber of each channel on both; `null` where the engine is not installed. */
export async function onTwoNodes ({ name, engine, options = {} }, channels, body) {
  const cleanups = []
  const cleanup = { teardown: (fn) => { cleanups.unshift(fn) } }
  try {
    const server = await (engine === 'redis' ? startRedis(cleanup) : startNats(cleanup))
    if (server === null) return null
    const boot = () => ServerProcess.start(name, { ...options, [engine]: server.port })
    const nodes = [await boot(), await boot()]
    cleanup.teardown(() => Promise.all(nodes.map((node) => node.stop())))
    const names = Array.from({ length: channels }, (_, i) => `room/${i}`)
    const loads = nodes.map((node) => new Load(node))
    cleanup.teardown(() => { for (const load of loads) load.drop() })
    const each = Math.ceil(channels / 10) // ten channels to a connection
    const counts = { received: 0, wanted: Infinity, wake: null }
    for (const load of loads) {
      await load.open(each)
      await load.subscribe((i) => names.slice(i * 10, i * 10 + 10))
      for (const connection of load.connections) {
        connection.onMessages = (messages) => {
          counts.received += messages
          if (counts.received >= counts.wanted) counts.wake()
        }
      }
    }
    const receive = async (wanted) => {
      if (counts.received >= wanted) return
      await new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`expected ${wanted} messages, got ${counts.received}`)), 20_000)
        Object.assign(counts, { wanted, wake: () => { clearTimeout(late); resolve() } })
      })
      counts.wanted = Infinity
    }
    const redis = engine === 'redis' ? new Redis(server.port) : null
    if (redis !== null) cleanup.teardown(() => redis.quit())
    return await body({ nodes, names, counts, receive, redis })
  } finally {
    for (const fn of cleanups) await fn()
  }
}

/** Microseconds that the engine's process used. */
export async function engineCpu (redis) {
  if (redis === null) return NaN
  const info = await redis.info('cpu')
  return ['used_cpu_sys', 'used_cpu_user'].reduce((sum, key) => sum + Number(info.match(new RegExp(`^${key}:([\\d.]+)`, 'm'))[1]), 0) * 1e6
}
