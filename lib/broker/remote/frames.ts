/**
 * What travels through an engine: one or more messages in one piece of text.
 *
 *     sc1 <kind> <node id> <length>[,<length>…][ <field>=<value>[,<value>…]]…\n<message>[<message>…]
 *
 * `sc1` is the version: what an older node would take for something else gets a new one, and a frame of another version is
 * skipped. Lengths count UTF-16 units, so messages may hold anything, line breaks included.
 *
 * Fields are what a later version says about each message beside it: one value for each, by `encodeURIComponent`, empty where a
 * message has none. They are optional: who does not know one takes the message without it. A node says in its heartbeats which it
 * reads, and a field is sent only while all nodes do (`Cluster.allRead`), because nodes of the first version drop frames with any.
 */

/** `m`: publications of a channel; `c`: control messages of a node; `p`: a probe. */
export type FrameKind = 'm' | 'c' | 'p'

/** The values of each field, in the order of the messages. */
export type FrameFields = ReadonlyMap<string, readonly string[]>

/** The optional fields that this version reads: 1 to 16 letters each. */
export const frameFields: readonly string[] = []

/** Messages in one frame. */
export const maxFrameMessages = 64
/** UTF-16 units in one frame; one longer message travels alone. */
export const maxFrameSize = 256 * 1024
/** UTF-16 units of lengths and fields. */
const maxHeaderSize = 32 * 1024

const version = 'sc1'
const headerStart = `${version} `
const comma = 44
const space = 32
const anyVersion = /^sc\d{1,4}s? /

/** Node ids and prefixes are parts of subjects and headers. */
export const idPattern = /^[\w-]{1,64}$/

/** Writes a frame. */
export function encodeFrame (kind: FrameKind, nodeId: string, messages: readonly string[], fields?: FrameFields): string {
  let lengths = `${messages[0]!.length}`
  for (let i = 1; i < messages.length; i++) lengths += `,${messages[i]!.length}`
  if (fields !== undefined) for (const [name, values] of fields) lengths += ` ${name}=${values.map(encodeURIComponent).join(',')}`
  return `${headerStart}${kind} ${nodeId} ${lengths}\n${messages.length === 1 ? messages[0]! : messages.join('')}`
}

/** A frame that was read. */
export interface ReadFrame {
  readonly kind: FrameKind
  readonly nodeId: string
  readonly messages: string[]
  /** Those that this version knows; `null` for none. */
  readonly fields: FrameFields | null
  /** There are fields that this version does not know. */
  readonly hasUnknown: boolean
}

/** Reads a frame; `null` when it is malformed, of another version, or none of ours. */
export function decodeFrame (text: string, known: readonly string[] = frameFields): ReadFrame | null {
  if (!text.startsWith(headerStart)) return null
  const kind = text[4]
  if ((kind !== 'm' && kind !== 'c' && kind !== 'p') || text[5] !== ' ') return null
  const idEnd = text.indexOf(' ', 6)
  if (idEnd === -1 || idEnd > 70) return null
  const nodeId = text.slice(6, idEnd)
  if (!idPattern.test(nodeId)) return null
  const headerEnd = text.indexOf('\n', idEnd)
  if (headerEnd === -1 || headerEnd - idEnd > maxHeaderSize) return null
  const messages: string[] = []
  let at = headerEnd + 1
  let length = -1
  let digits = 0
  let i = idEnd + 1
  for (; i <= headerEnd; i++) {
    const code = text.charCodeAt(i)
    const digit = code - 48
    if (digit >= 0 && digit <= 9) {
      if (++digits > 16) return null
      length = (length === -1 ? 0 : length) * 10 + digit
      continue
    }
    if (length === -1 || (i < headerEnd && code !== comma && code !== space) || at + length > text.length) return null
    if (messages.push(text.slice(at, at + length)) > maxFrameMessages) return null
    at += length
    length = -1
    digits = 0
    if (code === space) break
  }
  if (at !== text.length) return null
  if (i > headerEnd) return { kind, nodeId, messages, fields: null, hasUnknown: false }
  const fields = readFields(text.slice(i + 1, headerEnd), messages.length, known)
  return fields === null ? null : { kind, nodeId, messages, ...fields }
}

const fieldPattern = /^([A-Za-z]{1,16})=([\w.!~*'()%,-]*)$/

/** `null` when they are malformed. */
function readFields (text: string, count: number, known: readonly string[]): Pick<ReadFrame, 'fields' | 'hasUnknown'> | null {
  const fields = new Map<string, string[]>()
  let hasUnknown = false
  for (const part of text.split(' ')) {
    const [, name, list] = fieldPattern.exec(part) ?? []
    if (name === undefined || list === undefined) return null
    if (!known.includes(name)) {
      hasUnknown = true
      continue
    }
    const values = list.split(',')
    if (values.length !== count || fields.has(name)) return null
    try {
      fields.set(name, values.map(decodeURIComponent))
    } catch {
      return null
    }
  }
  return { fields: fields.size === 0 ? null : fields, hasUnknown }
}

/** Whether a text says that it is a frame, signed or not, of a version that this one does not read. */
export function isOtherVersion (text: string): boolean {
  return anyVersion.test(text) && !text.startsWith(headerStart) && !text.startsWith(`${version}s `)
}
