import type { UserData } from './user-data.js'

/** The limits of a channel's presence. */
export interface ScPresenceLimits {
  /**
   * The maximum number of users, 0 to 100,000, of which clients receive a list. With more users they receive the number of users
   * only. @default 1000
   */
  members?: number
  /**
   * The milliseconds, 0 to 3,600,000, for which a user stays present after its connection was lost or its process died. Clients
   * come back 10 to 20 seconds after that by default. @default 30000
   */
  leaveDelay?: number
  /** The milliseconds, 10 to 60,000, for which changes are collected before clients receive them together. @default 250 */
  interval?: number
}

/** A user in a channel. */
export interface ScPresenceMember<Data = UserData> {
  readonly key: string
  /** The data of the user. Absent without data. */
  readonly data?: Data
}

/** The result of `exchange.presence()`. */
export interface ScPresence<Data = UserData> {
  /** The users, also when there are more than clients receive a list of. */
  readonly members: ReadonlyArray<ScPresenceMember<Data>>
  /** The number of users. */
  readonly total: number
  /** Whether all processes told who is there. `false` while the engine of the broker is down, or when a process did not answer. */
  readonly complete: boolean
}

/** A message that clients receive on `<name>#presence`. */
export type ScPresenceMessage<Data = UserData> =
  /** All users: the first message, and again when the list is short enough once more. */
  | { readonly type: 'state', readonly members: ReadonlyArray<ScPresenceMember<Data>>, readonly total: number, readonly v: number }
  /** What changed since the message with the version before `v`. `leaves` are keys. */
  | { readonly type: 'diff', readonly joins: ReadonlyArray<ScPresenceMember<Data>>, readonly updates: ReadonlyArray<ScPresenceMember<Data>>, readonly leaves: readonly string[], readonly total: number, readonly v: number }
  /** The number of users, in place of a list that would be too long. */
  | { readonly type: 'count', readonly total: number }

/** The presence of a socket in a channel, as returned by `socket.presence(channel)`. */
export interface ScSocketPresence {
  /**
   * Sets the data of the socket's user: JSON of at most 4,096 characters, `undefined` for none. Makes the socket present again
   * after `leave()`.
   * @throws InvalidActionError if the socket is not subscribed to the channel, or has no key
   * @throws InvalidArgumentsError if the data cannot be encoded or is too large
   */
  update (data?: unknown): void
  /** Ends the presence of the socket, which stays subscribed. Its user leaves unless another socket of the user is present. */
  leave (): void
}

/** The statistics of presence. */
export interface ScPresenceStats {
  /** Channels with users at this process. */
  channels: number
  /** Users at this process, counted for each channel. */
  members: number
  /** Users who became present at this process. */
  joins: number
  /** Users who ceased to be present at this process. */
  leaves: number
}
