import type { RevokeFilter, ScCluster } from '../../types/server.js'
import type { ClusterStats, ScChannelQuery, ScCommandResult, ScListedChannel, ScListedNode, ScListedSocket, ScOnceOptions, ScPage, ScPageQuery, ScSocketQuery } from '../../types/cluster.js'
import type { ScStats } from '../../types/stats.js'
import type { BrokerState } from '../../types/broker.js'
import type { BrokerLink } from '../broker/link.js'
import { checkText } from '../arguments.js'
import { scError } from '../errors.js'
import { handled, ifRejects } from '../promises.js'
import { isSendableCloseCode } from '../protocol/close-codes.js'
import { MissedRevocations } from './missed-revocations.js'
import { Cluster } from './cluster.js'
import { type Command, type Piece, isCommand, isQuery, maxPiece } from './commands.js'
import { readFilter } from './filter.js'
import { type ListedNode, Listing } from './listing.js'
import { Once } from './once.js'
import type { Revocations } from './revocations.js'
import type { CommandedSocket, SocketCommands } from './socket-commands.js'

/** Milliseconds that the loss of a connection may go unnoticed. */
const unnoticed = 120_000

/** The part of the server that `Control` uses. */
export interface ControlPort {
  /** Runs commands on this node. */
  readonly commands: Pick<SocketCommands<CommandedSocket>, 'run' | 'learn'>
  readonly revocations: Revocations
  /** What is listed of this node. */
  readonly listed: ListedNode
  stats (): ScStats
  /** Answers questions of other nodes that are not about revocations. `undefined` stands for an unknown question. */
  answer? (query: unknown): unknown
  /** Called when the live nodes changed. */
  nodes? (): void
  /** Called when a node is gone, before `nodes`. @param silence milliseconds since its last message */
  gone? (node: string, silence: number): void
  warn (err: unknown): void
}

/** Commands about sockets on any node of the cluster. Each returns how many sockets it affected. */
export class Control implements ScCluster {
  readonly nodeId: string
  readonly #port: ControlPort
  readonly #cluster: Cluster<ScStats>
  readonly #catchUp: MissedRevocations
  readonly #listing: Listing
  readonly #once: Once
  /** When the engine went down; `null` while it is up, and before it first came up. */
  #lostAt: number | null = null
  #wasUp = false

