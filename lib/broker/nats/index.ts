import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node'
import type { Broker } from '../../../types/broker.js'
import { scError, typeName } from '../../errors.js'
import { isTable } from '../../untrusted.js'
import { RemoteBroker } from '../remote/broker.js'
import { resolveRemoteOptions, type RemoteBrokerOptions } from '../remote/options.js'
import { NatsEngine } from './engine.js'
import { resolveHistoryOptions, type NatsHistoryOptions } from './history-options.js'

export type { RemoteBrokerOptions } from '../remote/options.js'
export type { NatsHistoryOptions } from './history-options.js'

/** Options of `natsBroker`: the NATS server and how to use it. */
export interface NatsBrokerOptions extends RemoteBrokerOptions {
  /** `host:port` or `nats://` / `tls://` URLs of one or more servers of a cluster. @default '127.0.0.1:4222' */
  servers?: string | string[]
  /**
   * Options of @nats-io/transport-node: `user`, `pass`, `token`, `authenticator`, `tls`, `name` and others. The broker itself
   * handles reconnecting.
   */
  nats?: Omit<NodeConnectionOptions, 'servers' | 'reconnect' | 'maxReconnectAttempts' | 'waitOnFirstConnect' | 'timeout'>
  /**
   * An open connection of the application. The broker uses it but does not close it. It reconnects by its own settings: create it
   * with `maxReconnectAttempts: -1`, or it closes for good after ten attempts.
   */
  connection?: NatsConnection
  /**
   * Keeps the messages of channels declared with `history` in JetStream, and the keys of `cluster.runOnce()`. Needs nats-server 2.9 or later, started with `-js`;
   * without it, the server does not start. Experimental. @default false
   */
  history?: boolean | NatsHistoryOptions
}

const ownOptions = ['servers', 'nats', 'connection', 'history'] as const

/**
 * Carries publications through NATS 2 as core messages. Needs the package `@nats-io/transport-node` 3, unless `connection` is
 * given without `history`.
 *
 * A publish is acknowledged when the server answers a ping sent after it. Delivery is at most once. The messages of one process
 * arrive everywhere in the order in which they were published. The messages of several processes to one channel may be
 * interleaved differently on each process. All subscribers of one process see the same order.
 *
 * @throws an `InvalidOptionsError` for an unknown option or an invalid value
 *
 * @example
 * await app.register(scPlugin, { broker: natsBroker({ servers: '127.0.0.1:4222' }), authKey })
 */
export function natsBroker (options: NatsBrokerOptions = {}): Broker {
  const remote = resolveRemoteOptions('natsBroker', options, ownOptions)
  const { servers, nats, connection } = options
  const history = resolveHistoryOptions(options.history)
  if (servers !== undefined && !isServers(servers)) {
    throw scError('SC_ERR_OPTIONS', [`natsBroker expects the option servers to be text or an array of texts, got ${typeName(servers)}`])
  }
  if (nats !== undefined && !isTable(nats)) throw scError('SC_ERR_OPTIONS', [`natsBroker expects the option nats to be an object, got ${typeName(nats)}`])
  if (connection !== undefined) {
    if (typeof connection?.subscribe !== 'function') throw scError('SC_ERR_OPTIONS', [`natsBroker expects the option connection to be an open connection of @nats-io/transport-node, got ${typeName(connection)}`])
    if (servers !== undefined || nats !== undefined) throw scError('SC_ERR_OPTIONS', ['natsBroker expects either connection, or servers and nats, got both'])
  }
  return new RemoteBroker(new NatsEngine({ servers: servers ?? '127.0.0.1:4222', nats, connection, history }), remote)
}

function isServers (value: unknown): boolean {
  if (typeof value === 'string') return value !== ''
  return Array.isArray(value) && value.length > 0 && value.every((server) => typeof server === 'string' && server !== '')
}
