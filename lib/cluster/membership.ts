import type { ClusterMessage } from './messages.js'

/**
 * Milliseconds of the heartbeat interval for each node. All nodes hear all heartbeats, so at a fixed interval their number would
 * grow with the square of the nodes: this way a node hears at most 25 a second.
 */
const intervalPerNode = 40

/** A node that was not heard of for so many intervals is dead. */
const leaseIntervals = 3.5

/** Other nodes that are kept in mind. */
export const maxNodes = 1_000

/** Milliseconds that a node may be silent between two heartbeats, at most and at least. */
const longestInterval = 60_000
const shortestInterval = 50

/** Another node. */
interface Node {
  /** When it was last heard of. */
  heard: number
  /** How long it may be silent. */
  interval: number
  /** Those of this node's optional fields that it reads too. */
  fields: readonly string[]
}

/** What membership needs to speak, and whom it tells. */
export interface MembershipPort {
  say (message: ClusterMessage, toNode?: string): void
  /** Whether anybody can be reached. */
  readonly reachable: boolean
  /** A node was heard of for the first time, or nodes are gone: these. */
  changed (gone: readonly string[]): void
  /** There are more nodes than can be kept in mind. */
  full (id: string): void
}

export interface MembershipOptions {
  /** Milliseconds between heartbeats, at least. */
  readonly heartbeatInterval: number
  /** The optional fields of frames that this node reads. */
  readonly fields: readonly string[]
}

/** Which other nodes are alive: each says so by heartbeats, and has a lease until it is silent for too long or says goodbye. */
export class Membership {
  readonly #port: MembershipPort
  readonly #heartbeatInterval: number
  readonly #fields: readonly string[]
  readonly #nodes = new Map<string, Node>()
  #heart: NodeJS.Timeout | null = null
  #lastBeat = 0
  /** The interval under way. */
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

  /** Whether all live nodes said that they read an optional field of frames: only then may it be sent. */
  allRead (field: string): boolean {
    for (const { fields } of this.#nodes.values()) if (!fields.includes(field)) return false
    return true
  }

  /** The engine is up: announces this node. */
  up (): void {
    this.#announce()
    if (this.#heart === null) this.#scheduleBeat()
  }

  /** A node said something. @returns whether it is one of those that are kept in mind */
  heard (message: ClusterMessage, id: string): boolean {
    if (message.t === 'bye') {
      this.#forget([id])
      return false
    }
    const known = this.#nodes.get(id)
    // Their number shrinks at once, their timers later: each says itself how long it will be silent.
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
    // Who is new has not heard of this node either.
    if (known === undefined || message.t === 'hello') this.#sayBeat(id)
    return true
  }

  /** Says goodbye. No timer is left. */
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
    // Nobody could be heard while the engine was down. All nodes come back at once, so they do not answer each other.
    const now = performance.now()
    for (const node of this.#nodes.values()) node.heard = now
    this.#sayBeat()
  }

  #sayBeat (toNode?: string): void {
    this.#port.say(this.#fields.length === 0 ? { t: 'beat', every: this.#armed } : { t: 'beat', every: this.#armed, fields: this.#fields }, toNode)
  }

  /** What another node says it reads, as far as this one knows it. */
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
    // When this process was busy, the heartbeats of others may still be waiting to be read.
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
    const gone = ids.filter((id) => this.#nodes.delete(id))
    if (gone.length > 0) this.#port.changed(gone)
  }
}
