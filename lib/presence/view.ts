import type { ScPresenceLimits, ScPresenceMember } from '../../types/presence.js'
import type { CodecEngine } from '../../types/protocol.js'
import type { SharedMessage } from '../transport/shared-message.js'
import type { Alarm, Alarms } from './alarms.js'
import { type Changes, countText, diffText, memberOf, stateText } from './client-messages.js'
import type { Delta, UserEntry } from './messages.js'
import type { Change, OwnChannel } from './own-channel.js'
import { type GoneNode, RemoteNode } from './remote-node.js'

/** Minimum milliseconds between two messages with the number of users. */
const countInterval = 1_000
/** Maximum milliseconds between a change in a large channel and the message about it. */
const longestInterval = 2_000
/** Number of users for each of which the interval grows by its own length. */
const usersPerInterval = 200
/** The share of `members` at which clients receive lists again. */
const listsAgain = 0.8

/** The part of presence that a view uses. */
export interface ViewPort {
  readonly alarms: Alarms
  readonly codec: CodecEngine
  own (channel: string): OwnChannel | undefined
  /** Encodes a message about a channel. */
  encode (channel: string, json: string): SharedMessage
  /** Sends a message to all who see who is in a channel. */
  send (channel: string, json: string): void
  /** Whether the server itself wants to know who comes and leaves. */
  isObserved (channel: string): boolean
  tell (change: Change, channel: string, member: ScPresenceMember): void
  /** Asks a node for its users of a channel. */
  ask (node: string, channel: string): void
  /** Runs `leave` now, or once it is known who is elsewhere. */
  whenOthersAreKnown (leave: () => void): void
}

/** Who is in one channel, at all nodes: kept as long as somebody at this node wants to know. */
export class View {
  readonly nodes = new Map<string, RemoteNode>()
  /** The users that clients know of, with their data. */
  readonly #shown = new Map<string, string>()
  readonly #dirty = new Set<string>()
  readonly #limits: Readonly<Required<ScPresenceLimits>>
  readonly #port: ViewPort
  #version = 0
  #counting: boolean
  #flushing: Alarm | null = null
  #state: { readonly codec: CodecEngine, readonly message: SharedMessage } | null = null

  constructor (readonly channel: string, limits: Readonly<Required<ScPresenceLimits>>, port: ViewPort) {
    this.#limits = limits
    this.#port = port
    for (const [key, { json }] of port.own(channel)?.users ?? []) this.#shown.set(key, json)
    this.#counting = limits.members === 0 || this.#shown.size > limits.members
  }

