/** The version of the wire protocol: 1 for socketcluster-client up to 14, 2 for socketcluster-client 15 and later. */
export type ProtocolVersion = 1 | 2

/** The id of a call on the wire: a number or, from version 1 clients, a short text. */
export type CallId = number | string

/** An event of a client, with or without a call id. */
export interface EventPacket {
  readonly kind: 'event'
  readonly event: string
  readonly data: unknown
  /** The call id; present when the sender expects an answer. */
  readonly cid: CallId | undefined
}

/** The client's answer to a call of the server. */
export interface AckPacket {
  readonly kind: 'ack'
  readonly rid: CallId
  readonly error: unknown
  readonly data: unknown
}

/** A message that is not a packet. The application receives it through the `raw` event. */
export interface RawPacket {
  readonly kind: 'raw'
}

/** An event with an invalid name. It is answered with an `InvalidMessageError` when it has a `cid`. */
export interface InvalidPacket {
  readonly kind: 'invalid'
  readonly reason: string
  readonly cid: CallId | undefined
}

export type Packet = EventPacket | AckPacket | RawPacket | InvalidPacket

/**
 * Encodes and decodes wire messages. The option `codecEngine` replaces JSON with it for the whole server; clients must use the
 * same.
 *
 * `encode` gets a packet object or an array of packet objects and returns text or binary data. `decode` gets a message (text, or
 * a Buffer for a binary frame) and returns the object; it throws on a message that it cannot read.
 */
export interface CodecEngine {
  encode (object: unknown): string | Buffer | ArrayBuffer | Uint8Array
  decode (message: string | Buffer): unknown
}
