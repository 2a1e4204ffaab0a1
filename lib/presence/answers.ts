import type { Announcer } from './announcer.js'
import type { PresenceQuery, States, UserEntry } from './messages.js'
import type { OwnChannel } from './own-channel.js'
import type { GoneNode } from './remote-node.js'

/** Characters of users in an answer. A message between nodes may be four times as long. */
const maxAnswerLength = 262_144
/** Characters that a user takes beside its key and data. */
const entryLength = 32

/** What answers are made of. */
export interface AnswersPort {
  readonly announcer: Announcer
  own (channel: string): OwnChannel | undefined
  /** The nodes that are gone, and whose users did not leave yet, as far as this node knows. */
  gone (channel: string): readonly GoneNode[]
}

/** What another node is told of the users at this one. */
export function answerPresence ({ presence }: PresenceQuery, { announcer, own, gone }: AnswersPort): States | number[] {
  if ('check' in presence) {
    const different: number[] = []
    for (const [i, [channel, version, users]] of presence.check.entries()) if (!announcer.matches(channel, version, users)) different.push(i)
    return different
  }
  const parts: States['parts'] = []
  const away: States['away'] = []
  let length = 0
  let awayLength = 0
  for (const [i, channel] of presence.state.entries()) {
    const users: UserEntry[] = []
    parts.push([announcer.versionOf(channel), users])
    // Once for each channel, with the first piece.
    for (const node of i === 0 && presence.after !== 0 ? [] : gone(channel)) {
      const some: UserEntry[] = []
      away.push([i, node.id, Math.round(node.silence), some])
      for (const [key, { stamp, json }] of node.users) {
        // Those that are left out are seen again when they come back.
        if (awayLength > maxAnswerLength) break
        some.push([key, stamp, json])
        awayLength += lengthOf(key, json)
      }
    }
    // Users stay in the order in which they came, so the number of the last one tells where to go on: who came later has a higher one.
    for (const [key, { order, stamp, json }] of own(channel)?.users ?? []) {
      if (i === 0 && order <= presence.after) continue
      if (length > maxAnswerLength) return { parts, after: last(own(channel)!, users), away }
      users.push([key, stamp, json])
      length += lengthOf(key, json)
    }
  }
  return { parts, after: null, away }
}

function lengthOf (key: string, json: string): number {
  return key.length + json.length * 2 + entryLength
}

function last (own: OwnChannel, users: readonly UserEntry[]): number {
  const key = users.at(-1)?.[0]
  return key === undefined ? 0 : own.users.get(key)!.order
}
