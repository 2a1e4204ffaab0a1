import type { BrokerHistoryEntry, BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition } from '../../types/broker.js'
import type { BrokerLink } from '../broker/link.js'
import { memorySize } from '../memory-size.js'

/** The most messages that are read at once for a subscriber that lags behind: not all of them are in memory then. */
export const partSize = 1_000
/** Maximum bytes of all kept parts. */
const maxBytes = 16 * 1024 * 1024
/** Bytes of a message without its text. */
const messageBytes = 200
/** Milliseconds for which a part is kept after the last read. */
const keptFor = 10_000

/** A part of a channel's history that was read. */
interface Part {
  readonly since: BrokerPosition
  readonly entries: readonly BrokerHistoryEntry[]
  readonly page: BrokerHistoryPage
  readonly bytes: number
}

/**
 * Reads histories in parts, for subscribers that lag behind by more than the broker has at hand. Those that lag behind at the same
 * time miss the same, so one read serves all of them: a part is kept for a while, and a channel is read once at a time.
 */
export class Parts {
  readonly #link: Pick<BrokerLink, 'readHistory'>
  /** The kept parts of each channel, the newest last. */
  readonly #parts = new Map<string, Part[]>()
  readonly #reading = new Map<string, Promise<BrokerHistoryPage>>()
  #bytes = 0
  #timer: NodeJS.Timeout | null = null

  constructor (link: Pick<BrokerLink, 'readHistory'>) {
    this.#link = link
  }

  /**
   * Returns the first messages after a position, or the oldest ones. A promise for nothing means that the caller should ask again
   * when it resolves. More may have been published since they were read.
   */
  after (channel: string, since: BrokerPosition | 'oldest', limits: BrokerHistoryLimits): BrokerHistoryPage | Promise<BrokerHistoryPage | void> {
    // Which ones are the oldest changes all the time.
    if (since === 'oldest') return this.#link.readHistory(channel, since, partSize, limits)
    const kept = this.#find(channel, since, Date.now() - limits.ttl)
    if (kept !== null) return kept
    const reading = this.#reading.get(channel)
    if (reading !== undefined) return settled(reading)
    const page = this.#link.readHistory(channel, since, partSize, limits)
    if (!(page instanceof Promise)) return page
    const read = this.#read(channel, since, page)
    this.#reading.set(channel, read)
    return read
  }

  async #read (channel: string, since: BrokerPosition, reading: Promise<BrokerHistoryPage>): Promise<BrokerHistoryPage> {
    try {
      const page = await reading
      this.#keep(channel, since, page)
      return page
    } finally {
      this.#reading.delete(channel)
    }
  }

  #find (channel: string, since: BrokerPosition, oldest: number): BrokerHistoryPage | null {
    for (const { since: before, entries, page } of this.#parts.get(channel) ?? []) {
      const from = indexAfter(before, entries, since)
      if (from !== -1 && from < entries.length && entries[from]!.time > oldest) return from === 0 ? page : { ...page, entries: entries.slice(from) }
    }
    return null
  }

  #keep (channel: string, since: BrokerPosition, page: BrokerHistoryPage): void {
    const { entries, gap } = page
    if (gap !== null || entries.length === 0) return
    const bytes = entries.reduce((sum, { data }) => sum + messageBytes + memorySize(data), 0)
    const parts = this.#parts.get(channel) ?? []
    this.#parts.delete(channel)
    this.#parts.set(channel, parts)
    parts.push({ since, entries, page, bytes })
    this.#bytes += bytes
    this.#makeRoom()
    this.#timer ??= setTimeout(() => { this.#clear() }, keptFor).unref()
    this.#timer.refresh()
  }

  /** Drops the oldest parts, of the channels first that were not read for the longest time. */
  #makeRoom (): void {
    for (const [channel, parts] of this.#parts) {
      while (this.#bytes > maxBytes && parts.length !== 0) this.#bytes -= parts.shift()!.bytes
      if (parts.length !== 0) return
      this.#parts.delete(channel)
    }
  }

  #clear (): void {
    this.#timer = null
    this.#parts.clear()
    this.#bytes = 0
  }
}

/** Resolves when a read has ended, also when it failed: who waits asks again then. */
async function settled (reading: Promise<unknown>): Promise<void> {
  try {
    await reading
  } catch {
    // The one who read is told.
  }
}

/** Returns the index of the first entry after a position that lies in a part; -1 if it does not. */
function indexAfter (before: BrokerPosition, entries: readonly BrokerHistoryEntry[], { epoch, offset, check }: BrokerPosition): number {
  if (epoch !== before.epoch || offset < before.offset) return -1
  if (offset === before.offset) return check === before.check ? 0 : -1
  // Offsets are consecutive, except where a message could not be read.
  const start = Math.min(entries.length, offset - before.offset)
  for (let i = start - 1; i >= 0 && entries[i]!.position.offset >= offset; i--) {
    const { position } = entries[i]!
    if (position.offset === offset) return position.check === check ? i + 1 : -1
  }
  return -1
}
