import { queryLimits } from '../handlers/history-query.js'
import { maxDataLength, maxKeyLength } from '../presence/messages.js'

type Schema = Record<string, unknown>

const text = { type: 'string' }
const position = { type: 'string', maxLength: 64, description: 'A position in the history of the channel' }
const channel = { type: 'string', description: 'The name of the channel' }

function object (properties: Record<string, Schema>, optional: string[] = []): Schema {
  return { type: 'object', properties, required: Object.keys(properties).filter((name) => !optional.includes(name)) }
}

/** The data of `#history`. */
export const historyQuery = object({
  channel,
  since: { ...position, description: 'Messages after this position; without it, the newest ones' },
  limit: { type: 'integer', minimum: 1, maximum: queryLimits.most, default: queryLimits.default },
  reverse: { type: 'boolean', default: false, description: 'The newest message first' }
}, ['since', 'limit', 'reverse'])

/** The answer to `#history`. @param message the schema of the channel's messages */
export function historyAnswer (message: object): Schema {
  return object({
    messages: { type: 'array', items: object({ data: message as Schema, pos: position, time: { type: 'integer', description: 'Milliseconds since the epoch' } }, ['data']) },
    pos: { ...position, description: 'Where the next read goes on' },
    gap: { enum: [null, 'limit', 'trimmed', 'unknown', 'refused'], description: 'Why messages after `since` are missing, or not all of them are here' }
  })
}

/** The data of `#presence`. */
export const presenceUpdate = object({ channel, data: { description: `The new data of the client's user: at most ${maxDataLength} characters of JSON` } }, ['data'])

const key = { type: 'string', minLength: 1, maxLength: maxKeyLength }
const users = { type: 'array', items: object({ key, data: {} }, ['data']) }
const total = { type: 'integer', minimum: 0, description: 'The number of users' }
const version = { type: 'integer', minimum: 0 }

/** The messages of a channel that tells who is in another one, by their type. */
export const presenceMessages: Readonly<Record<string, { readonly summary: string, readonly payload: Schema }>> = {
  state: { summary: 'All users: the first message, and again when the list is short enough once more', payload: object({ type: { const: 'state' }, members: users, total, v: version }) },
  diff: { summary: 'What changed since the message before', payload: object({ type: { const: 'diff' }, joins: users, updates: users, leaves: { type: 'array', items: key }, total, v: version }) },
  count: { summary: 'The number of users, where a list would be too long', payload: object({ type: { const: 'count' }, total }) }
}

/** The error that answers a call. */
export const callError = object({ name: text, message: text, code: text, retryAfter: { type: 'integer', description: 'Milliseconds to wait, for a RateLimitError' } }, ['code', 'retryAfter'])
