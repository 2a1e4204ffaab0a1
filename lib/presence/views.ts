import type { BrokerState, MaybePromise } from '../../types/broker.js'
import type { ScPresenceLimits } from '../../types/presence.js'
import type { Alarm, Alarms } from './alarms.js'
import { type Delta, type PresenceQuery, readDelta } from './messages.js'
import { Peers } from './peers.js'
import { PostponedLeaves } from './postponed-leaves.js'
import { channelOf, topicOf } from './topics.js'
import { View, type ViewPort } from './view.js'

/** Milliseconds over which questions are spread after the engine was down. */
const spread = 2_000
/** Milliseconds between two checks whether a change at another node was missed. */
const checkInterval = 30_000
/** Milliseconds for which a view is kept that the server read. */
const linger = 5_000

/** The part of presence that views use. */
export interface ViewsPort extends Omit<ViewPort, 'ask' | 'whenOthersAreKnown'> {
  readonly alarms: Alarms
  readonly link: {
    readonly broker: { readonly shared: boolean }
    readonly state: BrokerState
    readonly node: { readonly id: string }
    hold (topic: string): MaybePromise<void>
    release (topic: string): void
  }
  readonly cluster: {
    /** The ids of the live nodes, this node first. */
    readonly nodes: readonly string[]
    query (node: string, body: unknown): Promise<unknown>
  }
}

/** A view and who holds it. */
interface Held {
  readonly view: View
  byHub: boolean
  readers: number
  /** Settles when the view is complete enough to be shown; `null` before it begins, and once it is. */
  starting: Promise<void> | null
  ready: boolean
  /** The nodes that have not answered the first question, and what to do when all have. */
  readonly awaited: Set<string>
  answered: () => void
  /** Nodes of which the users are not known. */
  readonly missing: Set<string>
  lingering: Alarm | null
}

/** The views of this node, kept up to date with what other nodes say. */
export class Views {
  readonly #port: ViewsPort
  readonly #viewPort: ViewPort
  readonly #peers: Peers
  readonly #held = new Map<string, Held>()
  readonly #postponed: PostponedLeaves
  #known: ReadonlySet<string> = new Set()
  #checking: Alarm | null = null

