import type { IncomingMessage } from 'node:http'
import { constants, deflateRawSync, type ZlibOptions } from 'node:zlib'

/** Smallest message in bytes that is worth compressing. */
const defaultThreshold = 1_024
/** Largest message in bytes that is compressed: a larger one would block the event loop for too long. */
const largest = 131_072
/** Length of the tail of a sync flush, which is removed from each message (RFC 7692, section 7.2.1). */
const tailLength = 4

/** Compression that cannot be made to use much memory: no context is kept, and at most 4 messages are inflated at a time. */
const safe = { threshold: defaultThreshold, serverNoContextTakeover: true, clientNoContextTakeover: true, concurrencyLimit: 4 }

interface DeflateOptions {
  readonly threshold?: number
  readonly serverMaxWindowBits?: number | boolean
  readonly zlibDeflateOptions?: ZlibOptions
}

/** The settings that ws negotiates for the option `perMessageDeflate`. */
export function negotiation (perMessageDeflate: boolean | object): false | DeflateOptions {
  return perMessageDeflate === true ? safe : perMessageDeflate as false | DeflateOptions
}

/**
 * Compresses each message by itself, without a context even where one was negotiated. So a message is compressed once for all
 * its receivers.
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

  /** Whether this class compresses for a client. When the client may have asked for a smaller window, ws compresses instead. */
  serves ({ headers }: IncomingMessage): boolean {
    return headers['sec-websocket-extensions']?.includes('server_max_window_bits') !== true
  }

  /** Whether a message of this many bytes is compressed. */
  takes (bytes: number): boolean {
    return bytes >= this.#threshold && bytes <= largest
  }

  /** Returns the compressed payload of a message. */
  compress (payload: string | Buffer): Buffer {
    const compressed = deflateRawSync(payload, this.#options)
    return compressed.subarray(0, compressed.length - tailLength)
  }
}
