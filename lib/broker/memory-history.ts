import { randomBytes } from 'node:crypto'
import type { BrokerHistoryEntry, BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition } from '../../types/broker.js'
import { memorySize } from '../memory-size.js'
import { idleTime } from './idle-time.js'
import { MemoryKeys } from './memory-keys.js'

/** The bytes of an entry and its position, without the text of the message. */
const entryBytes = 120
/** The bytes of a channel, without its name and its messages. */
const channelBytes = 472

/** The milliseconds between two sweeps, and the number of channels that a sweep checks. */
const sweepInterval = 1_000
const sweepCount = 1_000

/** The history of one channel. */
class ChannelHistory {
  readonly #epoch = newEpoch()
  readonly entries: BrokerHistoryEntry[] = []
  /** The part of the messages that was read last. */
  #part: { readonly from: number, readonly to: number, readonly entries: readonly BrokerHistoryEntry[] } | null = null
  top: BrokerPosition = { epoch: this.#epoch, offset: 0, check: '' }
  /** The bytes of the channel and its messages. */
  #bytes: number
  /** The keys of messages; created with the first one. */
  #keys: MemoryKeys | null = null
  /** The neighbors in the list of channels, which is sorted by the time of the last publish. */
  older: ChannelHistory | null = null
  newer: ChannelHistory | null = null
  usedAt: number
  /** The limits given with the last publish or read. */
  limits: BrokerHistoryLimits

  /** @param emptyEpoch the epoch of positions in this channel before its first message */
  constructor (readonly channel: string, readonly emptyEpoch: string, limits: BrokerHistoryLimits, now: number) {
    this.#bytes = channelBytes + memorySize(channel)
    this.limits = limits
    this.usedAt = now
  }

  /** An upper estimate of the bytes that the channel takes. */
  get bytes (): number { return this.#bytes + (this.#keys === null ? 0 : this.#keys.bytes) }

  /** @returns whether the key is new */
  addKey (key: string, now: number): boolean {
    return (this.#keys ??= new MemoryKeys()).add(key, now, this.limits.ttl)
  }

  /** The same list each time, until a message is added or dropped: clients that come back at the same time missed the same. */
  part (from: number, to: number): readonly BrokerHistoryEntry[] {
    if (this.#part === null || this.#part.from !== from || this.#part.to !== to) this.#part = { from, to, entries: this.entries.slice(from, to) }
    return this.#part.entries
  }

  add (data: string, now: number): BrokerPosition {
    this.#part = null
    this.top = { epoch: this.#epoch, offset: this.top.offset + 1, check: '' }
    this.entries.push({ position: this.top, time: now, data })
    this.#bytes += sizeOf(data)
    return this.top
  }

  /** Drops messages that are older than the ttl or exceed the size, and keys that are older than the ttl. */
  trim (now: number): void {
    const { entries, limits } = this
    this.#keys?.trim(now, limits.ttl)
    const oldest = now - limits.ttl
    let count = Math.max(0, entries.length - limits.size)
    while (count < entries.length && entries[count]!.time <= oldest) count++
    if (count === 0) return
    this.#part = null
    for (const { data } of entries.splice(0, count)) this.#bytes -= sizeOf(data)
  }

  isIdle (now: number): boolean {
    return this.entries.length === 0 && (this.#keys === null || this.#keys.size === 0) && now - this.usedAt > idleTime(this.limits.ttl)
  }
}

function newEpoch (): string {
  return randomBytes(6).toString('base64url')
}

function sizeOf (data: string): number {
  return entryBytes + memorySize(data)
}

/**
 * The messages that the memory broker keeps. Over `maxBytes` it forgets whole channels, those first to which nothing was
 * published for the longest time: a channel either remembers what its limits say, or knows that it does not.
 */
export class MemoryHistory {
  readonly #maxBytes: number
  /**
   * The epoch of positions in channels without messages, which take no memory. It is replaced when a channel is forgotten: a
   * client that was there before the first message of a channel cannot know then whether it missed others.
   */
  #emptyEpoch = newEpoch()
  readonly #channels = new Map<string, ChannelHistory>()
  // A list of the channels, sorted by the time of the last publish. Deleting and setting a key again would sort the map in the same
  // way, but takes V8 longer the more keys the map has.
  #oldest: ChannelHistory | null = null
  #newest: ChannelHistory | null = null
  #bytes = 0
  #timer: NodeJS.Timeout | null = null
  #sweeping: Iterator<ChannelHistory> | null = null

  constructor (maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** An upper estimate of the bytes that all channels take. */
  get bytes (): number { return this.#bytes }

  add (channel: string, data: string, limits: BrokerHistoryLimits): BrokerPosition {
    return this.#write(channel, limits, (history, now) => {
      const position = history.add(data, now)
      history.trim(now)
      return position
    })
  }

  /** Notes the key of a message that is about to be added. @returns whether the key is new */
  addKey (channel: string, key: string, limits: BrokerHistoryLimits): boolean {
    return this.#write(channel, limits, (history, now) => history.addKey(key, now))
  }

  #write<T> (channel: string, limits: BrokerHistoryLimits, act: (history: ChannelHistory, now: number) => T): T {
    const now = Date.now()
    const history = this.#channels.get(channel) ?? this.#begin(channel, limits, now)
    history.limits = limits
    history.usedAt = now
    const result = this.#change(history, () => act(history, now))
    this.#use(history)
    this.#makeRoom()
    return result
  }

  read (channel: string, since: BrokerPosition | 'oldest' | null, limit: number, limits: BrokerHistoryLimits): BrokerHistoryPage {
    const now = Date.now()
    const history = this.#channels.get(channel)
    if (history === undefined) {
      const top = { epoch: this.#emptyEpoch, offset: 0, check: '' }
      return { top, entries: [], gap: since === null || since === 'oldest' || isSame(since, top) ? null : 'unknown' }
    }
    history.limits = limits
    history.usedAt = now
    this.#change(history, () => { history.trim(now) })
    const { emptyEpoch, entries, top } = history
    const newest = (gap: BrokerHistoryPage['gap']): BrokerHistoryPage => ({ top, entries: limit === 0 ? [] : history.part(Math.max(0, entries.length - limit), entries.length), gap })
    if (since === null) return newest(null)
    if (since === 'oldest') return { top, entries: history.part(0, limit), gap: null }
    const isKnown = since.epoch === top.epoch ? since.offset <= top.offset : since.epoch === emptyEpoch && since.offset === 0
    if (!isKnown || since.check !== '') return newest('unknown')
    // The offsets of the entries are consecutive, so the index follows from the offset.
    const from = since.offset + 1 - (top.offset - entries.length + 1)
    if (from < 0) return newest('trimmed')
    return { top, entries: history.part(from, from + limit), gap: null }
  }

  /** Reads all messages after `since`, if they are not more than `limit`, or the newest ones. */
  follow (channel: string, since: BrokerPosition | null, limit: number, limits: BrokerHistoryLimits): BrokerHistoryPage {
    const page = this.read(channel, since, limit, limits)
    if (since === null) return page
    const last = page.entries.at(-1)
    const isCut = page.gap === null && last !== undefined && last.position.offset !== page.top.offset
    return isCut ? { ...page, entries: [], gap: 'limit' } : page
  }

  #begin (channel: string, limits: BrokerHistoryLimits, now: number): ChannelHistory {
    const history = new ChannelHistory(channel, this.#emptyEpoch, limits, now)
    this.#channels.set(channel, history)
    this.#append(history)
    this.#bytes += history.bytes
    this.#timer ??= setInterval(() => { this.#sweep() }, sweepInterval).unref()
    return history
  }

  #change<T> (history: ChannelHistory, act: () => T): T {
    const before = history.bytes
    const result = act()
    this.#bytes += history.bytes - before
    return result
  }

  #makeRoom (): void {
    while (this.#oldest !== null && this.#bytes > this.#maxBytes) this.#forget(this.#oldest)
  }

  #use (history: ChannelHistory): void {
    if (this.#newest === history) return
    this.#remove(history)
    this.#append(history)
  }

  #append (history: ChannelHistory): void {
    history.older = this.#newest
    if (this.#newest === null) this.#oldest = history
    else this.#newest.newer = history
    this.#newest = history
  }

  #remove (history: ChannelHistory): void {
    const { older, newer } = history
    if (older === null) this.#oldest = newer
    else older.newer = newer
    if (newer === null) this.#newest = older
    else newer.older = older
    history.older = history.newer = null
  }

  #forget (history: ChannelHistory): void {
    this.#channels.delete(history.channel)
    this.#remove(history)
    this.#bytes -= history.bytes
    this.#emptyEpoch = newEpoch()
  }

  /** Trims the next channels, so that messages of unused channels do not stay in memory. */
  #sweep (): void {
    const now = Date.now()
    for (let i = 0; i < sweepCount; i++) {
      const { done, value: history } = (this.#sweeping ??= this.#channels.values()).next()
      if (done === true) {
        this.#sweeping = null
        break
      }
      this.#change(history, () => { history.trim(now) })
      if (history.isIdle(now)) this.#forget(history)
    }
    if (this.#channels.size === 0) this.stop()
  }

  stop (): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#sweeping = null
    this.#channels.clear()
    this.#oldest = this.#newest = null
    this.#bytes = 0
  }
}

function isSame (a: BrokerPosition, b: BrokerPosition): boolean {
  return a.epoch === b.epoch && a.offset === b.offset && a.check === b.check
}
