/** Whether the engine behind a broker can be reached. */
export type BrokerState = 'up' | 'down'

/** What the order of a channel's publications is the same for: the whole channel, or each publishing node. */
export type BrokerOrder = 'channel' | 'publisher'

/** What the server hands to a broker. Every call is synchronous and never throws. */
export interface BrokerSink {
  /**
   * A message of a subscribed channel. Messages of one channel must come in the order that the broker states.
   * `data` is JSON text, opaque to the broker; the empty string stands for `undefined`. Anything else is dropped, unless the broker
   * knows that the text was published by this server or signed by another one (`known`): then it is not looked at.
   */
  publication (channel: string, data: string, known?: boolean): void
  /** The engine became reachable or unreachable. Repeating a state is harmless. */
  state (state: BrokerState, cause?: Error): void
  /** Messages may have been lost on this channel, or on every channel when it is `null`. */
  gap (channel: string | null): void
  /** A control message of another node. A node never gets its own. */
  control (message: string, fromNode: string): void
  /**
   * Something that came from the engine was dropped. `reason` completes "Dropped …" and says what helps; the server warns of
   * each reason at most once a minute.
   */
  dropped? (reason: string): void
}

/** The identity of this process towards a broker. */
export interface BrokerNode {
  /** Unique in the cluster. */
  readonly id: string
  /** Keeps applications that share an engine apart. */
  readonly prefix: string
  /** The option `brokerKey`: the first key signs what this node sends, all of them verify what comes. Absent: nothing is signed. */
  readonly keys?: ReadonlyArray<Uint8Array> | undefined
}

/** What a broker between processes counts. All only grow. */
export interface BrokerCounters {
  /** Frames handed to the engine; one carries up to 64 messages. */
  framesOut: number
  framesIn: number
  messagesOut: number
  messagesIn: number
  /** Frames dropped because they could not be read: malformed, of another version, from a stranger, not signed as they should be, or with a message that is not one JSON value. */
  framesDropped: number
  /** How often a connection to the engine was made again. */
  reconnects: number
  /** How often publications may have been lost. */
  gaps: number
}

/** An answer that is there at once (`void`), or later. Brokers inside the process answer at once. */
export type MaybePromise<T> = T | Promise<T>

/**
 * What a broker may be able to do beyond carrying publications. The server looks for each, and does without those that are not
 * there: a broker that was written before a capability existed stays a whole one. All of them are optional, and all stand here.
 */
interface BrokerCapabilities {
  /**
   * In which order the publications of one channel arrive on the nodes, the publisher's own node included.
   * `'channel'`: in one order, the same on all. `'publisher'`: those of one node in the order in which it published them; how those of
   * several nodes are mixed may differ from node to node. Memory and Redis: `'channel'`; NATS: `'publisher'`. @default 'publisher'
   */
  readonly order?: BrokerOrder
  /** True when the broker signs and verifies by `BrokerNode.keys`. A shared broker that does not is refused together with the option `brokerKey`. */
  readonly signs?: boolean
  /** Counters since the start, for logs and metrics. */
  stats? (): BrokerCounters
}

/**
 * Carries publications between publishers and subscribers, inside one process or between many.
 *
 * Delivery is at most once. A node delivers a publication to all of its subscribers in one order, and its own publications too
 * only when they come back from the engine. What is promised between nodes is `order`.
 */
export interface Broker extends BrokerCapabilities {
  /** A short name for logs and statistics: 'memory', 'redis', 'nats'. */
  readonly name: string
  /** True when other processes take part; a random `authKey` is refused then. A broker that is not shared must answer at once. */
  readonly shared: boolean
  /** Connects. Called once, before anything else. Rejects when the engine cannot be used and retrying is not wanted. */
  start (sink: BrokerSink, node: BrokerNode): MaybePromise<void>
  /** Starts delivery of these channels. Settles when the engine confirmed. Idempotent. */
  subscribe (channels: readonly string[]): MaybePromise<void>
  /** Ends delivery of these channels. Idempotent. */
  unsubscribe (channels: readonly string[]): MaybePromise<void>
  /** Settles when the engine accepted the message; rejects at once while the engine is down. */
  publish (channel: string, data: string): MaybePromise<void>
  /** Sends a control message to one node, or to all others. */
  control (message: string, toNode?: string): MaybePromise<void>
  /** Disconnects and frees everything. Nothing reaches the sink afterwards. */
  stop (): MaybePromise<void>
}
