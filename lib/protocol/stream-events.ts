import type { CallId, CodecEngine } from '../../types/protocol.js'
import { toJson } from './codec.js'

// Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html

/** A comment, which clients ignore. */
export const commentText = ':\n\n'

/** The range of milliseconds after which a client connects again: not all at once. */
const minRetry = 2_000
const maxRetry = 5_000

/** Writes the line that tells a client when to connect again. */
export function retryText (): string {
  return `retry: ${Math.floor(minRetry + Math.random() * (maxRetry - minRetry + 1))}\n`
}

/** Names of events that a stream sends by itself, and those that an EventSource has. */
const streamNames: ReadonlySet<string> = new Set(['message', 'open', 'error', 'subscribed', 'gap', 'kick', 'disconnect'])

// eslint-disable-next-line no-control-regex
const forbiddenInName = /[\u0000-\u001f\u007f]/

/** Whether an event of the application can be sent on a stream: its name is a line of its own, and not one of the stream's. */
export function isStreamEventName (name: string): boolean {
  return !streamNames.has(name) && !forbiddenInName.test(name)
}

/**
 * Writes an event without its id, which stands on the line before it.
 * @param name without one it is a `message`
 * @param json JSON text
 */
export function streamEventText (name: string | null, json: string): string {
  // JSON of other processes may have line breaks between its tokens. Each line needs the name of the field.
  const data = /[\r\n]/.test(json) ? json.replace(/\r\n|[\r\n]/g, '\ndata: ') : json
  return name === null ? `data: ${data}\n\n` : `event: ${name}\ndata: ${data}\n\n`
}

/** What a packet for a client of a stream says. */
export type StreamPacket =
  /** A publication. `json` has its channel and data. */
  | { readonly kind: 'publication', readonly channel: string, readonly json: string }
  | { readonly kind: 'event', readonly event: string, readonly data: unknown }
  | { readonly kind: 'answer', readonly id: CallId, readonly error: unknown, readonly data: unknown }
  /** Not a packet: a raw message of the application. */
  | { readonly kind: 'raw' }

const publicationStart = '{"event":"#publish","data":'
const positionStart = ',"pos":"'

/**
 * Reads the text of `publishText` without parsing the data.
 * @param hasPosition whether it has a position
 * @returns null for another packet
 */
export function readPublishText (text: string, hasPosition: boolean): StreamPacket | null {
  if (!text.startsWith(publicationStart)) return null
  // The position is at the end, and has no quotes.
  const end = hasPosition ? text.lastIndexOf(positionStart) : text.length - 1
  const json = text.slice(publicationStart.length, end)
  const name = /^\{"channel":("(?:[^"\\]|\\.)*")/.exec(json)
  return name === null ? null : { kind: 'publication', channel: JSON.parse(name[1]!) as string, json }
}

/** Reads a packet that the server's codec wrote. @throws what the codec throws */
export function readStreamPacket (codec: CodecEngine, message: string | Buffer): StreamPacket {
  const packet = codec.decode(message) as { event?: unknown, rid?: CallId, error?: unknown, data?: unknown } | null
  if (typeof packet !== 'object' || packet === null) return { kind: 'raw' }
  const { event, rid, error, data } = packet
  if (event === '#publish') return { kind: 'publication', channel: (data as { channel: string }).channel, json: toJson(data)! }
  if (typeof event === 'string') return { kind: 'event', event, data }
  return rid === undefined ? { kind: 'raw' } : { kind: 'answer', id: rid, error, data }
}
