import type { Cluster, Redis, RedisOptions } from 'ioredis'
import type { Broker } from '../../../types/broker.js'
import { scError, typeName } from '../../errors.js'
import { isTable } from '../../untrusted.js'
import { RemoteBroker } from '../remote/broker.js'
import { resolveRemoteOptions, type RemoteBrokerOptions } from '../remote/options.js'
import { RedisEngine } from './engine.js'

export type { RemoteBrokerOptions } from '../remote/options.js'

/**
 * Options of `redisBroker`. The server is given in one of four ways; the default is `redis://127.0.0.1:6379`.
 *
 * The broker always opens its own connections, two per process (for a cluster two per master), because some defaults of ioredis
 * would lose, duplicate or accumulate publications. A client passed as `client` only provides its settings.
 */
export interface RedisBrokerOptions extends RemoteBrokerOptions {
  /** A URL: `redis://user:password@host:6379`, or `rediss://…` for TLS. A database number in the path has no effect. */
  url?: string
  /**
   * Options of ioredis: `host`, `port`, `username`, `password`, `tls`, `path`; for Sentinel `sentinels`, `name`,
   * `sentinelPassword`. They override parts of `url`. With `cluster` they apply to each node.
   */
  redis?: RedisOptions
  /** The first nodes of a Redis Cluster, version 7 or later. Publications use sharded Pub/Sub. */
  cluster?: Array<{ host: string, port: number }>
  /** The reachable address of each node, by the `host:port` that the cluster reports. */
  natMap?: Record<string, { host: string, port: number }>
  /**
   * A client of the application (ioredis or iovalkey), single or cluster. Its settings are copied with `duplicate()`; the client
   * itself is neither used nor closed.
   */
  client?: Redis | Cluster
}

const ownOptions = ['url', 'redis', 'cluster', 'natMap', 'client'] as const

/**
 * Carries publications through Redis 6.2 or later, or Valkey: a single server, with Sentinel, or a cluster of version 7 or later.
 * Needs the package `ioredis` 5.8 or 6, unless `client` is given.
 *
 * A publish is acknowledged when Redis answers it. Delivery is at most once, in one order per channel on all nodes.
 *
 * @throws an `InvalidOptionsError` for an unknown option or an invalid value
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
    if (value !== undefined && !isTable(value)) throw scError('SC_ERR_OPTIONS', [`redisBroker expects the option ${name} to be an object, got ${typeName(value)}`])
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
