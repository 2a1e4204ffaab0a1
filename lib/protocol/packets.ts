import type { CallId, Packet } from '../../types/protocol.js'
import { typeName } from '../errors.js'

const raw: Packet = Object.freeze({ kind: 'raw' })

/** Whether a value is a call id: a safe integer, or a string of up to 32 characters. A call with any other id gets no answer. */
function isCallId (value: unknown): value is CallId {
  return typeof value === 'number' ? Number.isSafeInteger(value) : typeof value === 'string' && value.length <= 32
}

/** Parses a decoded message into a packet. This is the only place that checks the shape of a message from a client. */
export function parsePacket (value: unknown, maxEventNameLength: number): Packet {
  if (typeof value !== 'object' || value === null) return raw
  const { event, cid, rid } = value as Record<string, unknown>
  if (event !== undefined && event !== null) {
    const answerTo = isCallId(cid) ? cid : undefined
    if (typeof event !== 'string') return { kind: 'invalid', reason: `An event expects a name of type string, got ${typeName(event)}`, cid: answerTo }
    if (event.length === 0 || event.length > maxEventNameLength) {
      return { kind: 'invalid', reason: `An event expects a name of 1 to ${maxEventNameLength} characters, got ${event.length}; see the option maxEventNameLength`, cid: answerTo }
    }
    return { kind: 'event', event, data: (value as { data?: unknown }).data, cid: answerTo }
  }
  if (isCallId(rid)) return { kind: 'ack', rid, error: (value as { error?: unknown }).error, data: (value as { data?: unknown }).data }
  return raw
}

/** Reads the call id of a decoded packet that was refused before parsing. */
export function callIdOf (message: unknown): CallId | undefined {
  const cid = (message as { cid?: unknown }).cid
  return isCallId(cid) ? cid : undefined
}

/** Reads the call id of a packet that was not decoded: stock clients write it at the end of the text. */
export function lastCallId (data: string | Buffer): CallId | undefined {
  const match = /"cid":(\d{1,15})\}$/.exec(data.toString().slice(-32))
  return match === null ? undefined : Number(match[1])
}

// These functions write packets around payloads that are already JSON: a publication is encoded once for all its receivers.

/** Writes `{ event, data, cid }`. Without `json` the packet has no data. */
export function eventText (event: string, json: string | undefined, cid?: number): string {
  let text = '{"event":' + JSON.stringify(event)
  if (json !== undefined) text += ',"data":' + json
  if (cid !== undefined) text += ',"cid":' + cid
  return text + '}'
}

/** Writes `{ event: '#publish', data: { channel, data } }`. An empty `json` stands for `undefined`, an empty `position` for none. */
export function publishText (channel: string, json: string, position = ''): string {
  const text = json === ''
    ? '{"event":"#publish","data":{"channel":' + JSON.stringify(channel) + '}'
    : '{"event":"#publish","data":{"channel":' + JSON.stringify(channel) + ',"data":' + json + '}'
  return position === '' ? text + '}' : text + ',"pos":"' + position + '"}'
}

/** Writes `{ rid, data }`. Without `json` the packet has no data. */
export function ackText (rid: CallId, json: string | undefined): string {
  const id = typeof rid === 'number' ? String(rid) : JSON.stringify(rid)
  return json === undefined ? '{"rid":' + id + '}' : '{"rid":' + id + ',"data":' + json + '}'
}
