import type { BrokerHistoryEntry, BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition } from '../../../../types/broker.js'
import { memorySize } from '../../../memory-size.js'

/** Bytes of an entry without the text of the message. */
const entryBytes = 200
/** Maximum bytes of the messages of one channel. More are kept only for the turn in which they are asked for. */
const maxBytes = 1024 * 1024
/** Messages over the size of a channel's history that are kept before the oldest ones are dropped, so that this happens rarely. */
const slack = 64

/** The last messages of a channel that this node received: a part of the channel's history without a missing message. */
export class Tail {
  /** The position of the last message. */
  top: BrokerPosition
  /** The position before the first entry. */
  #floor: BrokerPosition
  #entries: BrokerHistoryEntry[] = []
  bytes = 0
  /** Whether the engine has no messages before the first entry. */
  isWhole = false

  constructor (top: BrokerPosition) {
    this.top = this.#floor = top
  }

  get floor (): BrokerPosition { return this.#floor }

  /** Adds the messages that follow the last one. */
  append (entries: readonly BrokerHistoryEntry[], top: BrokerPosition, { size }: BrokerHistoryLimits): void {
    for (const entry of entries) {
      this.#entries.push(entry)
      this.bytes += sizeOf(entry)
    }
    this.top = top
    if (this.#entries.length > size + slack || this.bytes > maxBytes) this.#trim(size)
  }

  /** Adds the messages that precede the first one. @param floor the position before them */
  extend (entries: readonly BrokerHistoryEntry[], floor: BrokerPosition): void {
    this.#entries = [...entries, ...this.#entries]
    for (const entry of entries) this.bytes += sizeOf(entry)
    this.#floor = floor
  }

  /** Drops all messages, but not the position. */
  clear (): void {
    this.#entries = []
    this.bytes = 0
    this.#floor = this.top
    this.isWhole = false
  }

  /** The entry of an offset, if there is one. */
  entryAt (offset: number): BrokerHistoryEntry | undefined {
    const entry = this.#entries[this.#indexAfter(offset - 1)]
    return entry?.position.offset === offset ? entry : undefined
  }

  /** Returns the messages after `since`, at most `limit`; `null` when only the engine can tell. */
  page (since: BrokerPosition | null, limit: number, { size, ttl }: BrokerHistoryLimits): BrokerHistoryPage | null {
    const { top } = this
    const without = (gap: BrokerHistoryPage['gap']): BrokerHistoryPage => ({ top, entries: [], gap })
    if (since === null) return without(null)
    if (since.epoch !== top.epoch) return without('unknown')
    const count = top.offset - since.offset
    if (count === 0) return without(since.check === top.check ? null : 'unknown')
    // Another node may have delivered messages that did not arrive here yet.
    if (count < 0) return null
    if (count > size) return without('trimmed')
    if (count > limit) return without('limit')
    if (since.offset < this.#floor.offset) return this.isWhole ? without('trimmed') : null
    const anchor = since.offset === this.#floor.offset ? this.#floor : this.entryAt(since.offset)?.position
    if (anchor === undefined) return null
    if (anchor.check !== since.check) return without('unknown')
    const entries = this.#entries.slice(this.#indexAfter(since.offset))
    const first = entries[0]
    return first !== undefined && first.time <= Date.now() - ttl ? without('trimmed') : { top, entries, gap: null }
  }

  #trim (size: number): void {
    let drop = Math.max(0, this.#entries.length - size)
    let bytes = this.bytes
    for (let i = 0; i < drop; i++) bytes -= sizeOf(this.#entries[i]!)
    while (bytes > maxBytes) bytes -= sizeOf(this.#entries[drop++]!)
    if (drop === 0) return
    this.#floor = this.#entries[drop - 1]!.position
    this.#entries.splice(0, drop)
    this.isWhole = false
    this.bytes = bytes
  }

  /** The index of the first entry after an offset. Offsets may be missing, where a message could not be read. */
  #indexAfter (offset: number): number {
    let low = 0
    let high = this.#entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#entries[middle]!.position.offset > offset) high = middle
      else low = middle + 1
    }
    return low
  }
}

function sizeOf ({ data }: BrokerHistoryEntry): number {
  return entryBytes + memorySize(data)
}
