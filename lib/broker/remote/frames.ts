/**
 * The text sent through an engine: one or more messages in one frame.
 *
 *     sc1 <kind> <node id> <length>[,<length>…][ <field>=<value>[,<value>…]]…\n<message>[<message>…]
 *
 * `sc1` is the version. A change that an older node would misread gets a new version, and frames of another version are skipped.
 * Lengths are in UTF-16 units, so messages may contain anything, including line breaks.
 *
 * Fields let a later version add data to messages. A field has one value for each message, encoded with `encodeURIComponent`;
 * the value is empty when a message has none. Fields are optional: a node ignores unknown fields and still reads the messages.
 * A node announces in its heartbeats which fields it reads. A field is sent only while all nodes read it (`Cluster.allRead`),
 * because nodes of the first version drop frames with any field.
 */

/** `m`: publications of a channel; `c`: control messages of a node; `p`: a probe. */
export type FrameKind = 'm' | 'c' | 'p'

/** The values of each field, in the order of the messages. */
export type FrameFields = ReadonlyMap<string, readonly string[]>

/** The optional fields that this version reads. A name has 1 to 16 letters. */
export const frameFields: readonly string[] = []

/** Maximum number of messages in a frame. */
export const maxFrameMessages = 64
/** Maximum size of a frame in UTF-16 units. A longer message is sent in a frame of its own. */
export const maxFrameSize = 256 * 1024
/** Maximum size of lengths and fields in UTF-16 units. */
const maxHeaderSize = 32 * 1024

const version = 'sc1'
const headerStart = `${version} `
const comma = 44
const space = 32
const anyVersion = /^sc\d{1,4}s? /

/** Node ids and prefixes. They are parts of topics and frame headers. */
export const idPattern = /^[\w-]{1,64}$/

/** Encodes a frame. */
export function encodeFrame (kind: FrameKind, nodeId: string, messages: readonly string[], fields?: FrameFields): string {
  let lengths = `${messages[0]!.length}`
  for (let i = 1; i < messages.length; i++) lengths += `,${messages[i]!.length}`
  if (fields !== undefined) for (const [name, values] of fields) lengths += ` ${name}=${values.map(encodeURIComponent).join(',')}`
  return `${headerStart}${kind} ${nodeId} ${lengths}\n${messages.length === 1 ? messages[0]! : messages.join('')}`
}

/** A decoded frame. */
export interface ReadFrame {
  readonly kind: FrameKind
  readonly nodeId: string
  readonly messages: readonly string[]
  /** The fields that this version knows; `null` without any. */
  readonly fields: FrameFields | null
  /** Whether there are fields that this version does not know. */
  readonly hasUnknown: boolean
}

/** Decodes a frame. Returns `null` when it is malformed, of another version, or not a frame. */
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

/** Reads the fields of a frame. Returns `null` when they are malformed. */
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

/** Whether a text is a frame, signed or not, of a version that this process does not read. */
export function isOtherVersion (text: string): boolean {
  return anyVersion.test(text) && !text.startsWith(headerStart) && !text.startsWith(`${version}s `)
}
