// The guarantee of recoveries with Redis: see random-sequences.ts.
import { Redis } from 'ioredis'
import t from 'tap'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { readPositioned } from '../../lib/broker/remote/history/positioned.js'
import { startRedis } from '../helpers/servers.js'
import { randomSequences } from './random-sequences.js'

t.test('random sequences over Redis', { timeout: process.env.REDIS_RUNS === undefined ? 60_000 : 0 }, async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const client = new Redis(redis.port)
  const watcher = new Redis(redis.port)
  for (const connection of [client, watcher]) t.teardown(() => connection.disconnect())
  const remove = async (part: string): Promise<void> => {
    const keys = await client.keys(`*:${part}`)
    if (keys.length !== 0) await client.del(keys)
  }
  await randomSequences(t, {
    name: 'REDIS',
    port: redis.port,
    broker: (port, options) => redisBroker({ url: `redis://127.0.0.1:${port}`, ...options }),
    watch: async (prefix, channel, frame) => {
      const topic = `${prefix}:c:${channel}`
      const read = (from: string, text: string): void => { if (from === topic) frame(readPositioned(text)!.frame) }
      watcher.on('message', read)
      await watcher.subscribe(topic)
      return async () => {
        watcher.off('message', read)
        await watcher.unsubscribe(topic)
      }
    },
    faults: {
      flush: () => client.flushall(),
      'delete position': () => remove('meta'),
      'delete messages': () => remove('frames'),
      'flush scripts': () => client.script('FLUSH')
    }
  })
})
