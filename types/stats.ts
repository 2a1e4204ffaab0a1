import type { BrokerCounters, BrokerState } from './broker.js'
import type { ScPresenceStats } from './presence.js'

/** The statistics of the broker. The counters of `BrokerCounters` are present when the broker connects several processes. */
export interface ScBrokerStats extends Partial<BrokerCounters> {
  /** Whether the broker can reach its engine. */
  state: BrokerState
  /** Publications that the engine has not confirmed yet. */
  inFlight: number
  /** Publications refused because the engine was down or busy. */
  refused: number
}

/** The statistics of channels with `recover`. All of them are counters. */
export interface ScRecoveryStats {
  /** Subscriptions whose client received everything that it missed. */
  recovered: number
  /** Missed messages that these clients received. */
  messages: number
  /** Subscriptions whose client was told that messages may be missing, by reason. */
  unknown: number
  trimmed: number
  limit: number
  refused: number
  /** Clients that were told so while they were connected: they read too slowly, or the engine lost messages. */
  losses: number
}

/** The result of `scServer.stats()`. Counters only increase; gauges are current values. */
export interface ScStats {
  /** Open sockets. */
  clients: number
  /** Sockets whose handshake is not complete. */
  pendingClients: number
  /** Channels with at least one local subscriber. */
  channels: number
  /** The subscriptions of all local sockets. */
  subscriptions: number
  /** Bytes that wait to be sent to all sockets. */
  bufferedBytes: number
  /**
   * Bytes held in memory for connections: data that waits to be sent, and messages that wait for hooks, handlers and streams.
   * Limited by `maxTotalBufferedBytes`.
   */
  heldBytes: number
  /** Completed handshakes. */
  connects: number
  /** Connections refused by a limit or by the connection rate. */
  refusedConnections: number
  /** Closed connections by close code. */
  closes: Record<string, number>
  /** Messages received from clients. */
  inboundMessages: number
  /** Bytes of the messages received from clients. */
  inboundBytes: number
  /** Messages sent to clients. */
  outboundMessages: number
  /** Bytes sent to clients. */
  outboundBytes: number
  /** Publications accepted from clients and from the server itself. */
  publishes: number
  /** Publications delivered to sockets. */
  deliveries: number
  /** Actions blocked by a hook, a middleware or a policy, and subscriptions lost when they were checked again. */
  blocked: number
  /** Messages that could not be decoded or violated the protocol. */
  invalid: number
  /** Messages above a rate limit. */
  rateLimited: number
  /**
   * Sockets closed with 1011 because code that ran for them threw an error that nothing else catches. 0 unless there is a bug.
   */
  faults: number
  /** Publications dropped or replaced by a newer one because a socket was too slow. */
  dropped: number
  /** Times when the backlog of a socket exceeded its limit. */
  slowConsumers: number
  /** The statistics of channels with `recover`. */
  recovery: ScRecoveryStats
  /** The statistics of presence. */
  presence: ScPresenceStats
  /** The statistics of the broker. */
  broker: ScBrokerStats
  /** The delay of the event loop since the last call of `stats()`, in milliseconds. */
  eventLoopDelay: { mean: number, p99: number, max: number }
}
