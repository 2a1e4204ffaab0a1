import type { SlowConsumerPolicy } from '../../types/options.js'
import type { SharedMessage } from '../transport/shared-message.js'
import type { Connection } from '../transport/connection.js'

/** How many messages of a channel are kept while it is asked whether the socket may still have them. */
const maxMessages = 1_024

/**
 * Messages of channels that are held back from a socket: until it is known whether it may still have them (kept), or until it
 * may again (dropped). What is kept counts as the socket's backlog.
 */
export class WithheldChannels {
  readonly #channels = new Map<string, SharedMessage[] | null>()
  readonly #connection: Connection

  constructor (connection: Connection) {
    this.#connection = connection
  }

  get isEmpty (): boolean { return this.#channels.size === 0 }
  has (channel: string): boolean { return this.#channels.has(channel) }

  /** From now on what comes is kept; what was kept stays. So is what waits until the connection has room for it. */
  keep (channel: string): void {
    if (Array.isArray(this.#channels.get(channel))) return
    const latest = this.#connection.takeLatest(channel)
    this.#channels.set(channel, latest === undefined ? [] : [latest])
    if (latest !== undefined) this.#connection.hold(latest.bytes)
  }

  /** From now on what comes is dropped, and what was kept too. */
  suspend (channel: string): void {
    this.take(channel)
    this.#channels.set(channel, null)
  }

  /** Holds a channel back no more. @returns what was kept */
  take (channel: string): readonly SharedMessage[] {
    const kept = this.#channels.get(channel) ?? []
    this.#channels.delete(channel)
    for (const message of kept) this.#connection.release(message.bytes)
    return kept
  }

  /**
   * Takes a message of a channel that is held back.
   * @returns whether it is kept; null when the backlog has no room for it, and `policy` decides
   */
  add (channel: string, message: SharedMessage, policy: SlowConsumerPolicy): boolean | null {
    const kept = this.#channels.get(channel)
    if (kept === null || kept === undefined) return false
    if (policy === 'latest') {
      // The last one says everything.
      for (const older of kept.splice(0)) this.#connection.release(older.bytes)
    }
    if (!this.#connection.hasRoom(message.bytes)) return null
    if (kept.length === maxMessages) return false
    this.#connection.hold(message.bytes)
    kept.push(message)
    return true
  }
}
