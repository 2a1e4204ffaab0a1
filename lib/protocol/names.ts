import { type ScError, scError, typeName } from '../errors.js'

/**
 * Events that a socket has for itself. They are never taken from the wire nor sent to it.
 * The names with an underscore were SocketCluster's private twins; they stay reserved.
 */
const localEvents = [
  'subscribe', 'unsubscribe', 'connect', 'disconnect', 'connectAbort', 'close', 'message', 'error', 'authStateChange',
  'authTokenSigned', 'authenticate', 'deauthenticate', 'badAuthToken', 'raw'
]
const localEventSet: ReadonlySet<string> = new Set(localEvents.flatMap((name) => [name, `_${name}`]))

export function isLocalEvent (name: string): boolean {
  return localEventSet.has(name)
}

/** The names of the protocol itself. Version 1 reserves every name that starts so. */
export function isReservedEvent (name: string): boolean {
  return name.charCodeAt(0) === 0x23 // '#'
}

// eslint-disable-next-line no-control-regex
const forbiddenInChannel = /[\u0000-\u001f\u007f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/

/**
 * Whether a text can name a channel: 1 to `maxBytes` bytes of UTF-8, no control characters, no lone surrogates
 * (they have no UTF-8 form, so two such names would become one on the way through a broker).
 */
export function isChannelName (name: unknown, maxBytes: number): name is string {
  if (typeof name !== 'string') return false
  if (name.length === 0 || name.length > maxBytes) return false
  // A UTF-16 unit becomes at most three bytes, so short names need not be measured.
  if (name.length * 3 > maxBytes && Buffer.byteLength(name) > maxBytes) return false
  return !forbiddenInChannel.test(name)
}

/** What is wrong with a channel name that `isChannelName` refuses. */
export function channelNameError (name: unknown, maxBytes: number, action: string): ScError {
  return typeof name === 'string' ? scError('SC_ERR_CHANNEL_NAME', [action, maxBytes]) : scError('SC_ERR_CHANNEL_TYPE', [action, typeName(name)])
}
