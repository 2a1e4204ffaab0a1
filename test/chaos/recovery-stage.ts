import { setTimeout as sleep } from 'node:timers/promises'
import type { RemoteBrokerOptions } from '../../lib/broker/remote/options.js'
import { TcpProxy } from '../helpers/proxy.js'
import { startJetStream, startRedis, type TestServer } from '../helpers/servers.js'
import type { Served } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'
import { NodeProcess, type RestartedNode } from './node-process.js'
import { type Answer, RecoveringClient } from './recovery-client.js'
import { type NodeShape, serveNode, type Target } from './recovery-node.js'
import type { Cleanups } from './scenario.js'

/** What keeps the histories: Redis, or a stream of NATS in memory or in files. */
export type HistoryEngine = 'redis' | 'nats' | 'nats, files'

/** Starts an engine of histories; `null` when the machine has none. */
export function startHistoryEngine (name: HistoryEngine, cleanups: Cleanups): Promise<TestServer | null> {
  return name === 'redis' ? startRedis(cleanups) : startJetStream(cleanups)
}

/** What a recovery scenario plays on: nodes, one of which publishes, and clients of both generations in equal parts. */
export class RecoveryStage {
  readonly clients: RecoveringClient[] = []
  /** The fate of each message, by channel. */
  readonly answers = new Map<string, Answer[]>()
  #publisher: Served | null = null
  #isPaused = false
  #published = 0

  /** What the nodes in this process differ in. */
  shape: NodeShape = {}
  /** The signed token of each client. */
  token: (index: number) => string | undefined = () => undefined

  constructor (readonly name: HistoryEngine, readonly engine: TestServer, readonly cleanups: Cleanups, readonly channels: readonly string[], readonly options: RemoteBrokerOptions) {
    for (const channel of channels) this.answers.set(channel, [])
  }

  /** The number of messages in each channel. */
  get published (): number { return this.#published }

  /** The number of messages that were accepted, over all channels. */
  get accepted (): number {
    return [...this.answers.values()].flat().filter((answer) => answer === 'acked').length
  }

  /** Where NATS keeps the histories. */
  get storage (): 'memory' | 'file' {
    return this.name === 'nats, files' ? 'file' : 'memory'
  }

  /** The engine, or a proxy in front of it. */
  target (port = this.engine.port): Target {
    if (this.name === 'redis') return { redis: { url: `redis://127.0.0.1:${port}` } }
    return { nats: { servers: `127.0.0.1:${port}`, history: { maxBytes: 64 * 1024 * 1024, storage: this.storage } } }
  }

  async proxy (port: number): Promise<TcpProxy> {
    const proxy = await new TcpProxy(port).listen()
    this.cleanups.teardown(() => proxy.close())
    return proxy
  }

  /** Starts a node in this process. The first one publishes. */
  async node (target = this.target()): Promise<Served> {
    const node = await serveNode(this.cleanups, target, this.options, this.shape)
    this.#publisher ??= node
    return node
  }

  /** Starts a node that can be closed, in a process of its own or in this one. */
  restartable (own: boolean): Promise<RestartedNode> {
    return own ? this.process() : this.#inside()
  }

  /** Starts a node in a process of its own. */
  async process (): Promise<NodeProcess> {
    const node = await NodeProcess.start('recovery-node.ts', { target: this.target(), options: this.options })
    this.cleanups.teardown(() => node.kill())
    return node
  }

  /** Connects clients, half of them of each generation, to the ports in turn. */
  async connect (count: number, ports: readonly number[]): Promise<void> {
    for (let i = 0; i < count; i += 2) {
      const port = ports[(i / 2) % ports.length]!
      this.clients.push(...await Promise.all(([14, 20] as const).map((generation) => RecoveringClient.connect(this.cleanups, generation, port, this.channels, this.token(generation === 14 ? i : i + 1)))))
    }
  }

  /** Some quarters of the clients. Each has clients of all nodes and of both generations. */
  part (from: number, to: number): RecoveringClient[] {
    return this.clients.filter((_client, i) => i % 16 >= from * 4 && i % 16 < to * 4)
  }

  /** Publishes to all channels, as many messages a second, until there are enough in all, and enough after the fault was over. */
  async publishDuring (rate: number, messages: number, after: number, fault: Promise<void>): Promise<void> {
    const publishing = { until: Infinity, failed: false }
    const ended = fault.then(() => {
      publishing.until = Math.max(messages, this.#published + after)
    }, (err: unknown) => {
      publishing.failed = true
      throw err
    })
    // It is waited for at the end.
    ended.catch(() => {})
    let credit = 0
    for (let last = performance.now(); this.#published < publishing.until && !publishing.failed; await sleep(5)) {
      const now = performance.now()
      // A process that was held up does not publish everything at once.
      if (!this.#isPaused) credit = Math.min(credit + (now - last) / 1000 * rate, rate / 10)
      last = now
      for (; credit >= 1 && !this.#isPaused; credit--) this.#publish()
    }
    await ended
  }

  /** Settles when so many messages were published. */
  async until (published: number): Promise<void> {
    while (this.#published < published) await sleep(2)
  }

  /** Holds publishing up, and settles when all clients that are there have everything. */
  async pause (): Promise<void> {
    this.#isPaused = true
    await this.#answered()
    await this.arrived()
  }

  resume (): void {
    this.#isPaused = false
  }

  /** Publishes while publishing is held up. @returns when all clients that are there have everything */
  async publish (count: number): Promise<void> {
    for (let i = 0; i < count; i++) this.#publish()
    await this.#answered()
    await this.arrived()
  }

  /** Takes back that the last messages were accepted: the engine lost them. */
  lose (count: number): void {
    for (const answers of this.answers.values()) answers.fill('rejected', -count)
  }

  async down (...nodes: Served[]): Promise<void> {
    await until('the loss of the engine', () => nodes.every(({ sc }) => sc.stats().broker.state === 'down'))
  }

  async up (...nodes: Served[]): Promise<void> {
    await until('the engine to be back', () => nodes.every(({ sc }) => sc.stats().broker.state === 'up'))
  }

  /** Settles when the last accepted message is where it belongs, or when waiting has no sense any more. */
  async arrived (): Promise<void> {
    await this.#answered()
    const last = Math.max(...[...this.answers.values()].map((answers) => answers.lastIndexOf('acked')))
    await until(() => `the last message, ${last}`, () => this.clients.every((client) => client.isAway || client.hasReached(last))).catch(() => {})
  }

  async #inside (): Promise<RestartedNode> {
    const { app, port } = await this.node()
    return { port, close: () => app.close() }
  }

  async #answered (): Promise<void> {
    await until('an answer to each publish', () => [...this.answers.values()].every((answers) => !answers.includes('unanswered')))
  }

  #publish (): void {
    const n = this.#published++
    for (const channel of this.channels) {
      const answers = this.answers.get(channel)!
      answers.push('unanswered')
      this.#publisher!.sc.exchange.publish(channel, n).then(() => { answers[n] = 'acked' }, (err: Error) => {
        if (err.name !== 'BrokerError') throw err
        answers[n] = 'rejected'
      })
    }
  }
}
