import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'

/**
 * What nodes say to each other. It comes from the engine, and whoever may write to the engine may say anything: nothing of
 * it is used that did not pass this schema, and no number of it beyond the limits below. What a node of a later version adds is ignored.
 */
const id = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
/** Names of the optional fields of frames that the node reads; whoever says nothing reads none. Of any form, so that a later version may change it. */
const fields = Type.Optional(Type.Unknown())
const messageSchema = Type.Union([
  Type.Object({ t: Type.Literal('hello'), fields }),
  Type.Object({ t: Type.Literal('bye') }),
  /** With the milliseconds until the next. */
  Type.Object({ t: Type.Literal('beat'), every: Type.Optional(Type.Number()), fields }),
  Type.Object({ t: Type.Literal('ask'), id, kind: Type.Union([Type.Literal('command'), Type.Literal('stats'), Type.Literal('query')]), body: Type.Optional(Type.Unknown()) }),
  Type.Object({ t: Type.Literal('answer'), id, value: Type.Optional(Type.Unknown()), error: Type.Optional(Type.String()) })
])

export type ClusterMessage = Static<typeof messageSchema>
/** What a node is asked. */
export type QuestionKind = (ClusterMessage & { t: 'ask' })['kind']

const compiled = Compile(messageSchema)

/** Characters of one control message. */
const maxMessageLength = 1_048_576

/** A message that may be used; `null` for anything else. */
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
