import { type Client, connect14, connect20 } from '../helpers/app.js'
import { TcpProxy } from '../helpers/proxy.js'
import type { Cleanup } from '../helpers/raw.js'
import type { Served } from '../helpers/serve.js'
import type { TestServer } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'
import { NodeProcess, type RestartedNode } from './node-process.js'
import { type PresenceNodeOptions, servePresence } from './presence-node.js'
import { Observer } from './presence-observer.js'
import type { Cleanups } from './scenario.js'

export const room = 'room/1'

/** How long clients wait before they come back, in milliseconds: at least, and at most so much more. */
export interface Back {
  readonly initialDelay: number
  readonly randomness: number
}

/** A tab of a user: a real client that comes back by itself. */
export class Tab {
  disconnects = 0

  private constructor (readonly user: string, readonly client: Client) {}

  static async open (t: Cleanup, generation: 14 | 20, port: number, user: string, back: Back): Promise<Tab> {
    const client = await (generation === 14 ? connect14 : connect20)(t, { port }, {
      query: { user },
      autoReconnect: true,
      autoReconnectOptions: { ...back, multiplier: 1, maxDelay: 60_000 }
    })
    const tab = new Tab(user, client)
    const { raw } = client
    if (generation === 14) raw.on('disconnect', () => { tab.disconnects++ })
    else follow(raw.listener('disconnect'), () => { tab.disconnects++ })
    raw.subscribe(room)
    return tab
  }

  get isThere (): boolean {
    return this.client.state === 'open' && this.client.isSubscribed(room)
  }

  /** Loses the connection. @param isBack whether it comes back, and to which port if not to the same */
  cut (isBack: boolean, port?: number): void {
    const { options, transport } = this.client.raw
    options.autoReconnect = isBack
    options.port = port ?? options.port
    transport?.socket.terminate()
  }
}

/** What a presence scenario plays on: nodes of which some observe, and users. */
export class PresenceStage {
  /** The nodes of this process, which live to the end. */
  readonly nodes: Served[] = []
  /** The nodes and clients that are told the whole time. */
  readonly observers: Observer[] = []
  /** Clients whose own connections end; they begin anew. */
  readonly moving: Observer[] = []
  readonly tabs: Tab[] = []
  /** What each observer is to be told from the fault on. */
  readonly expected = { joins: new Set<string>(), leaves: new Set<string>() }
  /** Between which times leaves may be told. */
  leavesWithin: [from: number, to: number] = [0, Infinity]
  #opened = 0

  constructor (readonly engine: TestServer, readonly cleanups: Cleanups, readonly options: Omit<PresenceNodeOptions, 'port'>, readonly back: Back) {}

  async proxy (port: number): Promise<TcpProxy> {
    const proxy = await new TcpProxy(port).listen()
    this.cleanups.teardown(() => proxy.close())
    return proxy
  }

  /** Starts a node in this process, which observes, with a client of each generation that looks. */
  async observingNode (port = this.engine.port): Promise<Served> {
    const node = await servePresence(this.cleanups, { ...this.options, port })
    const number = this.nodes.push(node)
    this.observers.push(await Observer.ofNode(node, `node ${number}`, room))
    for (const generation of [14, 20] as const) this.observers.push(await this.#looking(generation, node.port, `client ${generation} of node ${number}`))
    return node
  }

  /** Starts a node in a process of its own. */
  async process (): Promise<NodeProcess> {
    const node = await NodeProcess.start('presence-node.ts', { ...this.options, port: this.engine.port })
    this.cleanups.teardown(() => node.kill())
    return node
  }

  /** Starts a node that can be closed, in a process of its own or in this one. */
  async restartable (own: boolean): Promise<RestartedNode> {
    if (own) return this.process()
    const { app, port } = await servePresence(this.cleanups, { ...this.options, port: this.engine.port })
    return { port, close: () => app.close() }
  }

  /** Connects clients that look who is there, and whose connections end in the scenario. */
  async look (port: number): Promise<void> {
    for (const generation of [14, 20] as const) this.moving.push(await this.#looking(generation, port, `moving client ${generation}`))
  }

  /** Opens tabs of users, half of them of each generation. */
  async enter (port: number, users: readonly string[]): Promise<Tab[]> {
    const entered: Tab[] = []
    for (let i = 0; i < users.length; i += 50) {
      entered.push(...await Promise.all(users.slice(i, i + 50).map((user) => Tab.open(this.cleanups, this.#opened++ % 2 === 0 ? 14 : 20, port, user, this.back))))
    }
    this.tabs.push(...entered)
    return entered
  }

  /** Settles when so many nodes know each other. */
  async know (count: number): Promise<void> {
    for (const { sc } of this.nodes) await until(`${count} nodes`, () => sc.cluster.nodes.length === count)
  }

  /** The users with an open tab. */
  get users (): Set<string> {
    return new Set(this.tabs.filter(({ isThere }) => isThere).map(({ user }) => user))
  }

  /** Settles when all tabs are in the room, and when all who look know it. From then on it counts what they are told. */
  async begin (): Promise<void> {
    await this.there(this.tabs)
    const { size } = this.users
    await until('everybody to be seen', () => [...this.observers, ...this.moving].every(({ users }) => users.size === size))
    for (const observer of [...this.observers, ...this.moving]) observer.forget()
  }

  /** Settles when tabs are in the room. */
  async there (tabs: readonly Tab[]): Promise<void> {
    const { initialDelay, randomness } = this.back
    await until(() => `${tabs.filter(({ isThere }) => !isThere).length} tabs to be there`, () => tabs.every(({ isThere }) => isThere), initialDelay + randomness + 60_000)
  }

  async down (): Promise<void> {
    await until('the loss of the engine', () => this.nodes.every(({ sc }) => sc.brokerState === 'down'), 30_000)
  }

  async up (): Promise<void> {
    await until('the engine to be back', () => this.nodes.every(({ sc }) => sc.brokerState === 'up'))
  }

  /** Settles when all observers were told of the leaves, or when waiting has no sense any more. */
  async leavesTold (within: number): Promise<void> {
    const { leaves } = this.expected
    await until('the leaves', () => this.observers.every(({ users }) => [...leaves].every((key) => !users.has(key))), within).catch(() => {})
  }

  /** Settles behind everything that could still be told: a last user comes and is seen. */
  async end (): Promise<void> {
    const last = await this.enter(this.nodes[0]!.port, ['last'])
    this.expected.joins.add('last')
    await this.there(last)
    await until('the last user', () => [...this.observers, ...this.moving].every(({ users }) => users.has('last'))).catch(() => {})
  }

  async #looking (generation: 14 | 20, port: number, name: string): Promise<Observer> {
    const client = await (generation === 14 ? connect14 : connect20)(this.cleanups, { port }, {
      autoReconnect: true,
      autoReconnectOptions: { ...this.back, multiplier: 1, maxDelay: 60_000 }
    })
    return Observer.ofClient(client, name, room)
  }
}

async function follow (stream: AsyncIterable<unknown>, each: (event: unknown) => void): Promise<void> {
  for await (const event of stream) each(event)
}
