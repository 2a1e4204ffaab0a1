import type { UserData } from './user-data.js'

/** The place of a message in the history of its channel: opaque text of at most 64 characters. Compare two of them for equality only. */
export type ScPosition = string

/** How much a channel remembers. Each name that a pattern matches has a history of its own. */
export interface ScHistoryLimits {
  /** Messages, 1 to 10,000. @default 100 */
  size?: number
  /** Milliseconds for which a message is kept, at least 1,000. @default 300000 */
  ttl?: number
}

/** How much of what it missed a client gets when it subscribes again. If it missed more it is told so, and gets nothing of it. */
export interface ScRecoveryLimits {
  /** Messages, 1 to 1,000. @default 300 */
  limit?: number
  /** Bytes of these messages as JSON, at least 1,024. @default 262144 */
  bytes?: number
}

/**
 * Why it is not certain that nothing is missing.
 *
 * - `'unknown'`: the history that the position is of is gone, for example because the server was restarted
 * - `'trimmed'`: messages after the position are not kept any more
 * - `'limit'`: there are more messages than were asked for, or than may be sent
 * - `'refused'`: a hook or a policy set `recover` to false
 */
export type ScHistoryGap = 'unknown' | 'trimmed' | 'limit' | 'refused'

/** What to read of a history. */
export interface ScHistoryQuery {
  /** Only messages after this one. Absent: the newest messages. */
  since?: ScPosition
  /** The number of messages, 1 to 10,000. @default 100 */
  limit?: number
  /** The newest message first. @default false */
  reverse?: boolean
}

/** A message that a channel remembers. */
export interface ScHistoryMessage<Message = UserData> {
  readonly position: ScPosition
  /** When it was published, in milliseconds since the epoch. */
  readonly time: number
  readonly data: Message
}

/** What a channel remembers. */
export interface ScHistory<Message = UserData> {
  /** The oldest message first, unless the query says otherwise. */
  readonly messages: ReadonlyArray<ScHistoryMessage<Message>>
  /** The position of the newest message of the channel. It is there for a channel without messages too. */
  readonly position: ScPosition
  /** With `since`: `null` when `messages` are all that were published after it, else why that is not certain. Without: `null`. */
  readonly gap: ScHistoryGap | null
}

/** What the ack of `#subscribe` says on a channel with `recover`. */
export interface ScRecoveryStatus {
  /** The position before the first message that follows: the client is up to date until there. */
  readonly pos?: ScPosition
  /** Present when the client sent a position: whether it gets every message after it, each once, in order, before all new ones. */
  readonly recovered?: boolean
  /** The number of missed messages that follow. */
  readonly count?: number
  /** Why the client is not brought up to date. */
  readonly reason?: ScHistoryGap
}
