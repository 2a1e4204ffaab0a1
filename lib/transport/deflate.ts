import type { IncomingMessage } from 'node:http'
import { constants, deflateRawSync, type ZlibOptions } from 'node:zlib'

/** Bytes from which on a message is worth compressing. */
const defaultThreshold = 1_024
/** A larger message would hold up the event loop for longer than others should wait; it goes out as it is. */
const largest = 131_072
/** What a sync flush ends with, and no message carries (RFC 7692, section 7.2.1). */
const tailLength = 4

/** Compression that cannot be made to hold much memory: no context is kept, and few messages are inflated at once. */
const safe = { threshold: defaultThreshold, serverNoContextTakeover: true, clientNoContextTakeover: true, concurrencyLimit: 4 }

interface DeflateOptions {
  readonly threshold?: number
  readonly serverMaxWindowBits?: number | boolean
  readonly zlibDeflateOptions?: ZlibOptions
}

/** What ws negotiates for the option `perMessageDeflate`. */
export function negotiation (perMessageDeflate: boolean | object): false | DeflateOptions {
  return perMessageDeflate === true ? safe : perMessageDeflate as false | DeflateOptions
}

/**
 * Compresses messages, each by itself: no context is used, whether or not one was negotiated. So a message is compressed once
 * for all who receive it.
 */
export class Deflate {
  readonly #threshold: number
  readonly #options: ZlibOptions

  constructor (perMessageDeflate: true | object) {
    const { threshold = defaultThreshold, serverMaxWindowBits, zlibDeflateOptions } = negotiation(perMessageDeflate) as DeflateOptions
    const windowBits = typeof serverMaxWindowBits === 'number' ? serverMaxWindowBits : constants.Z_DEFAULT_WINDOWBITS
    this.#threshold = threshold
    this.#options = { ...zlibDeflateOptions, windowBits, finishFlush: constants.Z_SYNC_FLUSH }
  }

  /** Whether it compresses for a client; ws does for one that may have asked for a smaller window. */
  serves ({ headers }: IncomingMessage): boolean {
    return headers['sec-websocket-extensions']?.includes('server_max_window_bits') !== true
  }

  /** Whether a message of this many bytes is compressed. */
  takes (bytes: number): boolean {
    return bytes >= this.#threshold && bytes <= largest
  }

  /** The payload of the compressed message. */
  compress (payload: string | Buffer): Buffer {
    const compressed = deflateRawSync(payload, this.#options)
    return compressed.subarray(0, compressed.length - tailLength)
  }
}
