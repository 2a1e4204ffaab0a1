import { Presence, type PresentSession } from '../../lib/presence/presence.js'
import { SharedMessage } from '../../lib/transport/shared-message.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'

/** Milliseconds that a message between nodes takes. */
const latency = 5
/** Milliseconds after which the others know that a node is dead. */
export const lease = 7_000
export const leaveDelay = 20_000
export const interval = 100

const channel = 'room'
const companion = 'room#presence'

/** A subscription of a user, with what a socket tells presence about itself. */
class Tab implements PresentSession {
  readonly socket: ScServerSocket
  readonly subscriptions = { names: [channel], has: () => true, isWithheld: () => false }

  constructor (readonly user: string, readonly data: number) {
    this.socket = { authToken: { sub: user }, data } as unknown as ScServerSocket
  }
}

/** What a client knows that follows the messages of a node. */
class Follower {
  readonly users = new Map<string, unknown>()
  readonly leaves: string[] = []
  joins = 0
  readonly mistakes: string[] = []
  started = false
  #version = -1

  take (text: string): void {
    const message = JSON.parse(text)
    if (message.type === 'state') {
      this.users.clear()
      for (const { key, data } of message.members) this.users.set(key, data)
    } else {
      if (message.v !== this.#version + 1) this.mistakes.push(`version ${message.v} follows ${this.#version}`)
      for (const { key, data } of message.joins) {
        this.joins++
        if (this.users.has(key)) this.mistakes.push(`${key} joined twice`)
        this.users.set(key, data)
      }
      for (const { key, data } of message.updates) {
        if (!this.users.has(key)) this.mistakes.push(`${key} was updated and is not there`)
        this.users.set(key, data)
      }
      for (const key of message.leaves) {
        if (!this.users.delete(key)) this.mistakes.push(`${key} left and was not there`)
        this.leaves.push(key)
      }
    }
    if (message.total !== this.users.size) this.mistakes.push(`total ${message.total} of ${this.users.size}`)
    this.#version = message.v
  }
}

/** A node with a presence of its own. */
class SimulatedNode {
  readonly presence: Presence<Tab>
  readonly tabs: Tab[] = []
  readonly topics = new Set<string>()
  readonly known: string[]
  follower: Follower | null = null
  alive = true

  constructor (readonly id: string, readonly network: Network, route: ResolvedChannel) {
    this.known = [id, ...network.living.map((node) => node.id)]
    const node = (): SimulatedNode => this
    this.presence = new Presence<Tab>({
      link: {
        broker: { shared: true },
        get state () { return network.state },
        node: { id },
        hold: (topic) => {
          if (network.state === 'down') return Promise.reject(new Error('down'))
          this.topics.add(topic)
        },
        release: (topic) => { this.topics.delete(topic) },
        publish: (topic, text) => network.publish(this, topic, text)
      },
      cluster: {
        get nodes () { return node().known },
        query: (to, body) => network.query(this, to, body)
      },
      codec: JSON as never,
      resolve: () => route,
      encode: (_name, json) => new SharedMessage(json),
      send: (_name, json) => { if (this.follower?.started === true) this.follower.take(json) },
      deliver: (_session, _name, message) => {
        this.follower!.started = true
        this.follower!.take(String(message.data))
      },
      isObserved: () => false,
      tell () {},
      warn: (err) => { throw err }
    })
  }

  /** A client begins to look who is there. */
  async watch (route: ResolvedChannel): Promise<void> {
    if (this.follower !== null) return
    const follower = this.follower = new Follower()
    try {
      await this.presence.hold(companion)
    } catch {
      if (this.follower === follower) this.follower = null
      return
    }
    if (!this.alive || this.follower !== follower) return
    this.presence.subscribed(new Tab('', 0), companion, route)
  }

  unwatch (): void {
    if (this.follower?.started !== true) return
    this.follower = null
    this.presence.release(companion)
  }

  join (tab: Tab, route: ResolvedChannel): void {
    this.tabs.push(tab)
    this.presence.subscribed(tab, channel, route)
  }

  /** @param code of the close; null for an unsubscribe */
  leave (tab: Tab, code: number | null, route: ResolvedChannel): void {
    this.tabs.splice(this.tabs.indexOf(tab), 1)
    const left = (): void => { this.presence.left(tab, channel, route) }
    if (code === null) left()
    else this.presence.closed(tab, code, left)
  }
}

/** Nodes, and messages between them that may get lost. Each node's messages arrive in their order. */
export class Network {
  readonly nodes: SimulatedNode[] = []
  state: 'up' | 'down' = 'up'
  /** Returns whether the next message is lost. */
  loses: () => boolean = () => false
  #made = 0
  readonly #route: ResolvedChannel
  readonly #companion: ResolvedChannel

  constructor () {
    const presence = { key: null, data: ({ socket }: { socket: ScServerSocket }) => socket.data, update: false, members: 1_000, leaveDelay, interval }
    this.#route = { params: {}, route: { instance: undefined, presence, isCompanion: false } } as unknown as ResolvedChannel
    this.#companion = { params: {}, route: { presence: null, isCompanion: true } } as unknown as ResolvedChannel
  }

  get living (): SimulatedNode[] { return this.nodes.filter(({ alive }) => alive) }

  /** The users with sockets, each with the newest data. */
  get users (): string[] {
    return [...new Set(this.living.flatMap(({ tabs }) => tabs.map(({ user }) => user)))].sort()
  }

  start (): void {
    const node = new SimulatedNode(`n${++this.#made}`, this, this.#route)
    for (const other of this.living) {
      other.known.push(node.id)
      other.presence.nodes()
    }
    this.nodes.push(node)
    node.presence.nodes()
  }

  /** A node's process is killed. */
  kill (node: SimulatedNode): void {
    node.alive = false
    node.presence.stop()
    const noticed = (): void => {
      // Nobody is declared dead while nobody can be heard.
      if (this.state === 'down') {
        setTimeout(noticed, lease)
        return
      }
      for (const other of this.living) {
        const at = other.known.indexOf(node.id)
        if (at === -1) continue
        other.known.splice(at, 1)
        other.presence.nodeGone(node.id, lease)
        other.presence.nodes()
      }
    }
    setTimeout(noticed, lease)
  }

  join (node: SimulatedNode, user: string, data: number): void { node.join(new Tab(user, data), this.#route) }
  leave (node: SimulatedNode, tab: Tab, code: number | null): void { node.leave(tab, code, this.#route) }
  watch (node: SimulatedNode): void { node.watch(this.#companion) }

  change (state: 'up' | 'down'): void {
    if (state === this.state) return
    this.state = state
    for (const { presence } of this.living) presence.brokerState(state)
  }

  publish (from: SimulatedNode, topic: string, text: string): void {
    if (this.state === 'down') return
    for (const node of this.living) {
      if (node !== from && this.loses()) continue
      setTimeout(() => { if (node.alive && this.state === 'up' && node.topics.has(topic)) node.presence.publication(topic, text) }, latency)
    }
  }

  query (from: SimulatedNode, to: string, body: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const lost = this.state === 'down' || this.loses()
      const node = this.nodes.find(({ id }) => id === to)!
      setTimeout(() => {
        if (lost || !node.alive || this.state === 'down') {
          setTimeout(() => reject(new Error('no answer')), 2_000)
          return
        }
        // The answer is what it is now, and arrives behind everything that was said before.
        const answer: unknown = JSON.parse(JSON.stringify(node.presence.answer(body) ?? null))
        setTimeout(() => { if (from.alive) resolve(answer) }, latency)
      }, latency)
    })
  }
}
