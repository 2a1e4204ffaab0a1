import { type Static, Type } from 'typebox'
import type { ScHttpOperationName } from '../../types/http.js'
import { maxText } from '../cluster/commands.js'
import { maxLimit } from '../cluster/page-cursor.js'

/** Maximum number of channels of one publish. */
const maxChannels = 100
/** Maximum number of characters of an `Idempotency-Key`. */
const maxKeyLength = 255
/** Maximum number of messages, or members, in one answer. */
const maxEntries = 1_000

const strict = { additionalProperties: false }
const optional = Type.Optional
const channel = Type.String({ minLength: 1, maxLength: 65_535, description: 'The name of a channel.' })
const claim = Type.Union([Type.String({ maxLength: maxText }), Type.Number()])
const filter = Type.Object({
  user: optional(claim),
  jti: optional(claim),
  socketId: optional(Type.String({ maxLength: maxText }))
}, { ...strict, description: 'Selects sockets by the claims `sub` and `jti` of their tokens, and by their id. A socket must match all given fields; an empty object matches all sockets.' })
const message = Type.Unknown({ description: 'The message: any JSON.' })
const limit = optional(Type.Integer({ minimum: 1, maximum: maxLimit, description: 'The maximum number of items. Default: 100.' }))
const cursor = optional(Type.String({ minLength: 1, maxLength: 100_000, description: 'The `next` of the page before.' }))
const next = optional(Type.String({ description: 'The `cursor` of the next page. Absent on the last page.' }))
const missing = Type.Array(Type.String(), { description: 'The ids of the nodes that did not answer in time.' })

/** The bodies. Nothing in them is coerced. */
export const bodies = {
  publish: Type.Object({
    channel: optional(channel),
    channels: optional(Type.Array(channel, { minItems: 1, maxItems: maxChannels, uniqueItems: true })),
    data: message
  }, { ...strict, description: 'A message for one channel, `channel`, or for several, `channels`.' }),
  kick: Type.Object({ filter, channel, message: optional(Type.String({ maxLength: 4_096, description: 'The reason, for the clients.' })) }, strict),
  disconnect: Type.Object({
    filter,
    code: optional(Type.Integer({ minimum: 1_000, maximum: 4_999, description: 'The close code: 1000, 1001 or from 3000 to 4999. Default: 1000, after which stock clients do not come back.' })),
    reason: optional(Type.String({ maxLength: 123 }))
  }, strict),
  revoke: Type.Object({ filter }, strict)
}

/** The queries. Only numbers are coerced. */
export const queries = {
  channels: Type.Object({ prefix: optional(Type.String({ maxLength: 65_535, description: 'The text that the names begin with.' })), limit, cursor }, strict),
  sockets: Type.Object({ user: optional(Type.String({ maxLength: maxText, description: 'The claim `sub` of the token.' })), channel: optional(channel), limit, cursor }, strict),
  nodes: Type.Object({ limit, cursor }, strict),
  history: Type.Object({
    channel,
    since: optional(Type.String({ minLength: 1, maxLength: 64, description: 'A position: only messages after it. Absent: the newest messages.' })),
    limit: optional(Type.Integer({ minimum: 1, maximum: maxEntries, description: 'The maximum number of messages. Default: 100.' }))
  }, strict),
  presence: Type.Object({ channel, limit: optional(Type.Integer({ minimum: 1, maximum: maxEntries, description: 'The maximum number of users. Default: 100.' })), cursor }, strict)
}

/** What a request asks for, by operation. */
export type Asked = { [Name in keyof typeof bodies]: Static<typeof bodies[Name]> } & { [Name in keyof typeof queries]: Static<typeof queries[Name]> }

const error = Type.Object({
  statusCode: Type.Integer(),
  error: Type.String({ description: 'The text of the status.' }),
  message: Type.String(),
  name: optional(Type.String({ description: 'The name of the error, as clients of the websocket receive it.' })),
  code: optional(Type.Union([Type.String(), Type.Integer()])),
  errorId: optional(Type.String({ description: 'The id of the log line with the details.' }))
}, { additionalProperties: true, description: 'The request failed.' })

const counted = Type.Object({ sockets: Type.Integer({ minimum: 0, description: 'The number of sockets that were affected.' }), missing }, { description: 'Done, at all nodes that are not `missing`.' })
const list = <Item extends Parameters<typeof Type.Array>[0]>(item: Item) => Type.Object({ items: Type.Array(item), next, missing }, { description: 'A page of the list.' })
const count = Type.Integer({ minimum: 0 })

const answers: { readonly [Name in ScHttpOperationName]: ReturnType<typeof Type.Object> } = {
  publish: Type.Object({
    results: Type.Array(Type.Object({ channel: Type.String(), position: optional(Type.String({ description: 'The position of the message, on a channel with a history.' })), error: optional(error) }))
  }, { description: 'The message was published to `channel`; or, for `channels`, to those whose result has no error.' }),
  kick: counted,
  disconnect: counted,
  revoke: counted,
  channels: list(Type.Object({ name: Type.String(), sockets: count })),
  sockets: list(Type.Object({ id: Type.String(), node: Type.String(), user: optional(Type.String()), jti: optional(Type.String()), address: optional(Type.String()), subscriptions: count })),
  nodes: list(Type.Object({ id: Type.String(), clients: count, pendingClients: count, channels: count, subscriptions: count, bufferedBytes: count })),
  history: Type.Object({
    messages: Type.Array(Type.Object({ position: Type.String(), time: Type.Number({ description: 'Milliseconds since the epoch.' }), data: optional(message) })),
    position: Type.String({ description: 'The position of the newest message of the channel.' }),
    gap: optional(Type.String({ description: 'With `since`: why messages after it may be missing: `unknown`, `trimmed` or `limit`. Absent if none is missing.' }))
  }, { description: 'Messages of the channel, the oldest first.' }),
  presence: Type.Object({
    members: Type.Array(Type.Object({ key: Type.String(), data: optional(Type.Unknown()) })),
    total: count,
    complete: Type.Boolean({ description: 'Whether all nodes answered.' }),
    next
  }, { description: 'Users in the channel, in the order of their keys.' })
}

const summaries: { readonly [Name in ScHttpOperationName]: string } = {
  publish: 'Publish a message to one channel or several',
  kick: 'Unsubscribe sockets from a channel',
  disconnect: 'Close sockets',
  revoke: 'Revoke the tokens of sockets',
  channels: 'List the channels that sockets are subscribed to',
  sockets: 'List the open sockets',
  nodes: 'List the nodes',
  history: 'Read the messages of a channel',
  presence: 'Read who is in a channel'
}

const headers = Type.Object({
  'idempotency-key': optional(Type.String({ minLength: 1, maxLength: maxKeyLength, description: 'Makes the request safe to repeat: it is carried out once, and a repeat gets the first answer.' }))
})

/** The schema of a route. @param id the `operationId` */
export function schemaOf (operation: ScHttpOperationName, id: string, { hide, tags = ['SocketCluster'], security }: { hide?: boolean, tags?: readonly string[], security?: unknown }): object {
  const failed = { description: 'The request failed.', content: { 'application/json': { schema: error } } }
  return {
    ...(operation in bodies ? { body: bodies[operation as keyof typeof bodies] } : { querystring: queries[operation as keyof typeof queries] }),
    ...(operation === 'publish' ? { headers } : {}),
    response: { 200: answers[operation], '4xx': failed, '5xx': failed },
    operationId: id,
    summary: summaries[operation],
    tags,
    ...(security === undefined ? {} : { security }),
    ...(hide === true ? { hide } : {})
  }
}
