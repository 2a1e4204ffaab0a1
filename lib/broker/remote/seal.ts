import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto'

const sealStart = 'sc1s '
/** Length of an HMAC-SHA256 in Base64 without padding. */
const macLength = 43
const bodyStart = sealStart.length + macLength + 1

/**
 * Signs the frames sent through an engine and verifies those received:
 *
 *     sc1s <HMAC-SHA256 of topic and frame, base64url> <frame>
 *
 * The signature covers the topic, so that a frame cannot be reused on another topic. It covers kind, node and lengths as parts of
 * the frame.
 */
export class Seal {
  readonly #keys: readonly KeyObject[]

  /** @param keys the first one signs, all of them verify */
  constructor (keys: ReadonlyArray<Uint8Array>) {
    this.#keys = keys.map((key) => createSecretKey(key))
  }

  close (topic: string, frame: string): string {
    return `${sealStart}${mac(this.#keys[0]!, topic, frame)} ${frame}`
  }

  /** Returns the frame, or `null` when it was not signed for this topic with one of the keys. */
  open (topic: string, text: string): string | null {
    if (!isSealed(text) || text[bodyStart - 1] !== ' ') return null
    // Compared as text, because several Base64 texts decode to the same bytes.
    const given = Buffer.from(text.slice(sealStart.length, bodyStart - 1))
    const frame = text.slice(bodyStart)
    for (const key of this.#keys) {
      const right = Buffer.from(mac(key, topic, frame))
      if (given.length === right.length && timingSafeEqual(given, right)) return frame
    }
    return null
  }
}

/** Whether a text has the form of a signed frame. */
export function isSealed (text: string): boolean {
  return text.startsWith(sealStart)
}

function mac (key: KeyObject, topic: string, frame: string): string {
  // The length prefix ensures that no part of the frame can pass for a part of the topic.
  return createHmac('sha256', key).update(`${topic.length} ${topic}${frame}`).digest('base64url')
}
