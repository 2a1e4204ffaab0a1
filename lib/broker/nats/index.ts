import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node'
import type { Broker } from '../../../types/broker.js'
import { scError, typeName } from '../../errors.js'
import { RemoteBroker } from '../remote/broker.js'
import { resolveRemoteOptions, type RemoteBrokerOptions } from '../remote/options.js'
import { NatsEngine } from './engine.js'

export type { RemoteBrokerOptions } from '../remote/options.js'

/** Where NATS is, and how to deal with it. */
export interface NatsBrokerOptions extends RemoteBrokerOptions {
  /** `host:port` or `nats://` / `tls://` URLs of one or more servers of a cluster. @default '127.0.0.1:4222' */
  servers?: string | string[]
  /** Options of @nats-io/transport-node: `user`, `pass`, `token`, `authenticator`, `tls`, `name` and others. How to reconnect is the broker's own affair. */
  nats?: Omit<NodeConnectionOptions, 'servers' | 'reconnect' | 'maxReconnectAttempts' | 'waitOnFirstConnect' | 'timeout'>
  /**
   * An open connection of the application. It is used but not closed, and it connects again as it was told to: give it
   * `maxReconnectAttempts: -1`, or it closes for good after ten attempts.
   */
  connection?: NatsConnection
}

const ownOptions = ['servers', 'nats', 'connection'] as const

/**
 * Carries publications through NATS 2, as core messages. Needs the package `@nats-io/transport-node` 3, unless a
 * connection is handed in.
 *
 * A publish is acknowledged when the server answered a ping that was sent after it. Delivery is at most once. The messages of
 * one process arrive everywhere in the order in which it published them; how those of several processes to one channel are mixed
 * may differ from process to process. All subscribers of one process see one order.
 *
 * @throws an `InvalidOptionsError` for options it doesn't know
 *
 * @example
 * await app.register(scPlugin, { broker: natsBroker({ servers: '127.0.0.1:4222' }), authKey })
 */
export function natsBroker (options: NatsBrokerOptions = {}): Broker {
  const remote = resolveRemoteOptions('natsBroker', options, ownOptions)
  const { servers, nats, connection } = options
  if (servers !== undefined && !isServers(servers)) {
    throw scError('SC_ERR_OPTIONS', [`natsBroker expects the option servers to be text or an array of texts, got ${typeName(servers)}`])
  }
  if (nats !== undefined && (typeof nats !== 'object' || nats === null)) throw scError('SC_ERR_OPTIONS', [`natsBroker expects the option nats to be an object, got ${typeName(nats)}`])
  if (connection !== undefined) {
    if (typeof connection?.subscribe !== 'function') throw scError('SC_ERR_OPTIONS', [`natsBroker expects the option connection to be an open connection of @nats-io/transport-node, got ${typeName(connection)}`])
    if (servers !== undefined || nats !== undefined) throw scError('SC_ERR_OPTIONS', ['natsBroker expects either connection, or servers and nats, got both'])
  }
  return new RemoteBroker(new NatsEngine({ servers: servers ?? '127.0.0.1:4222', nats, connection }), remote)
}

function isServers (value: unknown): boolean {
  if (typeof value === 'string') return value !== ''
  return Array.isArray(value) && value.length > 0 && value.every((server) => typeof server === 'string' && server !== '')
}
