import type { Announcer } from './announcer.js'
import type { PresenceQuery, States, UserEntry } from './messages.js'
import type { OwnChannel } from './own-channel.js'

/** Characters of users in an answer. A message between nodes may be four times as long. */
const maxAnswerLength = 262_144
/** Characters that a user takes beside its key and data. */
const entryLength = 32

/** What another node is told of the users at this one. */
export function answerPresence ({ presence }: PresenceQuery, announcer: Announcer, own: (channel: string) => OwnChannel | undefined): States | number[] {
  if ('check' in presence) {
    const different: number[] = []
    for (const [i, [channel, version, users]] of presence.check.entries()) if (!announcer.matches(channel, version, users)) different.push(i)
    return different
  }
  const parts: States['parts'] = []
  let length = 0
  for (const [i, channel] of presence.state.entries()) {
    const users: UserEntry[] = []
    parts.push([announcer.versionOf(channel), users])
    // Users stay in the order in which they came, so the number of the last one tells where to go on: who came later has a higher one.
    for (const [key, { order, stamp, json }] of own(channel)?.users ?? []) {
      if (i === 0 && order <= presence.after) continue
      if (length > maxAnswerLength) return { parts, after: last(own(channel)!, users) }
      users.push([key, stamp, json])
      length += key.length + json.length * 2 + entryLength
    }
  }
  return { parts, after: null }
}

function last (own: OwnChannel, users: readonly UserEntry[]): number {
  const key = users.at(-1)?.[0]
  return key === undefined ? 0 : own.users.get(key)!.order
}
