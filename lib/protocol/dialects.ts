import type { ProtocolVersion } from '../../types/protocol.js'

/** The differences between the protocol versions: how one version writes its pings and answers. */
export interface Dialect {
  readonly version: ProtocolVersion
  readonly ping: string
  readonly pong: string
  /** Whether `#handshake` needs a call id. */
  readonly handshakeNeedsCid: boolean
  /** Whether the server announces a close with a `#disconnect` packet. */
  readonly disconnectPacket: boolean
  /** Whether the answer to an `#authenticate` with a bad token carries data besides the error. */
  readonly authStatusWithError: boolean
}

/** The dialect of each version of the protocol. */
export const dialects: Readonly<Record<ProtocolVersion, Dialect>> = {
  1: { version: 1, ping: '#1', pong: '#2', handshakeNeedsCid: false, disconnectPacket: true, authStatusWithError: true },
  2: { version: 2, ping: '', pong: '', handshakeNeedsCid: true, disconnectPacket: false, authStatusWithError: false }
}

/**
 * The dialect of a connection until its version is known. It is that of version 1: version 2 clients ignore the extra parts,
 * while version 1 clients need them.
 */
export const unknownDialect: Dialect = { ...dialects[1] }

/** The dialect of a pong, or `undefined` when the message is not a pong. */
export function dialectOfPong (message: string): Dialect | undefined {
  if (message === dialects[2].pong) return dialects[2]
  if (message === dialects[1].pong) return dialects[1]
  return undefined
}
