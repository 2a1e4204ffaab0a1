import { types } from 'node:util'
import type { CodecEngine } from '../../types/protocol.js'
import { scError, typeName } from '../errors.js'
import { atOnce } from '../promises.js'

/**
 * The default codec: JSON, with binary values as `{ base64: true, data }`.
 * `decode` returns text that is not a JSON object or array unchanged; the caller treats it as a raw message.
 */
export const jsonCodec: CodecEngine = {
  encode: (object) => toJson(object) ?? 'null',
  decode (message) {
    const text = typeof message === 'string' ? message : message.toString()
    if (!looksLikeJson(text)) return text
    try {
      return JSON.parse(text)
    } catch {
      return text
    }
  }
}

/**
 * Encodes a packet with the codec.
 * @returns a string, or a Buffer over the bytes that the codec returned
 * @throws InvalidArgumentsError when the codec returns anything else
 */
export function encodeMessage (codec: CodecEngine, packet: unknown): string | Buffer {
  const encoded = atOnce('the codec', codec.encode(packet))
  if (typeof encoded === 'string') return encoded
  const bytes = bytesOf(encoded)
  if (bytes === undefined) throw scError('SC_ERR_ARGUMENT', ['The server', 'the codec to encode to text or bytes', typeName(encoded)])
  return bytes
}

/**
 * Converts the argument of `socket.send()` to a string or a Buffer. As in SocketCluster, a number becomes text and an array of
 * numbers becomes bytes.
 * @throws InvalidArgumentsError for a value of any other type
 */
export function rawPayload (data: unknown): string | Buffer {
  if (typeof data === 'string') return data
  if (typeof data === 'number') return String(data)
  const bytes = bytesOf(data) ?? (types.isProxy(data) || !Array.isArray(data) ? undefined : Buffer.from(data))
  if (bytes === undefined) throw scError('SC_ERR_ARGUMENT', ['send', 'text, a number or bytes', typeName(data)])
  return bytes
}

/** Returns a Buffer over the same memory, or `undefined` when the value is not binary. */
function bytesOf (value: unknown): Buffer | undefined {
  if (ArrayBuffer.isView(value)) return Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  return types.isAnyArrayBuffer(value) ? Buffer.from(value) : undefined
}

/**
 * Length of a value's JSON in characters. A BigInt counts as its digits, and a value without JSON counts as 0. A value that
 * cannot be measured, such as a circular one, is `Infinity`. Never throws.
 */
export function jsonSize (value: unknown): number {
  return measure(value, (text) => text.length)
}

/** Size of a value's JSON in bytes, otherwise as `jsonSize`. */
export function jsonBytes (value: unknown): number {
  return measure(value, Buffer.byteLength)
}

function measure (value: unknown, length: (text: string) => number): number {
  try {
    return length(toJson(value) ?? '')
  } catch {
    try {
      return length(JSON.stringify(value, (_key, item: unknown) => typeof item === 'bigint' ? String(item) : item))
    } catch {
      return Infinity
    }
  }
}

const openingBrace = 0x7b
const openingBracket = 0x5b

/** Whether a text starts with an object or an array, after whitespace. Other text cannot be a packet, so it is not parsed. */
export function looksLikeJson (text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i)
    if (char === openingBrace || char === openingBracket) return true
    if (char !== 0x20 && char !== 0x0a && char !== 0x0d && char !== 0x09) return false
  }
  return false
}

/**
 * `JSON.stringify` with SocketCluster's form for binary values. Most data has no binary values, and checking for them
 * costs a tenth of a replacer function.
 *
 * @returns undefined for a value that has no JSON (`undefined`, functions, symbols)
 * @throws TypeError for circular data and BigInt
 */
export function toJson (value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return mayHoldBinary(value, 0) ? JSON.stringify(value, binaryReplacer) : JSON.stringify(value)
}

const scanDepth = 64

function mayHoldBinary (value: object, depth: number): boolean {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return true
  // Circular data stops here too; JSON.stringify then reports it.
  if (depth === scanDepth) return true
  if (Array.isArray(value)) {
    for (const item of value) {
      if (typeof item === 'object' && item !== null && mayHoldBinary(item, depth + 1)) return true
    }
    return false
  }
  for (const key in value) {
    const item = (value as Record<string, unknown>)[key]
    if (typeof item === 'object' && item !== null && mayHoldBinary(item, depth + 1)) return true
  }
  return false
}

// A plain function: `this[key]` is the value before `Buffer.prototype.toJSON` changed it.
function binaryReplacer (this: Record<string, unknown>, key: string, value: unknown): unknown {
  const original = this[key]
  if (original instanceof ArrayBuffer) return { base64: true, data: Buffer.from(original).toString('base64') }
  if (ArrayBuffer.isView(original)) {
    return { base64: true, data: Buffer.from(original.buffer, original.byteOffset, original.byteLength).toString('base64') }
  }
  return value
}
