import type { CodecEngine } from '../../types/protocol.js'
import type { SharedMessage } from '../transport/shared-message.js'

/** Maximum bytes of all kept messages, and of all series of them. */
const maxBytes = 8 * 1024 * 1024
/** Bytes that each message takes beside its text and its frame. */
const messageBytes = 512

/**
 * The encoded messages of histories: clients that come back at the same time share them. They are kept as long as the broker keeps
 * their entries, and all are dropped when they take too much memory.
 */
export class KeptMessages<Key extends object, Message extends SharedMessage> {
  #messages = new WeakMap<Key, Message>()
  #bytes = 0
  #codec: CodecEngine | null = null

  /** @param codec of the server, which can be replaced at any time @param encode encodes a message that is not kept; may throw */
  get (key: Key, codec: CodecEngine, encode: () => Message): Message {
    if (codec !== this.#codec) this.#clear(codec)
    const kept = this.#messages.get(key)
    if (kept !== undefined) return kept
    const message = encode()
    const bytes = message.bytes * 2 + message.count * messageBytes
    if (this.#bytes + bytes > maxBytes) this.#clear(codec)
    this.#messages.set(key, message)
    this.#bytes += bytes
    return message
  }

  #clear (codec: CodecEngine): void {
    this.#messages = new WeakMap()
    this.#bytes = 0
    this.#codec = codec
  }
}
