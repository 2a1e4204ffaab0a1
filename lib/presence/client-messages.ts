import type { ScPresenceMember } from '../../types/presence.js'

/* The messages that clients receive. The data of users are JSON already, so the text is put together. */

/** @param json the data of the user; empty for none */
function memberText (key: string, json: string): string {
  return json === '' ? `{"key":${JSON.stringify(key)}}` : `{"key":${JSON.stringify(key)},"data":${json}}`
}

function membersText (members: Iterable<readonly [key: string, json: string]>): string {
  let text = ''
  for (const [key, json] of members) text += text === '' ? memberText(key, json) : ',' + memberText(key, json)
  return `[${text}]`
}

/** All users, by key with their data. */
export function stateText (users: ReadonlyMap<string, string>, version: number): string {
  return `{"type":"state","members":${membersText(users)},"total":${users.size},"v":${version}}`
}

/** What changed between two versions. */
export interface Changes {
  readonly joins: Array<readonly [key: string, json: string]>
  readonly updates: Array<readonly [key: string, json: string]>
  readonly leaves: string[]
}

export function diffText ({ joins, updates, leaves }: Changes, total: number, version: number): string {
  return `{"type":"diff","joins":${membersText(joins)},"updates":${membersText(updates)},"leaves":${JSON.stringify(leaves)},"total":${total},"v":${version}}`
}

export function countText (total: number): string {
  return `{"type":"count","total":${total}}`
}

/** Returns a user as applications see it. */
export function memberOf (key: string, json: string): ScPresenceMember {
  return json === '' ? { key } : { key, data: JSON.parse(json) as unknown }
}
