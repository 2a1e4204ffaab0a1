import type { CallId, Packet } from '../../types/protocol.js'
import { typeName } from '../errors.js'

const raw: Packet = Object.freeze({ kind: 'raw' })

/** Call ids are safe integers, or text of up to 32 characters; what else a client sends cannot be answered. */
function isCallId (value: unknown): value is CallId {
  return typeof value === 'number' ? Number.isSafeInteger(value) : typeof value === 'string' && value.length <= 32
}

/** Reads a decoded message. Nothing else in the library looks at the shape of what a client sent. */
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

/** The call id of a decoded packet that is not read any further. */
export function callIdOf (message: unknown): CallId | undefined {
  const cid = (message as { cid?: unknown }).cid
  return isCallId(cid) ? cid : undefined
}

/** The call id of a packet that is not even decoded, where stock clients write it: at the end. */
export function lastCallId (data: string | Buffer): CallId | undefined {
  const match = /"cid":(\d{1,15})\}$/.exec(data.toString().slice(-32))
  return match === null ? undefined : Number(match[1])
}

// Packets are written around payloads that are JSON already: a publication is encoded once, for all its receivers.

/** `{ event, data }`; `json` is undefined where there is no data. */
export function eventText (event: string, json: string | undefined, cid?: number): string {
  let text = '{"event":' + JSON.stringify(event)
  if (json !== undefined) text += ',"data":' + json
  if (cid !== undefined) text += ',"cid":' + cid
  return text + '}'
}

/** `{ event: '#publish', data: { channel, data } }`; the empty payload stands for `undefined`. */
export function publishText (channel: string, json: string): string {
  return json === ''
    ? '{"event":"#publish","data":{"channel":' + JSON.stringify(channel) + '}}'
    : '{"event":"#publish","data":{"channel":' + JSON.stringify(channel) + ',"data":' + json + '}}'
}

/** `{ rid, data }`. */
export function ackText (rid: CallId, json: string | undefined): string {
  const id = typeof rid === 'number' ? String(rid) : JSON.stringify(rid)
  return json === undefined ? '{"rid":' + id + '}' : '{"rid":' + id + ',"data":' + json + '}'
}
