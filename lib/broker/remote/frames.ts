/**
 * What travels through an engine: one or more messages in one piece of text.
 *
 *     sc1 <kind> <node id> <length>[,<length>…]\n<message>[<message>…]
 *
 * `sc1` is the version. Lengths count UTF-16 units, so messages may hold anything, line breaks included.
 */

/** `m`: publications of a channel; `c`: control messages of a node; `p`: a probe. */
export type FrameKind = 'm' | 'c' | 'p'

/** Messages in one frame. */
export const maxFrameMessages = 64
/** UTF-16 units in one frame; one longer message travels alone. */
export const maxFrameSize = 256 * 1024

const version = 'sc1'
const headerStart = `${version} `

/** Node ids and prefixes are parts of subjects and headers. */
export const idPattern = /^[\w-]{1,64}$/

/** Writes a frame. */
export function encodeFrame (kind: FrameKind, nodeId: string, messages: readonly string[]): string {
  if (messages.length === 1) return `${headerStart}${kind} ${nodeId} ${messages[0]!.length}\n${messages[0]}`
  let lengths = `${messages[0]!.length}`
  for (let i = 1; i < messages.length; i++) lengths += `,${messages[i]!.length}`
  return `${headerStart}${kind} ${nodeId} ${lengths}\n${messages.join('')}`
}

/** A frame that was read. */
export interface ReadFrame {
  readonly kind: FrameKind
  readonly nodeId: string
  readonly messages: string[]
}

/** Reads a frame; `null` when it is malformed, of another version, or none of ours. */
export function decodeFrame (text: string): ReadFrame | null {
  if (!text.startsWith(headerStart)) return null
  const kind = text[4]
  if ((kind !== 'm' && kind !== 'c' && kind !== 'p') || text[5] !== ' ') return null
  const idEnd = text.indexOf(' ', 6)
  if (idEnd === -1 || idEnd > 70) return null
  const nodeId = text.slice(6, idEnd)
  if (!idPattern.test(nodeId)) return null
  const headerEnd = text.indexOf('\n', idEnd)
  // 64 lengths of up to 10 digits.
  if (headerEnd === -1 || headerEnd - idEnd > 1024) return null
  const messages: string[] = []
  let at = headerEnd + 1
  let length = -1
  for (let i = idEnd + 1; i <= headerEnd; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit >= 0 && digit <= 9) {
      length = (length === -1 ? 0 : length) * 10 + digit
      continue
    }
    if (length === -1 || (i < headerEnd && text[i] !== ',') || at + length > text.length) return null
    if (messages.push(text.slice(at, at + length)) > maxFrameMessages) return null
    at += length
    length = -1
  }
  return at === text.length ? { kind, nodeId, messages } : null
}
