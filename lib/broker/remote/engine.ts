import type { BrokerOrder, MaybePromise } from '../../../types/broker.js'

/** A frame to send. The session calls `settle` once, when the engine accepted or refused the frame. */
export interface OutboundFrame {
  readonly topic: string
  readonly text: string
  settle (err?: Error): void
}

/** Events of a session. They are ignored after the session was closed. */
export interface SessionEvents {
  message (topic: string, text: string): void
  /** The session can no longer be used. */
  lost (cause: Error): void
}

/**
 * A session with an engine. It works until it is lost and never reconnects. The broker then opens a new session, so that queues,
 * subscriptions and unsent commands of the lost one cannot come back.
 */
export interface EngineSession {
  /** Resolves when the engine confirmed. */
  subscribe (topics: readonly string[]): Promise<unknown>
  unsubscribe (topics: readonly string[]): Promise<unknown>
  /** Sends frames in order and settles each. Never throws. */
  publish (frames: readonly OutboundFrame[]): void
  /** Frees the connections, without waiting for an engine that does not answer. */
  close (): MaybePromise<void>
}

/** An engine as the broker uses it: topic names and sessions. */
export interface Engine {
  readonly name: string
  readonly order: BrokerOrder
  /** The address of the engine for error messages, without credentials. */
  readonly address: string
  /** Loads the engine's client package. A failure is final. */
  load (): Promise<void>
  /** The topic of a channel. It is unique for each channel and safe for any channel name. */
  channelTopic (prefix: string, channel: string): string
  /** The topic for control messages to one node, or to all nodes. */
  nodeTopic (prefix: string, nodeId?: string): string
  open (events: SessionEvents, timeout: number): Promise<EngineSession>
}
