import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'

/**
 * Schemas of commands and queries between nodes. Like all control messages they come from the engine, so nothing is used
 * before it passed these schemas.
 */

/** Maximum length of a user, an id or a reason. */
export const maxText = 1_024
const text = Type.String({ maxLength: maxText })
const filter = Type.Object({
  user: Type.Optional(text),
  jti: Type.Optional(text),
  socketId: Type.Optional(text)
})
const time = Type.Number({ minimum: 0 })
const revocation = Type.Object({ user: Type.Optional(text), jti: Type.Optional(text), at: time })

/** Maximum number of revocations in one message. A long revocation has about 100 characters. */
export const maxPiece = 1_000

const commandSchema = Type.Union([
  Type.Object({ do: Type.Literal('revoke'), filter, at: Type.Optional(time) }),
  /** Revocations that a node made while it was cut off. */
  Type.Object({ do: Type.Literal('remember'), entries: Type.Array(revocation, { maxItems: maxPiece }) }),
  Type.Object({ do: Type.Literal('disconnect'), filter, code: Type.Integer({ minimum: 1000, maximum: 4999 }), reason: Type.Optional(Type.String()) }),
  Type.Object({ do: Type.Literal('kickOut'), filter, channel: Type.String({ maxLength: 65_535 }), message: Type.Optional(Type.String()) })
])

/** Asks for the revocations in force. */
const querySchema = Type.Object({ revocations: Type.Object({ after: Type.Integer({ minimum: 0 }), within: Type.Optional(time) }) })
const pieceSchema = Type.Object({
  entries: Type.Array(revocation, { maxItems: maxPiece }),
  next: Type.Union([Type.Integer({ minimum: 1 }), Type.Null()]),
  /** Lifetime in seconds of the longest token the node knows of. Nodes of an earlier version leave it out. */
  life: Type.Optional(time)
})

/** Selects sockets by user, token id or socket id. Every given field must match. */
export type Filter = Static<typeof filter>
/** A command to all nodes. */
export type Command = Static<typeof commandSchema>
/** A question to one node. */
export type Query = Static<typeof querySchema>
/** An answer to a query: some of the revocations, and `next` to ask for more. */
export type Piece = Static<typeof pieceSchema>

const commands = Compile(commandSchema)
const queries = Compile(querySchema)
const pieces = Compile(pieceSchema)

export function isCommand (value: unknown): value is Command { return commands.Check(value) }
export function isQuery (value: unknown): value is Query { return queries.Check(value) }
export function isPiece (value: unknown): value is Piece { return pieces.Check(value) }
