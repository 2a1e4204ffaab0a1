import { type Static, type TSchema, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import type { ScAuthToken } from '../../types/auth.js'
import type { ClusterAnswers, ScChannelQuery, ScListedChannel, ScListedNode, ScListedSocket, ScPage, ScPageQuery, ScSocketQuery } from '../../types/cluster.js'
import { checkText } from '../arguments.js'
import { scError, typeName } from '../errors.js'
import { maxText } from './commands.js'
import { readFilter } from './filter.js'
import { cursorOf, keyOf, limitOf, maxLimit } from './page-cursor.js'
import { claimText } from './revocations.js'

/** Maximum characters of JSON of the items in an answer of a node. */
const maxAnswerLength = 65_536

const name = Type.String({ maxLength: 65_535 })
const count = Type.Integer({ minimum: 0 })
const after = Type.Optional(name)
const limit = Type.Integer({ minimum: 1, maximum: maxLimit })
const text = Type.Optional(Type.String({ maxLength: maxText }))

const querySchema = Type.Object({
  list: Type.Union([
    Type.Object({ of: Type.Literal('sockets'), after, limit, user: text, channel: Type.Optional(name) }),
    Type.Object({ of: Type.Literal('channels'), after, limit, prefix: Type.Optional(name) }),
    Type.Object({ of: Type.Literal('nodes') })
  ])
})
/** What a node is asked for. */
type ListQuery = Static<typeof querySchema>['list']

const part = <Item extends TSchema>(item: Item) => Type.Object({ items: Type.Array(item, { maxItems: maxLimit }), more: Type.Boolean() })
const id = Type.String({ minLength: 1, maxLength: 128 })
const socketPart = part(Type.Object({ id, user: text, jti: text, address: Type.Optional(Type.String({ maxLength: 128 })), subscriptions: count }))
const channelPart = part(Type.Object({ name, sockets: count }))
const counts = Type.Object({ clients: count, pendingClients: count, channels: count, subscriptions: count, bufferedBytes: count })

const queries = Compile(querySchema)
const socketParts = Compile(socketPart)
const channelParts = Compile(channelPart)
const nodeCounts = Compile(counts)

/** The items that a node has after a key: the first ones, in order. */
interface Part<Item> {
  readonly items: Item[]
  /** Whether the node has more items after the last one. */
  readonly more: boolean
}

/** The part of a socket that is listed. */
export interface ListedSession {
  readonly id: string
  readonly state: string
  readonly authToken: ScAuthToken | null
  readonly remoteAddress: string | undefined
  readonly subscriptions: { readonly size: number }
  isSubscribed (channel: string): boolean
}

/** The part of this node that is listed. */
export interface ListedNode {
  readonly sockets: Iterable<ListedSession>
  /** The channels that have a subscriber at this node, or had one until now. */
  channels (): Iterable<string>
  memberCount (channel: string): number
  counts (): Omit<ScListedNode, 'id'>
}

/** What a listing needs of the cluster. */
export interface ListingPort {
  readonly nodeId: string
  queryAll (body: unknown): Promise<ClusterAnswers>
}

/**
 * Lists what all nodes have, in pages. Each node answers with its first items after the cursor, so that nothing is kept between two
 * pages and a page costs a node one walk over its sockets or channels.
 */
export class Listing {
  readonly #node: ListedNode
  readonly #port: ListingPort

  constructor (node: ListedNode, port: ListingPort) {
    this.#node = node
    this.#port = port
  }

  /** Answers a question of another node; `undefined` if it is not one for a list. */
  answer (query: unknown): object | undefined {
    if (!queries.Check(query)) return undefined
    const { list } = query
    if (list.of === 'nodes') return this.#node.counts()
    return list.of === 'sockets' ? this.#sockets(list) : this.#channels(list)
  }

  async sockets (query: ScSocketQuery = {}): Promise<ScPage<ScListedSocket>> {
    const { limit, after } = checkPage('listSockets', query, ['user', 'channel'])
    if (query.channel !== undefined) checkText('listSockets', 'channel', query.channel)
    const { user } = readFilter({ user: query.user }, false)
    const list: ListQuery & { of: 'sockets' } = { of: 'sockets', after, limit, user, channel: query.channel }
    const { parts, missing } = await this.#ask(list, this.#sockets(list), (value) => socketParts.Check(value) ? value : null, ({ id }) => id)
    const items = new Map<string, ScListedSocket>()
    for (const [node, { items: own }] of parts) for (const { id, ...socket } of own) items.set(id, { id, node, ...socket })
    return pageOf(items, parts.map(([, { items, more }]) => more ? items.at(-1)!.id : null), limit, missing)
  }

  async channels (query: ScChannelQuery = {}): Promise<ScPage<ScListedChannel>> {
    const { limit, after } = checkPage('listChannels', query, ['prefix'])
    if (query.prefix !== undefined) checkText('listChannels', 'prefix', query.prefix)
    const list: ListQuery & { of: 'channels' } = { of: 'channels', after, limit, prefix: query.prefix }
    const { parts, missing } = await this.#ask(list, this.#channels(list), (value) => channelParts.Check(value) ? value : null, ({ name }) => name)
    const items = new Map<string, ScListedChannel>()
    for (const [, { items: own }] of parts) {
      for (const { name, sockets } of own) items.set(name, { name, sockets: sockets + (items.get(name)?.sockets ?? 0) })
    }
    return pageOf(items, parts.map(([, { items, more }]) => more ? items.at(-1)!.name : null), limit, missing)
  }

  async nodes (query: ScPageQuery = {}): Promise<ScPage<ScListedNode>> {
    const { limit, after } = checkPage('listNodes', query, [])
    const { answers, missing } = await this.#port.queryAll({ list: { of: 'nodes' } })
    const items = new Map<string, ScListedNode>()
    const add = (id: string, { clients, pendingClients, channels, subscriptions, bufferedBytes }: Omit<ScListedNode, 'id'>): void => {
      if (after === undefined || id > after) items.set(id, { id, clients, pendingClients, channels, subscriptions, bufferedBytes })
    }
    add(this.#port.nodeId, this.#node.counts())
    for (const { id, value } of answers) {
      if (nodeCounts.Check(value)) add(id, value)
      else missing.push(id)
    }
    return pageOf(items, [], limit, missing)
  }

  /** Asks all nodes. A node whose answer is not one to the question is missing. */
  async #ask<Item> (list: ListQuery & { of: 'sockets' | 'channels' }, own: Part<Item>, read: (value: unknown) => Part<Item> | null, keyOf: (item: Item) => string): Promise<{ parts: Array<[node: string, part: Part<Item>]>, missing: string[] }> {
    const { answers, missing } = await this.#port.queryAll({ list })
    const parts: Array<[string, Part<Item>]> = [[this.#port.nodeId, own]]
    for (const { id, value } of answers) {
      const given = read(value)
      if (given !== null && isPart(given, list.after, keyOf)) parts.push([id, given])
      else missing.push(id)
    }
    return { parts, missing }
  }

  #sockets ({ after, limit, user, channel }: ListQuery & { of: 'sockets' }): Part<Omit<ScListedSocket, 'node'>> {
    const sessions = first(this.#node.sockets, ({ id }) => id, after, limit, (session) => session.state === 'open' &&
      (user === undefined || claimText(session.authToken?.sub) === user) && (channel === undefined || session.isSubscribed(channel)))
    return partOf(sessions, limit, ({ id, authToken, remoteAddress, subscriptions }) => ({
      id,
      user: claimText(authToken?.sub)?.slice(0, maxText),
      jti: claimText(authToken?.jti)?.slice(0, maxText),
      address: remoteAddress?.slice(0, 128),
      subscriptions: subscriptions.size
    }))
  }

  #channels ({ after, limit, prefix = '' }: ListQuery & { of: 'channels' }): Part<ScListedChannel> {
    const names = first(this.#node.channels(), (name) => name, after, limit, (name) => name.startsWith(prefix) && this.#node.memberCount(name) !== 0)
    return partOf(names, limit, (name) => ({ name, sockets: this.#node.memberCount(name) }))
  }
}

/** @throws InvalidArgumentsError for an unknown field, a limit out of range or a cursor that is none */
function checkPage (method: string, query: ScPageQuery, fields: readonly string[]): { limit: number, after: string | undefined } {
  if (typeof query !== 'object' || query === null) throw scError('SC_ERR_ARGUMENT', [method, 'an object as query', typeName(query)])
  const known = [...fields, 'limit', 'cursor']
  for (const field of Object.keys(query)) {
    if (!known.includes(field)) throw scError('SC_ERR_ARGUMENT', [method, `the fields ${known.join(', ')}`, JSON.stringify(field)])
  }
  return { limit: limitOf(method, query.limit), after: query.cursor === undefined ? undefined : keyOf(method, query.cursor) }
}

/** Returns the first items after a key in the order of their keys, at most `limit` and one more. */
function first<Item> (items: Iterable<Item>, keyOf: (item: Item) => string, after: string | undefined, limit: number, fits: (item: Item) => boolean): Item[] {
  const found: Array<{ key: string, item: Item }> = []
  for (const item of items) {
    const key = keyOf(item)
    if (after !== undefined && key <= after) continue
    // Most items come after those that are found already.
    if (found.length > limit && key > found.at(-1)!.key) continue
    if (!fits(item)) continue
    let [low, high] = [0, found.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (found[middle]!.key < key) low = middle + 1
      else high = middle
    }
    found.splice(low, 0, { key, item })
    if (found.length > limit + 1) found.pop()
  }
  return found.map(({ item }) => item)
}

/** Makes the answer of the first items, which is as long as an answer may be. */
function partOf<Item, Listed> (items: readonly Item[], limit: number, describe: (item: Item) => Listed): Part<Listed> {
  const listed: Listed[] = []
  let length = 0
  for (const item of items) {
    const next = describe(item)
    length += JSON.stringify(next).length
    // The first one always, so that the list goes on.
    if (listed.length === limit || (listed.length !== 0 && length > maxAnswerLength)) return { items: listed, more: true }
    listed.push(next)
  }
  return { items: listed, more: false }
}

/** Whether an answer is in order and begins after the cursor: otherwise a list would not end. */
function isPart<Item> ({ items, more }: Part<Item>, after: string | undefined, keyOf: (item: Item) => string): boolean {
  if (more && items.length === 0) return false
  let last = after
  for (const item of items) {
    const key = keyOf(item)
    if (last !== undefined && key <= last) return false
    last = key
  }
  return true
}

/** @param ends the last key of each node that has more: what comes after it is not known of all nodes */
function pageOf<Item> (items: ReadonlyMap<string, Item>, ends: ReadonlyArray<string | null>, limit: number, missing: string[]): ScPage<Item> {
  const end = ends.reduce((least, key) => key !== null && (least === null || key < least) ? key : least, null)
  const keys = [...items.keys()].sort((a, b) => a < b ? -1 : 1).filter((key) => end === null || key <= end)
  const page = keys.slice(0, limit)
  const hasMore = end !== null || page.length < keys.length
  return { items: page.map((key) => items.get(key)!), next: hasMore && page.length !== 0 ? cursorOf(page.at(-1)!) : null, missing }
}
