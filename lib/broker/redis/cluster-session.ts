import type { Cluster, RedisOptions } from 'ioredis'
import type { EngineSession, SessionEvents } from '../engine.js'

export async function openClusterSession (_make: () => Cluster, _own: RedisOptions, _events: SessionEvents): Promise<EngineSession> {
  throw new Error('not yet')
}
