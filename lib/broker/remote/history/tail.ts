import type { BrokerHistoryEntry, BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition } from '../../../../types/broker.js'
import type { Arrival } from './arrival.js'
import { ArrivedBlock, ReadBlock, type Block } from './block.js'

/** Maximum bytes of the messages of one channel. More are kept only for the turn in which they are asked for. */
const maxBytes = 1024 * 1024
/** The last messages of a channel that this node received: a part of the channel's history without a missing message. */
export class Tail {
  /** The position of the last message. */
  top: BrokerPosition
  /** The position before the first message. */
  #floor: BrokerPosition
  /** The messages, without a hole between two blocks. */
  #blocks: Block[] = []
  /** The messages after an offset that were asked for last. */
  #listed: { readonly offset: number, readonly entries: readonly BrokerHistoryEntry[] } | null = null
  bytes = 0
  /** Whether the engine has no messages before the first one. */
  isWhole = false

  constructor (top: BrokerPosition) {
    this.top = this.#floor = top
  }

  get floor (): BrokerPosition { return this.#floor }

  /** Adds a frame that follows the last message. */
  add (arrival: Arrival, limits: BrokerHistoryLimits): void {
    const block = new ArrivedBlock(arrival)
    this.#append(block, { epoch: arrival.epoch, offset: block.last, check: arrival.check }, limits)
  }

  /** Adds messages that were read and follow the last one. @param top the position of the last one, also if it cannot be used */
  append (entries: readonly BrokerHistoryEntry[], top: BrokerPosition, limits: BrokerHistoryLimits): void {
    this.#append(new ReadBlock(entries, this.top.offset + 1, top.offset), top, limits)
  }

  /** Adds the messages that precede the first one. @param floor the position before them */
  extend (entries: readonly BrokerHistoryEntry[], floor: BrokerPosition): void {
    const block = new ReadBlock(entries, floor.offset + 1, this.#floor.offset)
    // A read of the newest messages does not tell the check of the position before them.
    if (floor.offset !== this.#floor.offset || floor.check !== '') this.#floor = floor
    if (block.last < block.first) return
    this.#listed = null
    this.#blocks.unshift(block)
    this.bytes += block.bytes
  }

  /** Drops all messages, but not the position. */
  clear (): void {
    this.#blocks = []
    this.#listed = null
    this.bytes = 0
    this.#floor = this.top
    this.isWhole = false
  }

  /** The check of the position with an offset; `undefined` if it is not known. */
  checkAt (offset: number): string | undefined {
    if (offset !== this.#floor.offset) return this.#blocks[this.#indexOf(offset)]?.checkAt(offset)
    // Nothing precedes the first message of an epoch.
    return this.#floor.check === '' && offset !== 0 ? undefined : this.#floor.check
  }

  /**
   * Returns the messages after `since`, at most `limit`, or the newest ones; `null` when only the engine can tell.
   * @param now the time of the engine
   */
  page (since: BrokerPosition | null, limit: number, limits: BrokerHistoryLimits, now: number): BrokerHistoryPage | null {
    const { top } = this
    const { size, ttl } = limits
    const without = (gap: BrokerHistoryPage['gap']): BrokerHistoryPage => ({ top, entries: [], gap })
    if (since === null) return limit === 0 ? without(null) : this.newest(limit, limits, now, false)
    if (since.epoch !== top.epoch) return without('unknown')
    const count = top.offset - since.offset
    if (count === 0) return without(since.check === top.check ? null : 'unknown')
    // Another node may have delivered messages that did not arrive here yet.
    if (count < 0) return null
    if (count > size) return without('trimmed')
    if (count > limit) return without('limit')
    if (since.offset < this.#floor.offset) return this.isWhole ? without('trimmed') : null
    const check = this.checkAt(since.offset)
    if (check === undefined) return null
    if (check !== since.check) return without('unknown')
    const entries = this.#entriesAfter(since.offset)
    const first = entries[0]
    return first !== undefined && first.time <= now - ttl ? without('trimmed') : { top, entries, gap: null }
  }

  /** The same list each time, until a message is added: clients that come back at the same time missed the same. */
  #entriesAfter (offset: number): readonly BrokerHistoryEntry[] {
    if (this.#listed !== null && this.#listed.offset === offset) return this.#listed.entries
    const blocks = this.#blocks.slice(this.#indexOf(offset + 1))
    const entries = blocks.flatMap((block) => block.first > offset ? block.entries : block.entries.filter(({ position }) => position.offset > offset))
    this.#listed = { offset, entries }
    return entries
  }

  /** Returns the newest messages, at most `limit`. @param isPart whether fewer will do; otherwise `null` when the engine has to be asked */
  newest (limit: number, { size, ttl }: BrokerHistoryLimits, now: number, isPart: boolean): BrokerHistoryPage | null {
    const { top } = this
    const from = Math.max(0, top.offset - Math.min(limit, size))
    const entries = this.#entriesAfter(from)
    const expired = now - ttl
    const kept = entries.every(({ time }) => time > expired) ? entries : entries.filter(({ time }) => time > expired)
    const isComplete = from >= this.#floor.offset || this.isWhole || kept !== entries
    return isComplete || isPart ? { top, entries: kept, gap: null } : null
  }

  #append (block: Block, top: BrokerPosition, { size }: BrokerHistoryLimits): void {
    this.top = top
    this.#listed = null
    if (block.last < block.first) return
    this.#blocks.push(block)
    this.bytes += block.bytes
    // Whole blocks are dropped, so a few more messages stay.
    let drop = 0
    while (drop < this.#blocks.length - 1 && (top.offset - this.#blocks[drop]!.last >= size || this.bytes > maxBytes)) this.bytes -= this.#blocks[drop++]!.bytes
    if (drop === 0) return
    const { last } = this.#blocks[drop - 1]!
    const check = this.checkAt(last) ?? ''
    this.#blocks.splice(0, drop)
    this.#floor = { epoch: top.epoch, offset: last, check }
    this.isWhole = false
  }

  /** The index of the block with an offset, or of the first one after it. */
  #indexOf (offset: number): number {
    let low = 0
    let high = this.#blocks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#blocks[middle]!.last >= offset) high = middle
      else low = middle + 1
    }
    return low
  }
}
