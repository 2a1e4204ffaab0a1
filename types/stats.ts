import type { BrokerCounters, BrokerState } from './broker.js'

/** What goes through the broker. The counters of `BrokerCounters` are there when the broker is one between processes. */
export interface ScBrokerStats extends Partial<BrokerCounters> {
  state: BrokerState
  /** Publishes that wait for the engine's word. */
  inFlight: number
  /** Publishes refused because the engine was down or busy. */
  refused: number
}

/** A snapshot of `scServer.stats()`. Counters only grow; gauges are of this moment. */
export interface ScStats {
  /** Open sockets. */
  clients: number
  /** Sockets whose handshake is not done. */
  pendingClients: number
  /** Channels with at least one local subscriber. */
  channels: number
  /** Subscriptions of all local sockets together. */
  subscriptions: number
  /** Bytes that wait to be sent, of all sockets together. */
  bufferedBytes: number
  /** Bytes in memory because of connections: what waits to be sent, and what waits for hooks, handlers and streams. `maxTotalBufferedBytes` limits it. */
  heldBytes: number
  connects: number
  /** Connections refused by a limit or the rate of connections. */
  refusedConnections: number
  /** Closed connections by close code. */
  closes: Record<string, number>
  inboundMessages: number
  inboundBytes: number
  outboundMessages: number
  outboundBytes: number
  /** Publications accepted from clients and from the server itself. */
  publishes: number
  /** Publications handed to sockets. */
  deliveries: number
  /** Actions stopped by a hook, a middleware or a policy, and subscriptions lost when they were checked again. */
  blocked: number
  /** Messages that could not be read or broke a rule of the protocol. */
  invalid: number
  rateLimited: number
  /** Sockets ended with 1011 because code in their name threw where nobody else catches it. 0 unless something has a bug. */
  faults: number
  /** Publications left out or replaced because a socket was too slow. */
  dropped: number
  slowConsumers: number
  broker: ScBrokerStats
  /** Milliseconds that the event loop was late since the last call of `stats()`. */
  eventLoopDelay: { mean: number, p99: number, max: number }
}
