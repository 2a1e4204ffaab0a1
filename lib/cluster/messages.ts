import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'

/**
 * What nodes say to each other. It comes from the engine, and whoever may write to the engine may say anything: nothing of
 * it is used that did not pass this schema, and no number of it beyond the limits below. What a node of a later version adds is ignored.
 */
const id = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const messageSchema = Type.Union([
  Type.Object({ t: Type.Union([Type.Literal('hello'), Type.Literal('bye')]) }),
  /** With the milliseconds until the next. */
  Type.Object({ t: Type.Literal('beat'), every: Type.Optional(Type.Number()) }),
  Type.Object({ t: Type.Literal('ask'), id, kind: Type.Union([Type.Literal('command'), Type.Literal('stats'), Type.Literal('query')]), body: Type.Optional(Type.Unknown()) }),
  Type.Object({ t: Type.Literal('answer'), id, value: Type.Optional(Type.Unknown()), error: Type.Optional(Type.String()) })
])

export type ClusterMessage = Static<typeof messageSchema>

const compiled = Compile(messageSchema)

/** Characters of one control message. */
const maxMessageLength = 1_048_576
/** Other nodes that are kept in mind. */
export const maxNodes = 1_000
/** Milliseconds that a node may be silent between two heartbeats, at most and at least. */
export const longestInterval = 60_000
export const shortestInterval = 50
/** Characters of an error that another node answered. */
export const maxErrorLength = 1_000

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

/** Values in what a node counts, at every level, and levels. */
const maxCounts = 1_000
const maxCountDepth = 4

/**
 * What another node says it counts, in the shape of what this one counts: what is missing is 0, what is not a number where a
 * number belongs too. Objects may have further numbers, as those by close code have.
 */
export function conformCounts<Stats extends object> (value: unknown, shape: Stats): Stats {
  return conform(value, shape, 0) as Stats
}

function conform (value: unknown, shape: object, depth: number): Record<string, unknown> {
  const given = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const counts: Record<string, unknown> = {}
  for (const [name, like] of Object.entries(shape)) {
    const found = Object.hasOwn(given, name) ? given[name] : undefined
    if (typeof like === 'number') counts[name] = typeof found === 'number' && Number.isFinite(found) ? found : 0
    else if (typeof like === 'string') counts[name] = typeof found === 'string' ? found.slice(0, maxErrorLength) : ''
    else if (typeof like === 'object' && like !== null && depth < maxCountDepth) counts[name] = conform(found, like, depth + 1)
  }
  for (const [name, found] of Object.entries(given).slice(0, maxCounts)) {
    if (!Object.hasOwn(counts, name) && name !== '__proto__' && typeof found === 'number' && Number.isFinite(found)) counts[name] = found
  }
  return counts
}
