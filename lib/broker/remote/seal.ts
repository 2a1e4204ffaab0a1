import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto'

const sealStart = 'sc1s '
/** Characters of the Base64 of an HMAC-SHA256, without padding. */
const macLength = 43
const bodyStart = sealStart.length + macLength + 1

/**
 * Signs what travels through an engine, and opens what comes back:
 *
 *     sc1s <HMAC-SHA256 of topic and frame, base64url> <frame>
 *
 * The topic is signed too, so that a frame is of no use anywhere else. Kind, node and lengths are parts of the frame.
 */
export class Seal {
  readonly #keys: readonly KeyObject[]

  /** @param keys the first one signs, all of them open */
  constructor (keys: ReadonlyArray<Uint8Array>) {
    this.#keys = keys.map((key) => createSecretKey(key))
  }

  close (topic: string, frame: string): string {
    return `${sealStart}${mac(this.#keys[0]!, topic, frame)} ${frame}`
  }

  /** The frame, or `null` when nobody with one of the keys made it for this topic. */
  open (topic: string, text: string): string | null {
    if (!isSealed(text) || text[bodyStart - 1] !== ' ') return null
    // Compared as text: Base64 has several forms of the same bytes.
    const given = Buffer.from(text.slice(sealStart.length, bodyStart - 1))
    const frame = text.slice(bodyStart)
    for (const key of this.#keys) {
      const right = Buffer.from(mac(key, topic, frame))
      if (given.length === right.length && timingSafeEqual(given, right)) return frame
    }
    return null
  }
}

/** Whether a text claims to be signed. */
export function isSealed (text: string): boolean {
  return text.startsWith(sealStart)
}

function mac (key: KeyObject, topic: string, frame: string): string {
  // With the length, no part of the frame can pass for a part of the topic.
  return createHmac('sha256', key).update(`${topic.length} ${topic}${frame}`).digest('base64url')
}
