import type { ProtocolVersion } from '../../types/protocol.js'

/** How one version of the protocol writes what the versions write differently. */
export interface Dialect {
  readonly version: ProtocolVersion
  readonly ping: string
  readonly pong: string
  /** Whether `#handshake` needs a call id. */
  readonly handshakeNeedsCid: boolean
  /** Whether the server announces a close with a `#disconnect` packet. */
  readonly disconnectPacket: boolean
  /** Whether the answer to a bad `#authenticate` has data beside its error. */
  readonly authStatusWithError: boolean
}

export const dialects: Readonly<Record<ProtocolVersion, Dialect>> = {
  1: { version: 1, ping: '#1', pong: '#2', handshakeNeedsCid: false, disconnectPacket: true, authStatusWithError: true },
  2: { version: 2, ping: '', pong: '', handshakeNeedsCid: true, disconnectPacket: false, authStatusWithError: false }
}

/**
 * Until a connection's version is known it is spoken to in the older one: clients of the newer one ignore
 * what they do not know, while those of the older one rely on it.
 */
export const unknownDialect: Dialect = { ...dialects[1] }

/** The dialect that a message answers a ping in, if it is a pong at all. */
export function dialectOfPong (message: string): Dialect | undefined {
  if (message === dialects[2].pong) return dialects[2]
  if (message === dialects[1].pong) return dialects[1]
  return undefined
}
