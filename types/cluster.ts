/** The answer of one node to a command. */
export interface NodeAnswer {
  /** The node's id. */
  readonly id: string
  /** The value that the node's `onCommand` returned. */
  readonly value?: unknown
  /** The message of the error that the node's `onCommand` threw. */
  readonly error?: string
}

/** The answers of all nodes to a command. */
export interface ClusterAnswers {
  /** The answers; this node's own is the first. */
  readonly answers: NodeAnswer[]
  /** Live nodes that did not answer in time. A node that died is listed until its lease ends. */
  readonly missing: string[]
}

/** The statistics of all nodes. */
export interface ClusterStats<Stats extends object> {
  /** The statistics of each node; this node is the first. */
  readonly nodes: Array<Stats & { readonly id: string }>
  /** The sums over all `nodes`. */
  readonly total: Stats
  /** Live nodes that did not answer in time. */
  readonly missing: string[]
}

/** What a command did. */
export interface ScCommandResult {
  /** The number of sockets on which it was carried out, at all nodes that confirmed it. */
  readonly sockets: number
  /** The live nodes that did not confirm the command in time, or failed. Their sockets may be untouched. */
  readonly missing: string[]
}

/** Options of `cluster.runOnce()`. */
export interface ScOnceOptions {
  /**
   * What the key was used for, for example the body of a request. A call with the same key and another fingerprint is a mistake and
   * rejects. @default ''
   */
  fingerprint?: string
  /** The milliseconds for which the result is kept, 1,000 to 86,400,000. @default 300000 */
  ttl?: number
}

/** The part of a list that is asked for. */
export interface ScPageQuery {
  /** The maximum number of items, 1 to 1,000. @default 100 */
  limit?: number
  /** The `next` of the page before. Absent: the first page. */
  cursor?: string
}

/** Selects sockets for `cluster.listSockets()`. A socket is listed when it matches all given fields. */
export interface ScSocketQuery extends ScPageQuery {
  /** The `sub` claim. A number and its text are equal. */
  user?: string | number
  /** A channel that the socket is subscribed to. */
  channel?: string
}

/** Selects channels for `cluster.listChannels()`. */
export interface ScChannelQuery extends ScPageQuery {
  /** The text that the names begin with. */
  prefix?: string
}

/**
 * A page of a list of all nodes. Pages are sorted by id or name, in the order of JavaScript strings. Items that appear or disappear
 * while the list is read may be on a page or not; no other item is skipped or listed twice.
 */
export interface ScPage<Item> {
  readonly items: Item[]
  /** The `cursor` of the next page; `null` on the last one. A page can have fewer items than `limit` and a `next`. */
  readonly next: string | null
  /** The live nodes that did not answer in time. Their items are not on the page. */
  readonly missing: string[]
}

/** An open socket of any node. */
export interface ScListedSocket {
  readonly id: string
  /** The id of its node. */
  readonly node: string
  /** The `sub` claim of its token, cut off after 1,024 characters. */
  readonly user?: string
  /** The `jti` claim of its token, cut off after 1,024 characters. */
  readonly jti?: string
  /** The address of the client, as Fastify's `request.ip`. */
  readonly address?: string
  /** The number of channels that it is subscribed to. */
  readonly subscriptions: number
}

/** A channel that sockets of any node are subscribed to. */
export interface ScListedChannel {
  readonly name: string
  /** The number of subscribed sockets, at all nodes that answered. */
  readonly sockets: number
}

/** A live node. */
export interface ScListedNode {
  readonly id: string
  /** The number of open sockets. */
  readonly clients: number
  /** The number of sockets whose handshake is not complete. */
  readonly pendingClients: number
  /** The number of channels with a subscriber at this node. */
  readonly channels: number
  /** The number of subscriptions of all its sockets. */
  readonly subscriptions: number
  /** The number of bytes that wait to be sent to its sockets. */
  readonly bufferedBytes: number
}
