import { type ScError, scError, typeName } from '../errors.js'

/**
 * Events that a socket emits locally. Clients cannot send them, and the server does not send them to clients.
 * SocketCluster used each name with an underscore internally; these names stay reserved.
 */
const localEvents = [
  'subscribe', 'unsubscribe', 'connect', 'disconnect', 'connectAbort', 'close', 'message', 'error', 'authStateChange',
  'authTokenSigned', 'authenticate', 'deauthenticate', 'badAuthToken', 'raw'
]
const localEventSet: ReadonlySet<string> = new Set(localEvents.flatMap((name) => [name, `_${name}`]))

/** Whether an event is local to a socket: clients can neither send nor receive it. */
export function isLocalEvent (name: string): boolean {
  return localEventSet.has(name)
}

/** Whether an event name belongs to the protocol. Version 1 reserves every name that starts with `#`. */
export function isReservedEvent (name: string): boolean {
  return name.charCodeAt(0) === 0x23 // '#'
}

// eslint-disable-next-line no-control-regex
const forbiddenInChannel = /[\u0000-\u001f\u007f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/

/**
 * Whether a value is a valid channel name: 1 to `maxBytes` bytes of UTF-8 without control characters or lone surrogates.
 * Lone surrogates have no UTF-8 form, so a broker would turn two such names into the same one.
 */
export function isChannelName (name: unknown, maxBytes: number): name is string {
  if (typeof name !== 'string') return false
  if (name.length === 0 || name.length > maxBytes) return false
  // A UTF-16 code unit takes at most three bytes in UTF-8, so short names are not measured.
  if (name.length * 3 > maxBytes && Buffer.byteLength(name) > maxBytes) return false
  return !forbiddenInChannel.test(name)
}

/** The error for a channel name that `isChannelName` rejected. */
export function channelNameError (name: unknown, maxBytes: number, action: string): ScError {
  return typeof name === 'string' ? scError('SC_ERR_CHANNEL_NAME', [action, maxBytes]) : scError('SC_ERR_CHANNEL_TYPE', [action, typeName(name)])
}
