/** The wire protocols: 1 is spoken by socketcluster-client up to 14, 2 by socketcluster-client from 15 on. */
export type ProtocolVersion = 1 | 2

/** What identifies a call on the wire: a number or, from version 1 clients, a short text. */
export type CallId = number | string

/** An event that a client sends, with or without a wish for an answer. */
export interface EventPacket {
  readonly kind: 'event'
  readonly event: string
  readonly data: unknown
  /** Present when the sender waits for an answer. */
  readonly cid: CallId | undefined
}

/** The answer to a call of ours. */
export interface AckPacket {
  readonly kind: 'ack'
  readonly rid: CallId
  readonly error: unknown
  readonly data: unknown
}

/** Anything that is no packet: handed to the application as a `raw` message. */
export interface RawPacket {
  readonly kind: 'raw'
}

/** An event whose name is unusable. It is answered with an `InvalidMessageError` when it has a `cid`. */
export interface InvalidPacket {
  readonly kind: 'invalid'
  readonly reason: string
  readonly cid: CallId | undefined
}

export type Packet = EventPacket | AckPacket | RawPacket | InvalidPacket

/**
 * Turns packets into wire messages and back. Replaces JSON for a whole server (`codecEngine`); clients must use the same one.
 *
 * `encode` gets a packet object or an array of them and returns text or binary. `decode` gets what came from the wire
 * (text, or a Buffer for a binary frame) and returns the object; it throws on what it cannot read.
 */
export interface CodecEngine {
  encode (object: unknown): string | Buffer | ArrayBuffer | Uint8Array
  decode (message: string | Buffer): unknown
}
