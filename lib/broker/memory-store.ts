import type { BrokerStore } from '../../types/broker.js'
import { memorySize } from '../memory-size.js'

/** Maximum number of keys, and of bytes that they take. Over it the oldest are forgotten. */
const maxKeys = 10_000
const maxBytes = 16 * 1024 * 1024
/** The bytes of an entry in its map, without its texts. */
const entryBytes = 160

interface Entry {
  readonly value: string
  readonly end: number
}

/** The store of the memory broker. */
export class MemoryStore implements BrokerStore {
  /** The entries in the order in which they were stored. */
  readonly #entries = new Map<string, Entry>()
  #bytes = 0

  /** An upper estimate of the bytes that all entries take. */
  get bytes (): number { return this.#bytes }

  add (key: string, value: string, ttl: number): string | null {
    const now = performance.now()
    const before = this.#entries.get(key)
    if (before !== undefined && before.end > now) return before.value
    this.#set(key, value, now + ttl)
    this.#makeRoom(now)
    return null
  }

  replace (key: string, expected: string, value: string | null, ttl: number): boolean {
    const now = performance.now()
    const before = this.#entries.get(key)
    if (before === undefined || before.end <= now || before.value !== expected) return false
    if (value === null) this.#delete(key)
    else this.#set(key, value, now + ttl)
    this.#makeRoom(now)
    return true
  }

  clear (): void {
    this.#entries.clear()
    this.#bytes = 0
  }

  #set (key: string, value: string, end: number): void {
    this.#delete(key)
    this.#entries.set(key, { value, end })
    this.#bytes += sizeOf(key, value)
  }

  #delete (key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#bytes -= sizeOf(key, entry.value)
  }

  /** Forgets the oldest entries while they are over, or too many. */
  #makeRoom (now: number): void {
    for (const [key, { end }] of this.#entries) {
      if (end > now && this.#entries.size <= maxKeys && this.#bytes <= maxBytes) return
      this.#delete(key)
    }
  }
}

function sizeOf (key: string, value: string): number {
  return entryBytes + memorySize(key) + memorySize(value)
}
