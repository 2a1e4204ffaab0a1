import type { UserData } from './user-data.js'

/**
 * The position of a message in the history of its channel: opaque text of at most 64 characters. Only compare positions for
 * equality.
 */
export type ScPosition = string

/** The limits of a channel's history. Each channel name that a pattern matches has its own history. */
export interface ScHistoryLimits {
  /** The maximum number of messages, 1 to 100,000. @default 100 */
  size?: number
  /** The milliseconds for which a message is kept, at least 1,000. @default 300000 */
  ttl?: number
}

/**
 * The limits of the messages that a client receives when it subscribes. A client that missed more is notified and receives none of
 * them, except those of `rewind`.
 */
export interface ScRecoveryLimits {
  /** The maximum number of messages, 1 to 1,000. @default 300 */
  limit?: number
  /** The maximum size of these messages as JSON in bytes, at least 1,024. @default 262144 */
  bytes?: number
  /**
   * The number of last messages, 0 to `limit`, for clients that subscribe without a position, and for those that cannot get
   * everything that they missed. Fewer, the newest ones, if they exceed `bytes`. @default 0
   */
  rewind?: number
}

/** What clients receive when they subscribe to a declared channel, with the defaults filled in. */
export interface ScDeclaredRecovery extends Required<ScRecoveryLimits> {
  /** Whether `recover` is `'latest'`: clients receive only the newest message. */
  latest: boolean
}

/**
 * The reason why messages may be missing.
 *
 * - `'unknown'`: the history of the position no longer exists, for example because the server was restarted
 * - `'trimmed'`: messages after the position are no longer kept
 * - `'limit'`: there are more messages than were requested, or than may be sent
 * - `'refused'`: a hook or a policy set `recover` to `false`, or `historyFrom` keeps messages from the client
 */
export type ScHistoryGap = 'unknown' | 'trimmed' | 'limit' | 'refused'

/** The query of `exchange.history()`. */
export interface ScHistoryQuery {
  /** Read the messages after this position, or from the oldest one that is kept for `'oldest'`. Default: the newest messages. */
  since?: ScPosition
  /** The maximum number of messages to read, 1 to 10,000. @default 100 */
  limit?: number
  /** Return the newest message first. @default false */
  reverse?: boolean
}

/** A message of a channel's history. */
export interface ScHistoryMessage<Message = UserData> {
  readonly position: ScPosition
  /** The time of the publication in milliseconds since the epoch. */
  readonly time: number
  readonly data: Message
}

/** The result of `exchange.history()`. */
export interface ScHistory<Message = UserData> {
  /** The messages, the oldest first unless the query has `reverse`. */
  readonly messages: ReadonlyArray<ScHistoryMessage<Message>>
  /** The position of the newest message of the channel. Also present for a channel without messages. */
  readonly position: ScPosition
  /**
   * With `since`: `null` if `messages` contains all messages published after it, else the reason why some may be missing. With
   * `'limit'` there are more: read on with the position of the last one as `since`. Without `since`: `null`, or `'limit'` if
   * `messages` has fewer than `limit` because more would take over 8 MiB, the maximum of one read from Redis or NATS.
   */
  readonly gap: ScHistoryGap | null
}

/** The data of the answer to `#subscribe` on a channel with `recover`. */
export interface ScRecoveryStatus {
  /** The position before the first message that follows. The client is up to date until this position. */
  readonly pos?: ScPosition
  /**
   * Present when the client sent a position: whether the client receives all messages after it, once each, in order, before new
   * ones. On a channel with `recover: 'latest'`: whether the client has, or receives, the newest message.
   */
  readonly recovered?: boolean
  /** The number of messages of the history that follow. */
  readonly count?: number
  /** The reason why the client does not receive all missed messages. */
  readonly reason?: ScHistoryGap
}
