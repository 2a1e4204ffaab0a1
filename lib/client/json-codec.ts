import type { ScClientCodec } from '../../types/client.js'

/**
 * JSON in the format of socketcluster-client: bytes become `{ base64: true, data }`, and text that is not an object or array
 * stays text.
 */
export const jsonCodec: ScClientCodec = {
  encode: (object) => typeof object === 'string' ? object : JSON.stringify(object, replaceBytes),
  decode (message) {
    if (message === null || message === undefined) return null
    const text = String(message)
    if (!/^\s*[{[]/.test(text)) return text
    try {
      return JSON.parse(text)
    } catch {
      return text
    }
  }
}

/** Replaces bytes by base64. `this[key]` is the value before `toJSON`, which would turn a Buffer into an object of numbers. */
function replaceBytes (this: Record<string, unknown>, key: string, value: unknown): unknown {
  const original = this[key]
  if (original instanceof ArrayBuffer) return { base64: true, data: base64Of(new Uint8Array(original)) }
  if (typeof Buffer !== 'undefined' && Buffer.isBuffer(original)) return { base64: true, data: base64Of(original) }
  return value
}

function base64Of (bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text)
}
