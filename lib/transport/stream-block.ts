import type { StreamCursor } from '../protocol/stream-cursor.js'

/** How an event moves the cursor of a stream. */
export interface CursorMove {
  readonly channel: string
  /** Where the client is with this event, as a cursor has it. */
  readonly to: string
}

/** An event for streams. Streams with the same cursor share the bytes with its id. */
export class StreamBlock {
  readonly #body: string
  readonly #move: CursorMove | null
  #withoutId: Buffer | null = null
  #withId: Buffer | null = null

  /** @param body the lines of the event, without its id */
  constructor (body: string, move: CursorMove | null) {
    this.#body = body
    this.#move = move
  }

  /** Moves the cursor of a stream, and adds the event with its id to `chunks`. An event that does not move it has no id. */
  addTo (chunks: Buffer[], cursor: StreamCursor): void {
    const move = this.#move
    if (move !== null && cursor.has(move.channel)) {
      cursor.move(move.channel, move.to)
      if (cursor.isShared) {
        chunks.push(this.#withId ??= bytesOf(`id: ${cursor.text}\n${this.#body}`))
        return
      }
      chunks.push(Buffer.from(`id: ${cursor.text}\n`, 'latin1'))
    }
    chunks.push(this.#withoutId ??= bytesOf(this.#body))
  }
}

/** Not from the pool: a slow reader would keep a whole pool slab in memory. */
function bytesOf (text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text))
  bytes.write(text, 'utf8')
  return bytes
}
