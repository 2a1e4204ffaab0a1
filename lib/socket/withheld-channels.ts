import type { SlowConsumerPolicy } from '../../types/options.js'
import type { MessagePlace, SharedMessage } from '../transport/shared-message.js'
import type { Connection } from '../transport/connection.js'

/** Maximum of messages kept per channel while a check decides whether the socket may still receive them. */
const maxMessages = 1_024

/**
 * Channels that are withheld from a socket. A channel under check keeps its messages; a suspended channel drops them. Kept
 * messages count towards the backlog of the socket.
 */
export class WithheldChannels {
  readonly #channels = new Map<string, SharedMessage[] | null>()
  readonly #connection: Connection

  constructor (connection: Connection) {
    this.#connection = connection
  }

  get isEmpty (): boolean { return this.#channels.size === 0 }
  has (channel: string): boolean { return this.#channels.has(channel) }

  /** Whether a channel is suspended. */
  isSuspended (channel: string): boolean { return this.#channels.get(channel) === null }

  /**
   * Keeps messages of a channel from now on, with those already kept and the latest one that waits for room in the backlog.
   * @returns the place of the latest one, which is not kept when it can be read from the history
   */
  keep (channel: string): MessagePlace | null {
    if (Array.isArray(this.#channels.get(channel))) return null
    const latest = this.#connection.takeLatest(channel)
    const isKept = latest !== undefined && latest.place === null
    this.#channels.set(channel, isKept ? [latest] : [])
    if (isKept) this.#connection.hold(latest.bytes)
    return latest?.place ?? null
  }

  /** Drops messages of a channel from now on, and those already kept. */
  suspend (channel: string): void {
    this.take(channel)
    this.#channels.set(channel, null)
  }

  /** Stops withholding a channel. @returns the kept messages */
  take (channel: string): readonly SharedMessage[] {
    const kept = this.#channels.get(channel) ?? []
    this.#channels.delete(channel)
    for (const message of kept) this.#connection.release(message.bytes)
    return kept
  }

  /**
   * Adds a message of a withheld channel.
   * @returns whether the message is kept; null when there is no room for it and `policy` has to decide
   */
  add (channel: string, message: SharedMessage, policy: SlowConsumerPolicy): boolean | null {
    const kept = this.#channels.get(channel)
    if (kept === null || kept === undefined) return false
    if (policy === 'latest') {
      // With this policy only the latest message matters.
      for (const older of kept.splice(0)) this.#connection.release(older.bytes)
    }
    if (kept.length === maxMessages || !this.#connection.hasRoom(message.bytes)) return null
    this.#connection.hold(message.bytes)
    kept.push(message)
    return true
  }
}
