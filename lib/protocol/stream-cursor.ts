import { createHash } from 'node:crypto'

/** Characters of the hash that stands for the name of a channel. */
const hashLength = 5
/** Characters of the longest cursor: that of 20 channels with the longest positions. */
const maxCursorLength = 1_024

/** What a cursor says of one channel: a position as text, `null` for a channel without one, `'left'` for one that the client was removed from. */
export type CursorEntry = string | null | 'left'

const entryPattern = /^[\w-]{5}(?:\.|[\w-]{1,24}\.[0-9a-z]{1,11}\.[\w-]{0,8})?$/

/** A position in a history. */
interface Position {
  readonly epoch: string
  readonly offset: number
  readonly check: string
}

interface Entry {
  readonly hash: string
  /** A position as a cursor has it, `left`, or empty. */
  at: string
}

/** What stands for the position in a channel that the client was removed from. */
export const left = '.'

/** Writes a position as a cursor has it. */
export function cursorPosition ({ epoch, offset, check }: Position): string {
  return `${epoch}.${offset.toString(36)}.${check}`
}

/**
 * Where a stream of several channels is: the id of its events, which a client sends back when it connects again. For each channel
 * it has a hash of the name and the position of the last message, so that the channels of the next stream may be others. It is text
 * of unreserved characters, so it needs no escapes in a header or a query.
 */
export class StreamCursor {
  readonly #entries: ReadonlyMap<string, Entry>

  constructor (channels: Iterable<string>) {
    this.#entries = new Map([...channels].map((channel) => [channel, { hash: hashOf(channel), at: '' }]))
  }

  get text (): string {
    let text = ''
    for (const { hash, at } of this.#entries.values()) text += (text === '' ? '' : '~') + hash + at
    return text
  }

  /** Whether all streams of the same channel have the same cursors. */
  get isShared (): boolean { return this.#entries.size === 1 }

  has (channel: string): boolean { return this.#entries.has(channel) }

  /** @param to a `cursorPosition`; `left` when the client was removed from the channel: the next stream leaves it out */
  move (channel: string, to: string): void {
    const entry = this.#entries.get(channel)
    if (entry !== undefined) entry.at = to
  }

  /** Call when the client has to stop: with this cursor it is told so when it connects again. */
  leaveAll (): void {
    for (const entry of this.#entries.values()) entry.at = left
  }
}

/** A cursor that a client sent. */
export class SentCursor {
  /** The entries by the hash of the channel; `null` for text that is no cursor. */
  readonly #entries: ReadonlyMap<string, string> | null

  constructor (text: string) {
    const entries = text.length > maxCursorLength ? [] : text.split('~')
    this.#entries = entries.length > 0 && entries.every((entry) => entryPattern.test(entry))
      ? new Map(entries.map((entry) => [entry.slice(0, hashLength), entry.slice(hashLength)]))
      : null
  }

  /**
   * What the cursor says of a channel; `undefined` for a channel that it does not have. Of text that is no cursor every channel has
   * an empty position, which no history knows.
   */
  of (channel: string): CursorEntry | undefined {
    if (this.#entries === null) return ''
    const rest = this.#entries.get(hashOf(channel))
    if (rest === undefined) return undefined
    if (rest === '') return null
    if (rest === left) return 'left'
    const [epoch, offset, check] = rest.split('.') as [string, string, string]
    return `${epoch}.${Number.parseInt(offset, 36)}.${check}`
  }
}

/** Turns the text of a position that the server made into that of a cursor. */
export function cursorPositionOf (text: string): string {
  const [epoch, offset, check] = text.split('.') as [string, string, string]
  return cursorPosition({ epoch, offset: Number(offset), check })
}

function hashOf (channel: string): string {
  return createHash('sha256').update(channel).digest('base64url').slice(0, hashLength)
}