  constructor (link: BrokerLink, port: ControlPort) {
    this.#port = port
    this.nodeId = link.node.id
    this.#cluster = new Cluster<ScStats>(link, {
      nodeId: this.nodeId,
      onCommand: (command) => {
        if (!isCommand(command)) throw new Error('unknown command')
        return port.commands.run(command)
      },
      onQuery: (query) => this.#answer(query),
      onNodes: () => {
        this.#catchUp.nodes(this.#others())
        port.nodes?.()
      },
      onGone: (node, silence) => port.gone?.(node, silence),
      localStats: () => port.stats(),
      onWarning: (err) => port.warn(err)
    })
    const cluster = this.#cluster
    this.#once = new Once({ link, warn: (err) => port.warn(err) })
    this.#listing = new Listing(port.listed, { nodeId: this.nodeId, queryAll: (body) => cluster.queryAll(body) })
    this.#catchUp = new MissedRevocations({
      query: (id, query) => this.#cluster.query(id, query),
      learn: (entries, life) => {
        // First, so that revocations of that node's longest tokens do not count as over here.
        if (life !== undefined) port.revocations.outlive(life)
        port.commands.learn(entries)
      },
      failed: (err) => port.warn(scError('SC_ERR_CLUSTER', ['revocations', err.message], { cause: err }))
    })
  }

  get nodes (): string[] { return this.#cluster.nodes }

  async stats (): Promise<ClusterStats<ScStats>> {
    const stats = await this.#cluster.stats()
    const worst = (of: keyof ScStats['eventLoopDelay']): number => Math.max(...stats.nodes.map(({ eventLoopDelay }) => eventLoopDelay[of]))
    // The worst value of all processes, not a sum.
    stats.total.eventLoopDelay = { mean: worst('mean'), p99: worst('p99'), max: worst('max') }
    return stats
  }

  listSockets (query?: ScSocketQuery): Promise<ScPage<ScListedSocket>> { return handled(this.#listing.sockets(query)) }
  listChannels (query?: ScChannelQuery): Promise<ScPage<ScListedChannel>> { return handled(this.#listing.channels(query)) }
  listNodes (query?: ScPageQuery): Promise<ScPage<ScListedNode>> { return handled(this.#listing.nodes(query)) }

  runOnce<Result> (key: string, work: () => Result | Promise<Result>, options?: ScOnceOptions): Promise<Result> {
    return handled(this.#once.run(key, work, options))
  }

  revoke (filter: RevokeFilter): Promise<ScCommandResult> { return handled(this.#revoke(filter)) }
  disconnectSockets (filter: RevokeFilter, code?: number, reason?: string): Promise<ScCommandResult> { return handled(this.#disconnectSockets(filter, code, reason)) }
  kickOut (filter: RevokeFilter, channel: string, message?: string): Promise<ScCommandResult> { return handled(this.#kickOut(filter, channel, message)) }

  async #revoke (filter: RevokeFilter): Promise<ScCommandResult> {
    const read = readFilter(filter, true)
    const at = this.#port.revocations.add(read)?.at
    return this.#everywhere({ do: 'revoke', filter: read, at })
  }

  async #disconnectSockets (filter: RevokeFilter, code: number = 1000, reason: string | undefined): Promise<ScCommandResult> {
    if (!isSendableCloseCode(code)) throw scError('SC_ERR_CLOSE_CODE', [code])
    if (reason !== undefined) checkText('disconnectSockets', 'reason', reason)
    return this.#everywhere({ do: 'disconnect', filter: readFilter(filter, false), code, reason })
  }

  async #kickOut (filter: RevokeFilter, channel: string, message: string | undefined): Promise<ScCommandResult> {
    checkText('kickOut', 'channel', channel)
    if (message !== undefined) checkText('kickOut', 'message', message)
    return this.#everywhere({ do: 'kickOut', filter: readFilter(filter, false), channel, message })
  }

  async #everywhere (command: Command): Promise<ScCommandResult> {
    const { answers, missing } = await this.#cluster.broadcast(command)
    const failed = answers.filter(({ error }) => error !== undefined)
    if (missing.length + failed.length !== 0) this.#port.warn(scError('SC_ERR_CLUSTER', [command.do, [...missing, ...failed.map(({ id, error }) => `${id} (${error})`)].join(', ')]))
    const sockets = answers.reduce((sum, { value }) => sum + (Number.isSafeInteger(value) && value as number > 0 ? value as number : 0), 0)
    return { sockets, missing: [...missing, ...failed.map(({ id }) => id)] }
  }

  /** Asks one node a question. Rejects when it is unknown, fails, or does not answer in time. */
  query (node: string, body: unknown): Promise<unknown> {
    return this.#cluster.query(node, body)
  }

  #answer (query: unknown): unknown {
    if (!isQuery(query)) {
      const answer = this.#listing.answer(query) ?? this.#port.answer?.(query)
      if (answer === undefined) throw new Error('unknown query')
      return answer
    }
    const { after, within } = query.revocations
    const { revocations } = this.#port
    const piece: Piece = { ...revocations.piece(after, maxPiece, within), life: revocations.longestLife }
    return piece
  }

  #others (): string[] {
    return this.#cluster.nodes.slice(1)
  }

  brokerState (state: BrokerState): void {
    if (state === 'down') {
      this.#lostAt ??= performance.now()
      this.#catchUp.stop()
      this.#cluster.state(state)
      return
    }
    const missed = this.#lostAt === null ? undefined : performance.now() - this.#lostAt
    this.#lostAt = null
    this.#catchUp.begin(missed === undefined || !this.#wasUp ? undefined : missed + unnoticed)
    this.#cluster.state(state)
    this.#catchUp.nodes(this.#others())
    if (this.#wasUp && missed !== undefined) ifRejects(this.#tell(missed), (err) => this.#port.warn(err))
    this.#wasUp = true
  }

  /** Sends the revocations made on this node while the other nodes could not be reached. */
  async #tell (missed: number): Promise<void> {
    let after = 0
    for (;;) {
      const { entries, next } = this.#port.revocations.piece(after, maxPiece, missed + unnoticed)
      if (entries.length !== 0) await this.#everywhere({ do: 'remember', entries })
      if (next === null) return
      after = next
    }
  }

  handle (message: string, fromNode: string): void { this.#cluster.handle(message, fromNode) }

  stop (): void {
    this.#catchUp.stop()
    this.#cluster.stop()
  }
}
