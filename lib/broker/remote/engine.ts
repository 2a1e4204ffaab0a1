import type { BrokerHistoryLimits, BrokerOrder, BrokerPosition, MaybePromise } from '../../../types/broker.js'
import type { Positioned } from './history/positioned.js'
import type { StoredHistory } from './history/stored.js'

/** How an engine keeps a frame. */
export interface KeptFrame {
  readonly limits: BrokerHistoryLimits
  /** The number of messages. */
  readonly count: number
  /** The check of the positions of its messages. */
  readonly check: string
  /**
   * The keys of the messages, '' for one without; `null` if no message has one. A message whose key was published within the ttl,
   * or precedes it in the frame, takes no position and must not be delivered. Only for engines with `keepsKeys`.
   */
  readonly keys: readonly string[] | null
}

/** Where an engine put the messages of a frame: the offset of the first one that was published. */
export interface FramePlace {
  readonly epoch: string
  readonly first: number
}

/**
 * A frame to send. The session calls `settle` once, when the engine accepted or refused the frame, with the indexes of the messages
 * that were not published because of their keys, and the place of the others if the frame was kept.
 */
export interface OutboundFrame {
  readonly topic: string
  readonly text: string
  /** How the engine keeps the frame and gives it a position; `null` for a frame that is only published. */
  readonly kept: KeptFrame | null
  settle (err?: Error, repeats?: readonly number[], place?: FramePlace): void
}

/** A read of a topic's history. */
export interface StoredRequest {
  readonly topic: string
  /** Read the messages after this position, the oldest ones that are kept for `'oldest'`, or the newest ones for `null`. */
  readonly since: BrokerPosition | 'oldest' | null
  /** The number of messages that are needed; 0 for only the position of the last one. */
  readonly limit: number
  readonly limits: BrokerHistoryLimits
  /** Whether no messages are needed when there are more than `limit` after `since`. */
  readonly whole: boolean
  /** Whether the engine itself gave this node the position `since`: then an engine without it lost it, or is behind. @default false */
  readonly isKnown?: boolean
}

/** What an engine offers for `Broker.store`. `topic` is the name under which it keeps a value. */
export interface EngineStore {
  add (topic: string, value: string, ttl: number): Promise<string | null>
  replace (topic: string, expected: string, value: string | null, ttl: number): Promise<boolean>
}

/** Events of a session. They are ignored after the session was closed. */
export interface SessionEvents {
  /** A frame arrived. @param frame its text, or the frame with its position where the session has read it */
  message (topic: string, frame: string | Positioned): void
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
  /** Reads what the engine keeps of a topic. Present if the engine keeps histories. */
  readHistory? (request: StoredRequest): Promise<StoredHistory>
  /** Present if the engine has a store. */
  readonly store?: EngineStore
  /** Frees the connections, without waiting for an engine that does not answer. */
  close (): MaybePromise<void>
}

/** An engine as the broker uses it: topic names and sessions. */
export interface Engine {
  readonly name: string
  readonly order: BrokerOrder
  /** Whether its sessions keep frames and read histories. @default false */
  readonly keepsHistory?: boolean
  /** Whether its sessions look at the keys of kept frames. @default false */
  readonly keepsKeys?: boolean
  /** Whether its sessions have a store. @default false */
  readonly hasStore?: boolean
  /** The address of the engine for error messages, without credentials. */
  readonly address: string
  /** Receives the option `brokerPrefix` before anything else is called. For engines that need it to open a session. */
  use? (prefix: string): void
  /** Loads the engine's client package. A failure is final. */
  load (): Promise<void>
  /** The topic of a channel. It is unique for each channel and safe for any channel name. */
  channelTopic (prefix: string, channel: string): string
  /** The name under which the store keeps the value of a key. For engines with `hasStore`. */
  storeTopic? (prefix: string, key: string): string
  /** The topic for control messages to one node, or to all nodes. */
  nodeTopic (prefix: string, nodeId?: string): string
  open (events: SessionEvents, timeout: number): Promise<EngineSession>
}
