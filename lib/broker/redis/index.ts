import type { Cluster, Redis, RedisOptions } from 'ioredis'
import type { Broker } from '../../../types/broker.js'
import { scError, typeName } from '../../errors.js'
import { RemoteBroker } from '../remote/broker.js'
import { resolveRemoteOptions, type RemoteBrokerOptions } from '../remote/options.js'
import { RedisEngine } from './engine.js'

export type { RemoteBrokerOptions } from '../remote/options.js'

/**
 * Where Redis is, in one of four ways, and how to deal with it. Without any, it is `redis://127.0.0.1:6379`.
 *
 * The connections are always the broker's own, two per process (one more per master of a cluster), because some of ioredis'
 * defaults would lose, double or hoard publications; a client that is handed in only lends its settings.
 */
export interface RedisBrokerOptions extends RemoteBrokerOptions {
  /** A URL: `redis://user:password@host:6379`, `rediss://…` for TLS. Pub/Sub does not know databases; a number in the path is of no effect. */
  url?: string
  /**
   * Options of ioredis: `host`, `port`, `username`, `password`, `tls`, `path`; for Sentinel `sentinels`, `name`,
   * `sentinelPassword`. Merged over `url`; with `cluster` they hold for each of its nodes.
   */
  redis?: RedisOptions
  /** The first nodes of a Redis Cluster of version 7 or later; publications use its sharded Pub/Sub. */
  cluster?: Array<{ host: string, port: number }>
  /** The nodes' addresses as seen from here, by the `host:port` that the cluster tells. */
  natMap?: Record<string, { host: string, port: number }>
  /** An ioredis (or iovalkey) client of the application, single or cluster. It lends its settings through `duplicate()`; it is neither used nor closed. */
  client?: Redis | Cluster
}

const ownOptions = ['url', 'redis', 'cluster', 'natMap', 'client'] as const

/**
 * Carries publications through Redis 6.2 or later, or Valkey: alone, with Sentinel, or as a cluster of version 7 or later.
 * Needs the package `ioredis` 5.8 or 6, unless a client is handed in.
 *
 * A publish is acknowledged when Redis answered it. Delivery is at most once, in one order per channel on all nodes.
 *
 * @throws an `InvalidOptionsError` for options it doesn't know
 *
 * @example
 * await app.register(scPlugin, { broker: redisBroker({ url: 'redis://127.0.0.1:6379' }), authKey })
 */
export function redisBroker (options: RedisBrokerOptions = {}): Broker {
  const remote = resolveRemoteOptions('redisBroker', options, ownOptions)
  const { url, redis, cluster, natMap, client } = options
  if (url !== undefined && (typeof url !== 'string' || !/^rediss?:\/\//.test(url) || !URL.canParse(url))) {
    throw scError('SC_ERR_OPTIONS', [`redisBroker expects the option url to be a redis:// or rediss:// URL, got ${typeof url === 'string' ? 'other text' : typeName(url)}`])
  }
  for (const [name, value] of Object.entries({ redis, natMap, client })) {
    if (value !== undefined && (typeof value !== 'object' || value === null)) throw scError('SC_ERR_OPTIONS', [`redisBroker expects the option ${name} to be an object, got ${typeName(value)}`])
  }
  if (cluster !== undefined && !(Array.isArray(cluster) && cluster.length > 0 && cluster.every((node) => typeof node?.host === 'string' && Number.isInteger(node.port)))) {
    throw scError('SC_ERR_OPTIONS', [`redisBroker expects the option cluster to be an array of { host, port }, got ${Array.isArray(cluster) ? 'another array' : typeName(cluster)}`])
  }
  if (client !== undefined && typeof client.duplicate !== 'function') {
    throw scError('SC_ERR_OPTIONS', ['redisBroker expects the option client to be a client of ioredis or iovalkey, got an object without duplicate()'])
  }
  if ([client, cluster, url].filter((way) => way !== undefined).length > 1 || (client !== undefined && redis !== undefined)) {
    throw scError('SC_ERR_OPTIONS', ['redisBroker expects one of client (without redis), cluster, or url, got several'])
  }
  return new RemoteBroker(new RedisEngine({ url, redis, cluster, natMap, client }), remote)
}
