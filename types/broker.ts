/** Whether the broker can reach its engine. */
export type BrokerState = 'up' | 'down'

/** The scope of the order of a channel's publications: the whole channel, or each publishing node. See `Broker.order`. */
export type BrokerOrder = 'channel' | 'publisher'

/** The place of a message in the history of its channel. */
export interface BrokerPosition {
  /** Another one for each life of a history: positions of two epochs have nothing to do with each other. 1 to 24 of A-Z a-z 0-9 _ -. */
  readonly epoch: string
  /** 1 for the first message of an epoch, one more for each that follows; 0 before the first. */
  readonly offset: number
  /** Up to 8 of A-Z a-z 0-9 _ -: differs, most likely, when the engine lost messages and used the offset again. Empty where that cannot happen. */
  readonly check: string
}

/** How much of a channel a broker keeps. */
export interface BrokerHistoryLimits {
  /** Messages. */
  readonly size: number
  /** Milliseconds. */
  readonly ttl: number
}

/** A message that a broker keeps. */
export interface BrokerHistoryEntry {
  readonly position: BrokerPosition
  /** When it was published, in milliseconds since the epoch. */
  readonly time: number
  /** As in `publish`. */
  readonly data: string
}

/** What a broker has of a channel's history. */
export interface BrokerHistoryPage {
  /** The position of the newest message. A channel without messages has one of offset 0. */
  readonly top: BrokerPosition
  /** The oldest first. */
  readonly entries: readonly BrokerHistoryEntry[]
  /** `null` when `entries` begin with the message right after `since`, with nothing missing between them; else why that is not certain. */
  readonly gap: 'unknown' | 'trimmed' | null
}

/** What a broker does that keeps messages. */
export interface BrokerHistory {
  /** Whether `read` answers at once. Channels with `recover` need that: a client gets what it missed and what comes next in one turn. */
  readonly synchronous: boolean
  /** As `publish` of the broker, and the message is kept, whether somebody subscribed or not. It reaches the sink with its position. */
  publish (channel: string, data: string, limits: BrokerHistoryLimits): MaybePromise<void>
  /** Reads at most `limit` messages: those after `since`, or the newest. */
  read (channel: string, since: BrokerPosition | null, limit: number, limits: BrokerHistoryLimits): MaybePromise<BrokerHistoryPage>
}

/** What the server hands to a broker. Every call is synchronous and never throws. */
export interface BrokerSink {
  /**
   * A message of a subscribed channel. Messages of one channel must come in the order that the broker states.
   * `data` is JSON text, opaque to the broker; the empty string stands for `undefined`. Anything else is dropped, unless the broker
   * knows that the text was published by this server or signed by another one (`known`): then it is not looked at.
   * `position` is there for what `history.publish` got, and only for that.
   */
  publication (channel: string, data: string, known?: boolean, position?: BrokerPosition): void
  /** The engine became reachable or unreachable. Repeating a state is harmless. */
  state (state: BrokerState, cause?: Error): void
  /** Reports that messages may have been lost on a channel, or on all channels (`null`). */
  gap (channel: string | null): void
  /** Delivers a control message of another node. A node must not receive its own control messages. */
  control (message: string, fromNode: string): void
  /**
   * Reports that the broker dropped data from the engine. `reason` completes the sentence "Dropped …" and should say how to fix
   * it. The server emits a warning for each reason at most once a minute.
   */
  dropped? (reason: string): void
}

/** The identity of this process, given to the broker. */
export interface BrokerNode {
  /** Unique in the cluster. */
  readonly id: string
  /** The option `brokerPrefix`: separates applications that share an engine. */
  readonly prefix: string
  /**
   * The option `brokerKey`: the first key signs outgoing frames, all keys verify incoming ones. Absent: frames are not signed.
   */
  readonly keys?: ReadonlyArray<Uint8Array> | undefined
}

/** The counters of a broker between processes. They only increase. */
export interface BrokerCounters {
  /** Frames sent to the engine. A frame carries up to 64 messages. */
  framesOut: number
  framesIn: number
  messagesOut: number
  messagesIn: number
  /**
   * Frames dropped as invalid: malformed, of another version, from an unknown sender, without a valid signature, or with a
   * message that is not one JSON value.
   */
  framesDropped: number
  /** Reconnections to the engine. */
  reconnects: number
  /** Times when publications may have been lost. */
  gaps: number
}

/** A value, or a promise for it. A broker inside the process returns the value synchronously. */
export type MaybePromise<T> = T | Promise<T>

/**
 * Optional features of a broker. The server checks for each one and works without it, so a broker that was written before a
 * feature existed stays valid. All optional members of `Broker` are declared here.
 */
interface BrokerCapabilities {
  /**
   * The order in which the publications of one channel arrive on the nodes, including the publishing node.
   * `'channel'`: all nodes receive them in the same order. `'publisher'`: the publications of one node arrive in the order in
   * which that node sent them, but each node may interleave those of several nodes differently. The memory and Redis brokers have
   * `'channel'`, NATS has `'publisher'`. @default 'publisher'
   */
  readonly order?: BrokerOrder
  /**
   * Whether the broker signs and verifies with `BrokerNode.keys`. A shared broker that does not is refused when `brokerKey` is
   * set.
   */
  readonly signs?: boolean
  /** Keeps messages of channels that were declared with `history`. Absent: such a declaration fails the boot. Memory: yes; Redis and NATS: no. */
  readonly history?: BrokerHistory
  /** Counters since the start, for logs and metrics. */
  stats? (): BrokerCounters
}

/**
 * Carries publications between publishers and subscribers, inside one process or between many.
 *
 * Delivery is at most once. All subscribers of a node receive publications in the same order. A node delivers its own
 * publications only when they come back from the engine. `order` states the order across nodes.
 */
export interface Broker extends BrokerCapabilities {
  /** A short name for logs and statistics: 'memory', 'redis', 'nats'. */
  readonly name: string
  /**
   * Whether other processes use the same broker. A random `authKey` is refused then. The methods of a broker that is not shared
   * must be synchronous.
   */
  readonly shared: boolean
  /**
   * Connects to the engine. The server calls it once, before any other method. Rejects when the engine is unusable and the broker
   * does not retry.
   */
  start (sink: BrokerSink, node: BrokerNode): MaybePromise<void>
  /** Starts the delivery of channels. Settles when the engine confirmed the subscriptions. Idempotent. */
  subscribe (channels: readonly string[]): MaybePromise<void>
  /** Ends the delivery of channels. Idempotent. */
  unsubscribe (channels: readonly string[]): MaybePromise<void>
  /** Publishes a message. Settles when the engine accepted it; rejects immediately while the engine is down. */
  publish (channel: string, data: string): MaybePromise<void>
  /** Sends a control message to one node, or to all other nodes when `toNode` is absent. */
  control (message: string, toNode?: string): MaybePromise<void>
  /** Disconnects and releases all resources. The broker must not call the sink afterwards. */
  stop (): MaybePromise<void>
}