  constructor (port: ViewsPort) {
    this.#port = port
    const { alarms, cluster } = port
    this.#postponed = new PostponedLeaves(port)
    const peers: Peers = this.#peers = new Peers({
      alarms,
      query: (node, body: PresenceQuery) => cluster.query(node, body),
      reaches: (node) => port.link.state === 'up' && this.#others.includes(node),
      asked: (node, channel) => this.#held.get(channel)?.view.asked(node),
      inherited: (channel, gone, silence, users) => {
        if (!this.#port.cluster.nodes.includes(gone)) this.#held.get(channel)?.view.inherit(gone, silence, users)
      },
      learned: (node, channel, version, users) => {
        const held = this.#held.get(channel)
        if (held === undefined) return
        held.missing.delete(node)
        held.view.learn(node, version, users)
        this.#settled(held, node)
      },
      unanswered: (node, channel) => {
        const held = this.#held.get(channel)
        if (held === undefined) return
        held.view.unanswered(node)
        if (this.#others.includes(node)) held.missing.add(node)
        this.#settled(held, node)
      }
    })
    this.#viewPort = {
      alarms,
      get codec () { return port.codec },
      own: (channel) => port.own(channel),
      encode: (channel, json) => port.encode(channel, json),
      send: (channel, json) => port.send(channel, json),
      isObserved: (channel) => port.isObserved(channel),
      tell: (change, channel, member) => port.tell(change, channel, member),
      ask: (node, channel) => peers.ask(node, channel),
      whenOthersAreKnown: (leave) => this.whenOthersAreKnown(leave)
    }
  }

  get #others (): readonly string[] { return this.#port.cluster.nodes.slice(1) }

  get (channel: string): View | undefined {
    return this.#held.get(channel)?.view
  }

  /** Whether everything is known of a channel. */
  isComplete (channel: string): boolean {
    const held = this.#held.get(channel)
    return held !== undefined && held.missing.size === 0 && this.#postponed.othersAreKnown
  }

  // Who holds a view

  /** Call when a channel gets its first subscriber that wants to see who is there. Settles when it can be shown. */
  hold (channel: string, limits: Readonly<Required<ScPresenceLimits>>): MaybePromise<void> {
    const held = this.#of(channel, limits)
    held.byHub = true
    return this.#begin(held)?.catch((err: unknown) => {
      held.byHub = false
      this.#dropIfUnused(held)
      throw err
    })
  }

  /** Call when the last of them is gone. */
  release (channel: string): void {
    const held = this.#held.get(channel)
    if (held === undefined) return
    held.byHub = false
    this.#dropIfUnused(held)
  }

  /** Reads who is in a channel. Rejects with a BrokerError when that is not known and the engine is down. */
  async read<T> (channel: string, limits: Readonly<Required<ScPresenceLimits>>, use: (view: View) => T): Promise<T> {
    const held = this.#of(channel, limits)
    held.readers++
    try {
      await this.#begin(held)
      return use(held.view)
    } finally {
      held.readers--
      // Who reads once often reads again.
      if (this.#port.link.broker.shared && held.ready) {
        held.lingering ??= this.#port.alarms.in(linger, () => {
          held.lingering = null
          this.#dropIfUnused(held)
        })
      } else {
        this.#dropIfUnused(held)
      }
    }
  }

  #of (channel: string, limits: Readonly<Required<ScPresenceLimits>>): Held {
    let held = this.#held.get(channel)
    if (held !== undefined) return held
    held = { view: new View(channel, limits, this.#viewPort), byHub: false, readers: 0, starting: null, ready: false, awaited: new Set(), answered: () => {}, missing: new Set(), lingering: null }
    this.#held.set(channel, held)
    return held
  }

  #begin (held: Held): Promise<void> | undefined {
    if (held.ready) return
    if (!this.#port.link.broker.shared) {
      held.ready = true
      return
    }
    return (held.starting ??= this.#learn(held).finally(() => { held.starting = null }))
  }

  async #learn (held: Held): Promise<void> {
    const { channel } = held.view
    // First, so that no change is missed between the answers and the topic.
    await this.#port.link.hold(topicOf(channel))
    await new Promise<void>((resolve) => {
      held.answered = resolve
      for (const node of this.#others) {
        held.awaited.add(node)
        this.#peers.ask(node, channel)
      }
      if (held.awaited.size === 0) resolve()
    })
    held.view.settle()
    held.ready = true
    this.#checking ??= this.#port.alarms.in(checkInterval, () => this.#check())
  }

  #settled (held: Held, node: string): void {
    if (held.awaited.delete(node) && held.awaited.size === 0) held.answered()
  }

  #dropIfUnused (held: Held): void {
    const { view: { channel } } = held
    if (held.byHub || held.readers !== 0 || held.lingering !== null || held.starting !== null || this.#held.get(channel) !== held) return
    this.#held.delete(channel)
    held.view.end()
    if (this.#port.link.broker.shared) this.#port.link.release(topicOf(channel))
  }

  // What other nodes say

  /** Call with each publication on a topic of presence. */
  publication (topic: string, text: string): void {
    const held = this.#held.get(channelOf(topic))
    if (held === undefined) return
    const delta: Delta | null = readDelta(text)
    if (delta === null || delta.n === this.#port.link.node.id) return
    held.view.take(delta)
    // Late words of a node that is gone. A node that was not heard of yet comes back at once.
    if (!this.#others.includes(delta.n)) held.view.gone(delta.n, 0)
  }

  /** Call when the live nodes changed. */
  nodes (): void {
    const others = new Set(this.#others)
    for (const node of others) {
      if (this.#known.has(node)) continue
      for (const { view } of this.#held.values()) {
        view.back(node)
        this.#peers.ask(node, view.channel)
      }
    }
    for (const node of this.#known) {
      if (others.has(node)) continue
      this.#peers.forget(node)
      for (const held of this.#held.values()) held.missing.delete(node)
    }
    this.#known = others
  }

  /** Call when a node said goodbye or is silent for too long. */
  gone (node: string, silence: number): void {
    for (const { view } of this.#held.values()) view.gone(node, silence)
  }

  /** Call when messages on a topic, or on all (`null`), may have been lost. */
  gap (topic: string | null): void {
    if (topic !== null) this.#askAll(this.#held.get(channelOf(topic)))
    else for (const held of this.#held.values()) this.#askAll(held)
  }

  /** Call when the state of the broker changes. */
  brokerState (state: BrokerState): void {
    if (!this.#port.link.broker.shared) return
    if (state === 'down') this.#postponed.down()
    // All nodes come back at the same time.
    else if (this.#postponed.up()) this.#port.alarms.in(Math.random() * spread, () => this.gap(null))
  }

  /** Runs `leave` now, or when the engine is up again and the others were asked. */
  whenOthersAreKnown (leave: () => void): void {
    this.#postponed.run(leave)
  }

  #askAll (held: Held | undefined): void {
    if (held !== undefined) for (const node of this.#others) this.#peers.ask(node, held.view.channel)
  }

  #check (): void {
    this.#checking = null
    if (this.#held.size === 0) return
    this.#checking = this.#port.alarms.in(checkInterval, () => this.#check())
    if (this.#port.link.state !== 'up') return
    const views = [...this.#held.values()].filter(({ ready }) => ready)
    for (const id of this.#others) {
      const known: Array<[string, number, number]> = []
      for (const { view, missing } of views) {
        const node = view.nodes.get(id)
        if (missing.has(id)) this.#peers.ask(id, view.channel)
        else known.push([view.channel, node?.version ?? 0, node?.users.size ?? 0])
      }
      // A node that does not answer is checked again next time.
      this.#peers.check(id, known).catch(() => {})
    }
  }
}
