import type { Cluster, Redis, RedisOptions } from 'ioredis'
import type { Engine, EngineSession, SessionEvents } from '../remote/engine.js'
import { loadClient } from '../remote/load-client.js'
import { openClusterSession } from './cluster-session.js'
import { openSession } from './session.js'
import type { MasterAddress } from './slots.js'

/** The checked options for the connection to Redis. */
export interface RedisTarget {
  readonly url: string | undefined
  readonly redis: RedisOptions | undefined
  readonly cluster: MasterAddress[] | undefined
  readonly natMap: Readonly<Record<string, MasterAddress>> | undefined
  readonly client: Redis | Cluster | undefined
}

/**
 * Settings of every connection: it never reconnects, fails at once, and neither queues nor resends commands.
 * `disconnectTimeout` is how long a peer that no longer answers may delay the close.
 */
function sessionOptions (timeout: number) {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    retryStrategy: null,
    sentinelRetryStrategy: () => null,
    reconnectOnError: null,
    connectTimeout: timeout,
    disconnectTimeout: 50,
    commandTimeout: undefined,
    socketTimeout: undefined,
    enableAutoPipelining: false,
    monitor: false
  } satisfies RedisOptions
}

/** Redis Pub/Sub as an engine. */
export class RedisEngine implements Engine {
  readonly name = 'redis'
  /** One Redis process orders a channel: in a cluster, the master of the channel's slot. */
  readonly order = 'channel'
  readonly keepsHistory = true
  readonly keepsKeys = true
  readonly hasStore = true
  readonly address: string
  readonly #target: RedisTarget
  #Redis: typeof import('ioredis').Redis | null = null

  constructor (target: RedisTarget) {
    this.#target = target
    this.address = addressOf(target)
  }

  async load (): Promise<void> {
    if (this.#target.client !== undefined) return
    this.#Redis = (await loadClient('redisBroker', 'ioredis', () => import('ioredis'))).Redis
  }

  channelTopic (prefix: string, channel: string): string {
    return `${prefix}:c:${channel}`
  }

  storeTopic (prefix: string, key: string): string {
    return `${prefix}:k:${key}`
  }

  nodeTopic (prefix: string, nodeId?: string): string {
    return nodeId === undefined ? `${prefix}:all` : `${prefix}:n:${nodeId}`
  }

  open (events: SessionEvents, timeout: number): Promise<EngineSession> {
    const { url, redis, cluster, client, natMap } = this.#target
    const own = sessionOptions(timeout)
    if (cluster !== undefined) {
      return openClusterSession({
        seeds: () => cluster,
        make: (address) => new this.#Redis!({ ...redis, ...own, ...address }),
        translate: (address) => natMap?.[`${address.host}:${address.port}`] ?? address
      }, events)
    }
    if (client !== undefined && isCluster(client)) {
      return openClusterSession({
        seeds: () => client.nodes().map(({ options }) => ({ host: options.host!, port: options.port! })),
        // All nodes of a cluster accept the same credentials.
        make: (address) => client.nodes()[0]!.duplicate({ ...own, readOnly: false, ...address }),
        translate: (address) => natMap?.[`${address.host}:${address.port}`] ?? address
      }, events)
    }
    const make = (): Redis => {
      if (client !== undefined) return (client as Redis).duplicate(own)
      const options = { ...redis, ...own }
      return url === undefined ? new this.#Redis!(options) : new this.#Redis!(url, options)
    }
    return openSession(make, events)
  }
}

function isCluster (client: Redis | Cluster): client is Cluster {
  return client.isCluster === true
}

function addressOf ({ url, redis, cluster, client }: RedisTarget): string {
  if (cluster !== undefined) return 'the given cluster'
  if (url !== undefined) return new URL(url).host
  const options = redis ?? (client === undefined || isCluster(client) ? undefined : client.options)
  if (client !== undefined && options === undefined) return 'the cluster of the given client'
  if (options?.sentinels != null) return `the master "${options.name}" of the given sentinels`
  return options?.path ?? `${options?.host ?? '127.0.0.1'}:${options?.port ?? 6379}`
}
