import type { BrokerOrder, MaybePromise } from '../../../types/broker.js'

/** A frame on its way out. The session calls `settle` once, when the engine accepted the frame or will not. */
export interface OutboundFrame {
  readonly topic: string
  readonly text: string
  settle (err?: Error): void
}

/** What a session tells the broker. Both are ignored once the session was closed. */
export interface SessionEvents {
  message (topic: string, text: string): void
  /** The session is of no use any more. */
  lost (cause: Error): void
}

/**
 * One life of the connections to an engine: it works until it is lost, and never reconnects by itself. The broker above
 * opens the next one, so that nothing of a lost one — queues, subscriptions, commands to send again — can come back.
 */
export interface EngineSession {
  /** Settles when the engine confirmed. */
  subscribe (topics: readonly string[]): Promise<unknown>
  unsubscribe (topics: readonly string[]): Promise<unknown>
  /** Sends frames in their order, and settles each. Never throws. */
  publish (frames: readonly OutboundFrame[]): void
  /** Frees the connections, without waiting for an engine that doesn't answer. */
  close (): MaybePromise<void>
}

/** What an engine is to the broker above it: names of topics, and sessions. */
export interface Engine {
  readonly name: string
  readonly order: BrokerOrder
  /** Where the engine is, for errors; without credentials. */
  readonly address: string
  /** Loads what the engine needs; a failure here is final. */
  load (): Promise<void>
  /** The engine's name for a channel: different for every channel, and safe whatever the channel's name holds. */
  channelTopic (prefix: string, channel: string): string
  /** The engine's name for the control messages of one node, or of all. */
  nodeTopic (prefix: string, nodeId?: string): string
  open (events: SessionEvents, timeout: number): Promise<EngineSession>
}
