/** Whether the broker can reach its engine. */
export type BrokerState = 'up' | 'down'

/** The scope of the order of a channel's publications: the whole channel, or each publishing node. See `Broker.order`. */
export type BrokerOrder = 'channel' | 'publisher'

/** The position of a message in the history of its channel. */
export interface BrokerPosition {
  /**
   * The id of the history's lifetime. Positions of different epochs are not comparable. 1 to 24 characters of A-Z a-z 0-9 _ -.
   */
  readonly epoch: string
  /** The number of the message in its epoch: 1 for the first message, 0 before it. */
  readonly offset: number
  /**
   * A check value of up to 8 characters of A-Z a-z 0-9 _ -. It most likely differs if the engine lost messages and reused the
   * offset. Empty if that cannot happen.
   */
  readonly check: string
}

/** The limits of a channel's history. */
export interface BrokerHistoryLimits {
  /** The maximum number of messages. */
  readonly size: number
  /** The milliseconds for which a message is kept. */
  readonly ttl: number
}

/** A message of a channel's history. */
export interface BrokerHistoryEntry {
  readonly position: BrokerPosition
  /** The time of the publication in milliseconds since the epoch. */
  readonly time: number
  /** The JSON text that was passed to `publish`. */
  readonly data: string
}

/** A part of a channel's history. */
export interface BrokerHistoryPage {
  /** The position of the newest message. Its offset is 0 for a channel without messages. */
  readonly top: BrokerPosition
  /** The messages, the oldest first. */
  readonly entries: readonly BrokerHistoryEntry[]
  /**
   * `null` if `entries` continue directly after `since` without a missing message, else the reason why messages may be missing.
   * `'limit'` from `follow`: there are more messages than requested. `'limit'` from `read` of the newest messages: fewer than
   * requested, because more would be too large for one answer.
   */
  readonly gap: 'unknown' | 'trimmed' | 'limit' | null
}

/** The history of a broker that keeps messages. */
export interface BrokerHistory {
  /** Publishes a message like `Broker.publish` and keeps it, even without subscribers. The sink receives it with its position. */
  publish (channel: string, data: string, limits: BrokerHistoryLimits): MaybePromise<void>
  /**
   * Publishes and keeps a message like `publish`, unless a message with the same key was published to the channel within the last
   * `limits.ttl` milliseconds. Settles with `true` if the message was published, and with `false` if it was not, because it is a
   * repeat. If it rejects, the caller may try again with the same key: of all attempts at most one is published.
   *
   * The check and the publication are one step: of two attempts at the same time, on any nodes, one is published. A repeat takes no
   * position. Without `publishOnce`, a publish with an `idempotencyKey` is refused.
   * @param key 1 to 128 UTF-16 units without lone surrogates. Each channel has its own keys
   */
  publishOnce? (channel: string, data: string, limits: BrokerHistoryLimits, key: string): MaybePromise<boolean>
  /**
   * Publishes and keeps a message like `publish`, or with a key like `publishOnce`, and settles with its position; with `null` if it was
   * not published because it is a repeat. Without `append`, `exchange.append()` rejects.
   */
  append? (channel: string, data: string, limits: BrokerHistoryLimits, key?: string): MaybePromise<BrokerPosition | null>
  /**
   * Reads at most `limit` messages: those after `since`, the oldest ones that are kept if it is `'oldest'`, or the newest ones if it
   * is `null`. An answer may have fewer of them, but not none if there are any.
   */
  read (channel: string, since: BrokerPosition | 'oldest' | null, limit: number, limits: BrokerHistoryLimits): MaybePromise<BrokerHistoryPage>
  /**
   * Reads synchronously what the sink received of a subscribed channel after `since`. If there are more messages than `limit`,
   * `entries` is empty and `gap` is `'limit'`. With `since` `null` it reads the newest messages, at most `limit`, which may be 0: then
   * only the position of the last message is needed.
   *
   * A broker that has to read from its engine first returns a promise instead. The caller asks again when it resolves, in the same
   * turn of the event loop. It rejects with a `BrokerError` when the engine cannot be read.
   *
   * From the first call until the unsubscribe, the broker delivers the channel completely: what a lost connection to the engine
   * missed is read and delivered later, or the broker calls `sink.gap(channel, position)`. `sink.gap(null)` does not concern the
   * channel any more.
   *
   * Channels with `recover` require this method: the answer to a subscription, the missed messages and the first new message
   * follow each other without a gap, because nothing can come between them in one turn.
   */
  follow? (channel: string, since: BrokerPosition | null, limit: number, limits: BrokerHistoryLimits): BrokerHistoryPage | Promise<void>
}

/**
 * Short texts that all nodes share, each under a key and for a limited time. The server remembers in it which idempotency keys were
 * used, so keys must not be forgotten before their time as long as there are fewer than the broker states.
 */
export interface BrokerStore {
  /**
   * Stores `value` for `ttl` milliseconds, unless the key has a value. Settles with `null` if it was stored, else with the value that
   * the key has. This is one step: of several calls at the same time, on any nodes, one stores its value.
   * @param key 1 to 64 characters of A-Z a-z 0-9 _ -
   * @param value 1 to 131,072 UTF-16 units
   */
  add (key: string, value: string, ttl: number): MaybePromise<string | null>
  /**
   * Replaces the value of a key for `ttl` milliseconds, or removes it if `value` is `null`, provided that the key still has the value
   * `expected`. Settles with whether it had.
   */
  replace (key: string, expected: string, value: string | null, ttl: number): MaybePromise<boolean>
}

/** The server's side of a broker: the methods that a broker calls. All of them are synchronous and never throw. */
export interface BrokerSink {
  /**
   * Delivers a message of a subscribed channel. The broker must keep the order that its `order` promises.
   * `data` is the JSON text that was published; an empty string stands for `undefined`. The server drops text that is not valid
   * JSON. With `known` the server skips this check: the broker knows that this server published the text, or that another one
   * signed it. `position` must be present for messages of `history.publish`, and only for those.
   */
  publication (channel: string, data: string, known?: boolean, position?: BrokerPosition): void
  /** Reports that the engine became reachable or unreachable. Reporting the current state again has no effect. */
  state (state: BrokerState, cause?: Error): void
  /**
   * Reports that messages may have been lost on a channel, or on all channels (`null`), except those that
   * `BrokerHistory.follow` was called for. `position` must be present for these: the position before the next message.
   */
  gap (channel: string | null, position?: BrokerPosition): void
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
  /** Reads of histories from the engine. Present if the broker keeps histories. */
  historyReads?: number
  /** Channels for which messages were read that a lost connection to the engine had missed. Present if the broker keeps histories. */
  historyRepairs?: number
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
   * `'channel'`, NATS has `'publisher'`. Messages of `history.publish` always have the order of the channel. @default 'publisher'
   */
  readonly order?: BrokerOrder
  /**
   * Whether the broker signs and verifies with `BrokerNode.keys`. A shared broker that does not is refused when `brokerKey` is
   * set.
   */
  readonly signs?: boolean
  /**
   * Keeps the messages of channels declared with `history`. Without it such a declaration fails the start. The memory and Redis
   * brokers have it, NATS with its option `history`.
   */
  readonly history?: BrokerHistory
  /**
   * Remembers which idempotency keys were used. Without it, `scServer.cluster.runOnce()` rejects. The memory and Redis
   * brokers have it, NATS with its option `history`.
   */
  readonly store?: BrokerStore
  /** Returns the counters since the start, for logs and metrics. */
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
