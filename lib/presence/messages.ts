import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { idPattern } from '../broker/remote/frames.js'

/* What nodes say to each other about users. It comes from the engine, so nothing is used before it passed these schemas. */

/** Maximum length of a key. */
export const maxKeyLength = 256
/** Maximum length of the data of a user as JSON. */
export const maxDataLength = 4_096

const version = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const key = Type.String({ minLength: 1, maxLength: maxKeyLength })
/** The key, the stamp of the data, and the data as JSON. */
const userSchema = Type.Tuple([key, version, Type.String({ maxLength: maxDataLength })])
const channel = Type.String({ maxLength: 65_535 })
const nodeId = Type.String({ pattern: idPattern.source })

/** Maximum number of users in a delta. */
export const maxDelta = 256
/** Maximum number of channels in a question. */
export const maxAsked = 500

const deltaSchema = Type.Object({
  n: nodeId,
  /** The version before this delta; 0 when there was nobody. */
  p: version,
  v: version,
  /** Users who joined or whose data changed. */
  j: Type.Array(userSchema, { maxItems: maxDelta }),
  /** The keys of users who left. */
  l: Type.Array(key, { maxItems: maxDelta })
})

const querySchema = Type.Object({
  presence: Type.Union([
    /** Asks for the users of channels. `after` continues the first of them. */
    Type.Object({ state: Type.Array(channel, { minItems: 1, maxItems: maxAsked }), after: version }),
    /** Asks which of these channels have another version. Each has the name, the known version, and the known number of users. */
    Type.Object({ check: Type.Array(Type.Tuple([channel, version, version]), { maxItems: maxAsked }) })
  ])
})

const statesSchema = Type.Object({
  /** The version and the users of each channel, in the order of the question. */
  parts: Type.Array(Type.Tuple([version, Type.Array(userSchema)]), { minItems: 1, maxItems: maxAsked }),
  /** Where to continue with the last part; null when it is complete. */
  after: Type.Union([version, Type.Null()]),
  /**
   * Users of nodes that are gone, who may come back at another one: the number of the channel in the question, the node, the
   * milliseconds since it was last heard, and its users.
   */
  away: Type.Optional(Type.Array(Type.Tuple([version, nodeId, version, Type.Array(userSchema)])))
})
const differencesSchema = Type.Array(version, { maxItems: maxAsked })

/** The key, the stamp of the data, and the data as JSON. */
export type UserEntry = Static<typeof userSchema>
/** What changed at a node in one channel. */
export type Delta = Static<typeof deltaSchema>
/** A question about users to another node. */
export type PresenceQuery = Static<typeof querySchema>
/** The answer to a question for states. */
export type States = Static<typeof statesSchema>

const deltas = Compile(deltaSchema)
const queries = Compile(querySchema)
const states = Compile(statesSchema)
const differences = Compile(differencesSchema)

export function isPresenceQuery (value: unknown): value is PresenceQuery { return queries.Check(value) }
export function isStates (value: unknown): value is States {
  return states.Check(value) && value.parts.every(([, users]) => users.every(hasJson)) && (value.away ?? []).every(([, , , users]) => users.every(hasJson))
}
export function isDifferences (value: unknown): value is number[] { return differences.Check(value) }

/** Parses a delta of another node. Returns `null` for anything invalid. */
export function readDelta (text: string): Delta | null {
  if (!isJson(text)) return null
  const value: unknown = JSON.parse(text)
  return deltas.Check(value) && value.j.every(hasJson) ? value : null
}

/** Whether the data of a user are JSON: they are inserted into messages for clients as they are. */
function hasJson ([, , json]: UserEntry): boolean {
  return json === '' || isJson(json)
}

function isJson (text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
