import type { ResolvedChannel } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import { scError, typeName } from '../errors.js'
import { atOnce } from '../promises.js'
import { toJson } from '../protocol/codec.js'
import { messageOf } from '../untrusted.js'
import { maxDataLength, maxKeyLength } from './messages.js'

/** Returns the user of a socket in a channel, or `null` if the socket is not to be present. @throws what the application throws, or InvalidArgumentsError for an invalid key */
export function keyOf (socket: ScServerSocket, channel: string, { route, params }: ResolvedChannel): string | null {
  const { key } = route.presence!
  const value = key === null ? socket.authToken?.sub : atOnce('presence.key', key.call(route.instance, { socket, channel, params }))
  if (value === null || value === undefined) return null
  const text = typeof value === 'number' || typeof value === 'bigint' ? String(value) : value
  if (typeof text !== 'string') throw scError('SC_ERR_ARGUMENT', ['presence.key', 'a string, a number or null', typeName(value)])
  if (text === '' || text.length > maxKeyLength) throw scError('SC_ERR_ARGUMENT', ['presence.key', `a key of 1 to ${maxKeyLength} characters`, `${text.length} characters`])
  return text
}

/** Returns the data of a socket's user as JSON, empty for none. @throws what the application throws, or InvalidArgumentsError */
export function dataOf (socket: ScServerSocket, channel: string, { route, params }: ResolvedChannel): string {
  const { data } = route.presence!
  return data === null ? '' : dataText(atOnce('presence.data', data.call(route.instance, { socket, channel, params })))
}

/** Returns the data of a user as JSON, empty for none. @throws InvalidArgumentsError for data that cannot be encoded, or are too large */
export function dataText (data: unknown): string {
  let json: string | undefined
  try {
    json = toJson(data)
  } catch (err) {
    throw scError('SC_ERR_ENCODE', [messageOf(err)], { cause: err })
  }
  if (json !== undefined && json.length > maxDataLength) throw scError('SC_ERR_ARGUMENT', ['presence', `data of at most ${maxDataLength} characters of JSON`, `${json.length} characters`])
  return json ?? ''
}
