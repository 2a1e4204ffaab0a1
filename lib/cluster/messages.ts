import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'

/**
 * Schema of the messages between nodes. They come from the engine, where anyone with write access may send anything: nothing is
 * used before it passed this schema, and no number beyond the limits below. Fields that a later version adds are ignored.
 */
const id = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
/**
 * The optional frame fields that the node supports; without it the node supports none. The type is open so that a later version
 * may change it.
 */
const fields = Type.Optional(Type.Unknown())
const messageSchema = Type.Union([
  Type.Object({ t: Type.Literal('hello'), fields }),
  Type.Object({ t: Type.Literal('bye') }),
  /** A heartbeat. `every` is the time until the next one in milliseconds. */
  Type.Object({ t: Type.Literal('beat'), every: Type.Optional(Type.Number()), fields }),
  Type.Object({ t: Type.Literal('ask'), id, kind: Type.Union([Type.Literal('command'), Type.Literal('stats'), Type.Literal('query')]), body: Type.Optional(Type.Unknown()) }),
  Type.Object({ t: Type.Literal('answer'), id, value: Type.Optional(Type.Unknown()), error: Type.Optional(Type.String()) })
])

/** A message from one node to another. */
export type ClusterMessage = Static<typeof messageSchema>
/** The kind of a question to a node. */
export type QuestionKind = (ClusterMessage & { t: 'ask' })['kind']

const compiled = Compile(messageSchema)

/** Maximum length of a control message in characters. */
const maxMessageLength = 1_048_576

/** Parses a message of another node. Returns `null` for anything invalid. */
export function readClusterMessage (text: string): ClusterMessage | null {
  if (text.length > maxMessageLength) return null
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return null
  }
  return compiled.Check(message) ? message : null
}
