import type { ClusterMessage } from './messages.js'

/**
 * Milliseconds added to the heartbeat interval for each node. Every node receives the heartbeats of all others, so with a fixed
 * interval their number would grow with the square of the nodes. This way a node receives at most 25 per second.
 */
const intervalPerNode = 40

/** Number of intervals without a message after which a node counts as dead. */
const leaseIntervals = 3.5

/** Maximum number of other nodes that are tracked. */
export const maxNodes = 1_000

/** Limits in milliseconds for the heartbeat interval that a node announces. */
const longestInterval = 60_000
const shortestInterval = 50

/** Another node. */
interface Node {
  /** When the last message of the node arrived. */
  heard: number
  /** The node's heartbeat interval in milliseconds. */
  interval: number
  /** Optional fields that both the node and this one support. */
  fields: readonly string[]
}

/** The part of the cluster that membership uses: to send messages and to report changes. */
export interface MembershipPort {
  say (message: ClusterMessage, toNode?: string): void
  /** Whether other nodes can be reached. */
  readonly reachable: boolean
  /** A node said goodbye, or its lease ended. @param silence milliseconds since its last message */
  lost? (id: string, silence: number): void
  /** A node was seen for the first time, or the nodes in `gone` are no longer alive. */
  changed (gone: readonly string[]): void
  /** A node is not tracked, because there are too many. */
  full (id: string): void
}

/** Settings of a node's membership. */
export interface MembershipOptions {
  /** Minimum time between heartbeats in milliseconds. */
  readonly heartbeatInterval: number
  /** The optional fields of frames that this node supports. */
  readonly fields: readonly string[]
}

/** Tracks the other live nodes. A node stays alive by its heartbeats, until it is silent for too long or says goodbye. */
export class Membership {
  readonly #port: MembershipPort
  readonly #heartbeatInterval: number
  readonly #fields: readonly string[]
  readonly #nodes = new Map<string, Node>()
  #heart: NodeJS.Timeout | null = null
  #lastBeat = 0
  /** The heartbeat interval in use, in milliseconds. */
  #armed: number

  constructor ({ heartbeatInterval, fields }: MembershipOptions, port: MembershipPort) {
    this.#port = port
    this.#heartbeatInterval = this.#armed = heartbeatInterval
    this.#fields = fields
  }

  /** The ids of the other live nodes. */
  get ids (): string[] { return [...this.#nodes.keys()] }

  has (id: string): boolean {
    return this.#nodes.has(id)
  }

  /** Whether all live nodes announced that they support an optional field of frames. It may be sent only then. */
  allRead (field: string): boolean {
    for (const { fields } of this.#nodes.values()) if (!fields.includes(field)) return false
    return true
  }

  /** Call when the engine is up. Announces this node. */
  up (): void {
    this.#announce()
    if (this.#heart === null) this.#scheduleBeat()
  }

  /** Handles a message of another node. @returns whether the node is tracked */
  heard (message: ClusterMessage, id: string): boolean {
    if (message.t === 'bye') {
      const leaving = this.#nodes.get(id)
      if (leaving !== undefined) leaving.heard = performance.now()
      this.#forget([id])
      return false
    }
    const known = this.#nodes.get(id)
    // When nodes leave, the intervals of the others shrink only later, so each node announces its own interval.
    const every = message.t === 'beat' && message.every !== undefined ? message.every : known?.interval ?? this.#interval
    const interval = Math.min(Math.max(every, shortestInterval), longestInterval)
    const fields = message.t === 'beat' || message.t === 'hello' ? this.#shared(message.fields) : known?.fields ?? []
    if (known !== undefined) {
      known.heard = performance.now()
      known.interval = interval
      known.fields = fields
    } else if (this.#nodes.size < maxNodes) {
      this.#nodes.set(id, { heard: performance.now(), interval, fields })
      this.#port.changed([])
    } else {
      this.#port.full(id)
      return false
    }
    // A new node does not know this node yet.
    if (known === undefined || message.t === 'hello') this.#sayBeat(id)
    return true
  }

  /** Says goodbye and stops all timers. */
  stop (): void {
    if (this.#heart !== null) {
      clearTimeout(this.#heart)
      this.#port.say({ t: 'bye' })
    }
    this.#heart = null
    this.#nodes.clear()
  }

  get #interval (): number {
    return Math.max(this.#heartbeatInterval, (this.#nodes.size + 1) * intervalPerNode)
  }

  #announce (): void {
    if (this.#nodes.size === 0) {
      this.#port.say(this.#fields.length === 0 ? { t: 'hello' } : { t: 'hello', fields: this.#fields })
      return
    }
    // No heartbeat could arrive while the engine was down. All nodes come back at once, so they do not answer each other.
    const now = performance.now()
    for (const node of this.#nodes.values()) node.heard = now
    this.#sayBeat()
  }

  #sayBeat (toNode?: string): void {
    this.#port.say(this.#fields.length === 0 ? { t: 'beat', every: this.#armed } : { t: 'beat', every: this.#armed, fields: this.#fields }, toNode)
  }

  /** The fields another node announced that this node supports too. */
  #shared (said: unknown): readonly string[] {
    return this.#fields.length === 0 || !Array.isArray(said) ? [] : this.#fields.filter((field) => said.includes(field))
  }

  #scheduleBeat (): void {
    this.#lastBeat = performance.now()
    const interval = this.#armed = this.#interval
    this.#heart = setTimeout(() => this.#beat(interval), interval)
    this.#heart.unref()
  }

  #beat (interval: number): void {
    const now = performance.now()
    // This process was busy: heartbeats of other nodes may not have been read yet.
    const late = now - this.#lastBeat > interval * 2
    this.#scheduleBeat()
    if (!this.#port.reachable) return
    this.#sayBeat()
    if (late) return
    const dead: string[] = []
    for (const [id, { heard, interval }] of this.#nodes) if (now - heard > interval * leaseIntervals) dead.push(id)
    this.#forget(dead)
  }

  #forget (ids: readonly string[]): void {
    const gone: string[] = []
    const now = performance.now()
    for (const id of ids) {
      const node = this.#nodes.get(id)
      if (node === undefined) continue
      this.#nodes.delete(id)
      gone.push(id)
      this.#port.lost?.(id, now - node.heard)
    }
    if (gone.length > 0) this.#port.changed(gone)
  }
}
