import type { BrokerHistoryEntry, BrokerPosition } from '../../types/broker.js'
import type { ResolvedChannel } from '../../types/routes.js'
import { type HistoryFrom, firstAllowed } from '../broker/history-from.js'
import type { Session } from '../socket/session.js'
import { deliveryBytes } from '../socket/waiting-deliveries.js'
import { envelopeBytes } from './history-answer.js'

/** Bytes that the answer takes, which is sent before the messages. */
const answerBytes = 512

/** Messages that follow the answer to a subscription. */
export interface Following {
  readonly messages: readonly BrokerHistoryEntry[]
  /** The position before the first one; null if there are none. */
  readonly before: BrokerPosition | null
}

/** What can be offered of a channel's history to a client: messages that it may have, and for which there is room. */
export class HistoryOffer {
  readonly #session: Session
  readonly #channel: string
  readonly #bytes: number
  readonly #isHooked: boolean
  readonly #from: HistoryFrom | null

  /** @param from what the client may have; null for everything */
  constructor (session: Session, channel: string, { route: { recover } }: ResolvedChannel, isHooked: boolean, from: HistoryFrom | null) {
    this.#session = session
    this.#channel = channel
    this.#bytes = recover!.bytes
    this.#isHooked = isHooked
    this.#from = from
  }

  /** Whether the client may have all of these messages. */
  allows (entries: readonly BrokerHistoryEntry[]): boolean { return this.#firstAllowed(entries) === 0 }

  /** Whether there is room for all of these messages. */
  fits (entries: readonly BrokerHistoryEntry[]): boolean { return this.#fitting(entries) === entries.length }

  /**
   * Returns the last messages that the client may have and that fit.
   * @param count the maximum number
   * @param floor the position before the first of the entries; null if it is not known
   */
  last (entries: readonly BrokerHistoryEntry[], count: number, floor: BrokerPosition | null): Following {
    const first = Math.max(this.#firstAllowed(entries), entries.length - count)
    const start = entries.length - this.#fitting(first === 0 ? entries : partOf(entries, first))
    if (start === entries.length) return { messages: [], before: null }
    return { messages: start === 0 ? entries : partOf(entries, start), before: start > 0 ? entries[start - 1]!.position : floor ?? beforeFirst(entries[0]!.position) }
  }

  #firstAllowed (entries: readonly BrokerHistoryEntry[]): number {
    return this.#from === null ? 0 : firstAllowed(entries, this.#from)
  }

  /** Returns how many of the last messages fit the limits of the channel and the room of the connection. */
  #fitting (entries: readonly BrokerHistoryEntry[]): number {
    if (entries.length === 0) return 0
    const { connection, subscriptions, host: { options: { maxBufferedBytes } } } = this.#session
    const all = bytesOf(entries)
    if (!this.#isHooked && all <= this.#bytes) {
      const need = answerBytes + all + entries.length * envelopeBytes(this.#channel)
      if ((maxBufferedBytes === 0 || need <= maxBufferedBytes) && connection.hasRoom(need)) return entries.length
    }
    /** The room that the last messages need, by their number. */
    const needed = [answerBytes + (this.#isHooked ? deliveryBytes(0) : 0)]
    let total = 0
    for (const { data } of entries.toReversed()) {
      const count = needed.length
      const bytes = Buffer.byteLength(data)
      total += bytes
      if (total > this.#bytes || (this.#isHooked && !subscriptions.mayWait(count))) break
      // What waits for hooks counts more than what waits to be sent.
      const need = needed[count - 1]! + (this.#isHooked ? deliveryBytes(data.length) : bytes + envelopeBytes(this.#channel))
      // An empty backlog has room for one message of any size, but not for several.
      if (maxBufferedBytes !== 0 && need > maxBufferedBytes && (count > 1 || this.#isHooked)) break
      needed.push(need)
    }
    while (needed.length > 1 && !connection.hasRoom(needed.at(-1)!)) needed.pop()
    return needed.length - 1
  }
}

/** The bytes of messages. Those that come at the same time ask for the same list of messages. */
const sizes = new WeakMap<readonly BrokerHistoryEntry[], number>()

function bytesOf (entries: readonly BrokerHistoryEntry[]): number {
  let bytes = sizes.get(entries)
  if (bytes === undefined) sizes.set(entries, bytes = entries.reduce((sum, { data }) => sum + Buffer.byteLength(data), 0))
  return bytes
}

/** The last part of lists of messages that was asked for. It is the same list each time, so that its messages are joined once. */
const parts = new WeakMap<readonly BrokerHistoryEntry[], { readonly start: number, readonly entries: readonly BrokerHistoryEntry[] }>()

function partOf (entries: readonly BrokerHistoryEntry[], start: number): readonly BrokerHistoryEntry[] {
  let part = parts.get(entries)
  if (part?.start !== start) parts.set(entries, part = { start, entries: entries.slice(start) })
  return part.entries
}

/** The position before a message. Its check is not known, except before the first one of all. */
function beforeFirst ({ epoch, offset }: BrokerPosition): BrokerPosition {
  return { epoch, offset: offset - 1, check: '' }
}