  /** The users as of now. */
  get users (): Map<string, string> {
    const users = new Map(this.#shown)
    for (const key of this.#dirty) {
      const json = this.#dataOf(key)
      if (json === undefined) users.delete(key)
      else users.set(key, json)
    }
    return users
  }

  /** The first message for a client: all users, or their number. */
  get first (): SharedMessage {
    const { codec } = this.#port
    if (this.#state?.codec !== codec) {
      const text = this.#counting ? countText(this.#shown.size) : stateText(this.#shown, this.#version)
      this.#state = { codec, message: this.#port.encode(this.channel, text) }
    }
    return this.#state.message
  }

  /** Call when a user may have come, left, or changed. */
  touch (keys: Iterable<string>): void {
    for (const key of keys) this.#dirty.add(key)
    if (this.#dirty.size !== 0) this.#flushing ??= this.#port.alarms.in(this.#interval, () => this.flush())
  }

  /** Takes the changes so far as known to clients, without telling them: nobody sees this view yet. */
  settle (): void {
    this.#port.alarms.cancel(this.#flushing)
    this.#apply()
    this.#counting = this.#limits.members === 0 || this.#shown.size > this.#limits.members
  }

  /** Tells clients and the server what changed. */
  flush (): void {
    const changes = this.#apply()
    if (changes === null) return
    if (this.#port.isObserved(this.channel)) this.#tellServer(changes)
    const total = this.#shown.size
    const { members } = this.#limits
    let text: string
    if (this.#counting && (members === 0 || total > members * listsAgain)) {
      text = countText(total)
    } else if (this.#counting) {
      this.#counting = false
      text = stateText(this.#shown, this.#version)
    } else if (total > members) {
      this.#counting = true
      text = countText(total)
    } else {
      text = diffText(changes, total, this.#version)
    }
    this.#port.send(this.channel, text)
  }

  /** Takes the changes over into what is shown. @returns `null` if nothing changed after all */
  #apply (): Changes | null {
    this.#flushing = null
    const changes: Changes = { joins: [], updates: [], leaves: [] }
    for (const key of this.#dirty) {
      const json = this.#dataOf(key)
      const before = this.#shown.get(key)
      if (json === before) continue
      if (json === undefined) {
        this.#shown.delete(key)
        changes.leaves.push(key)
        continue
      }
      this.#shown.set(key, json)
      changes[before === undefined ? 'joins' : 'updates'].push([key, json])
    }
    this.#dirty.clear()
    if (changes.joins.length + changes.updates.length + changes.leaves.length === 0) return null
    this.#version++
    this.#state = null
    return changes
  }

  #tellServer ({ joins, updates, leaves }: Changes): void {
    for (const [key, json] of joins) this.#port.tell('join', this.channel, memberOf(key, json))
    for (const [key, json] of updates) this.#port.tell('update', this.channel, memberOf(key, json))
    for (const key of leaves) this.#port.tell('leave', this.channel, { key })
  }

  /** Returns the newest data of a user, also of one who is away; `undefined` when the user is nowhere. */
  #dataOf (key: string): string | undefined {
    return this.newest(key)?.json
  }

  /** Returns what is known of a user: its newest data. */
  newest (key: string): { readonly json: string, readonly stamp: number } | undefined {
    let newest: { readonly json: string, readonly stamp: number } | undefined = this.#port.own(this.channel)?.users.get(key)
    for (const { users } of this.nodes.values()) {
      const user = users.get(key)
      if (user === undefined || (newest !== undefined && newest.stamp > user.stamp)) continue
      // The same for all nodes, also when two of them set data at the same time.
      if (newest === undefined || newest.stamp < user.stamp || newest.json < user.json) newest = user
    }
    return newest
  }

  get #interval (): number {
    const { interval } = this.#limits
    const total = this.#shown.size
    if (this.#counting) return Math.max(interval, countInterval)
    return Math.max(interval, Math.min(longestInterval, interval * (1 + Math.floor(total / usersPerInterval))))
  }

  // Other nodes

  /** Takes in what another node said. */
  take (delta: Delta): void {
    const node = this.#node(delta.n)
    const concerned = node.take(delta)
    if (concerned === null) this.#port.ask(delta.n, this.channel)
    else this.touch(concerned)
  }

  /** Call when a node is asked for its users. */
  asked (id: string): void {
    this.#node(id).asked()
  }

  /** Takes in the answer of a node. */
  learn (id: string, version: number, entries: readonly UserEntry[]): void {
    const concerned = this.nodes.get(id)?.learn(version, entries)
    if (concerned === undefined) return
    if (concerned === null) this.#port.ask(id, this.channel)
    else this.touch(concerned)
  }

  /** Call when a node did not answer. */
  unanswered (id: string): void {
    this.nodes.get(id)?.unanswered()
  }

  #node (id: string): RemoteNode {
    let node = this.nodes.get(id)
    if (node === undefined) this.nodes.set(id, node = new RemoteNode())
    return node
  }

  /** Call when a node is gone. @param silence milliseconds since it was last heard */
  gone (id: string, silence: number): void {
    const node = this.nodes.get(id)
    if (node === undefined || node.leaving !== null) return
    node.heardAt = performance.now() - silence
    const leaving: Alarm = node.leaving = this.#port.alarms.in(Math.max(0, this.#limits.leaveDelay - silence), () => {
      this.#port.whenOthersAreKnown(() => {
        // The node may be back, and gone once more.
        if (node.leaving !== leaving) return
        this.nodes.delete(id)
        this.touch(node.users.keys())
      })
    })
  }

  /** The nodes that are gone, and whose users did not leave yet. */
  get goneNodes (): GoneNode[] {
    const now = performance.now()
    return [...this.nodes].filter(([, { leaving }]) => leaving !== null).map(([id, { heardAt, users }]) => ({ id, silence: now - heardAt, users }))
  }

  /** Takes in the users of a node that was gone before it was heard here: they may come back, and were never away then. */
  inherit (id: string, silence: number, entries: readonly UserEntry[]): void {
    if (this.nodes.has(id) || silence >= this.#limits.leaveDelay) return
    const node = this.#node(id)
    node.set(entries)
    this.touch(node.users.keys())
    this.gone(id, silence)
  }

  /** Call when a node that was gone is there again. */
  back (id: string): void {
    const node = this.nodes.get(id)
    if (node === undefined || node.leaving === null) return
    this.#port.alarms.cancel(node.leaving)
    node.leaving = null
  }

  /** Call when nobody wants to know any more. */
  end (): void {
    this.#port.alarms.cancel(this.#flushing)
    for (const { leaving } of this.nodes.values()) this.#port.alarms.cancel(leaving)
  }
}
