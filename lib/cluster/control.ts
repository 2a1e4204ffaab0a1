import type { ScAuthToken } from '../../types/auth.js'
import type { RevokeFilter, ScCluster } from '../../types/server.js'
import type { ClusterStats } from '../../types/cluster.js'
import type { ScStats } from '../../types/stats.js'
import type { BrokerState } from '../../types/broker.js'
import { Cluster } from './cluster.js'
import type { BrokerLink } from '../broker/link.js'
import { scError, typeName } from '../errors.js'
import { ifRejects } from '../promises.js'
import { CatchUp } from './catch-up.js'
import { type Command, type Filter, type Piece, isCommand, isQuery, maxPiece, maxText } from './commands.js'
import { type Revocation, type Revocations, claimText, matches } from './revocations.js'

/** Milliseconds that a lost connection may have gone unnoticed. */
const unnoticed = 120_000

/** What commands need of a socket. */
export interface CommandedSocket {
  readonly id: string
  readonly authToken: ScAuthToken | null
  deauthenticate (): void
  disconnect (code?: number, reason?: string): void
  isSubscribed (channel: string): boolean
  kickOut (channel: string, message?: string): void
}

/** What commands need of the server. */
export interface ControlPort<Socket extends CommandedSocket = CommandedSocket> {
  readonly sockets: Iterable<Socket>
  readonly revocations: Revocations
  /** What is being decided about the socket's token does not count any more. */
  supersede (socket: Socket): void
  stats (): ScStats
  warn (err: unknown): void
}

/** Commands about sockets, wherever in the cluster they are. Each returns how many sockets it concerned. */
export class Control<Socket extends CommandedSocket = CommandedSocket> implements ScCluster {
  readonly nodeId: string
  readonly #port: ControlPort<Socket>
  readonly #cluster: Cluster<ScStats>
  readonly #catchUp: CatchUp
  /** When the engine was lost; `null` while it is there, or was never. */
  #lostAt: number | null = null
  #wasUp = false

  constructor (link: BrokerLink, port: ControlPort<Socket>) {
    this.#port = port
    this.nodeId = link.node.id
    this.#cluster = new Cluster<ScStats>(link, {
      nodeId: this.nodeId,
      onCommand: (command) => {
        if (!isCommand(command)) throw new Error('unknown command')
        return this.#run(command)
      },
      onQuery: (query) => this.#answer(query),
      onNodes: () => this.#catchUp.nodes(this.#others()),
      localStats: () => port.stats(),
      onWarning: (err) => port.warn(err)
    })
    this.#catchUp = new CatchUp({
      query: (id, query) => this.#cluster.query(id, query),
      learn: (entries, life) => {
        // Else those of tokens that live longer than any that came here would count as over.
        if (life !== undefined) port.revocations.outlive(life)
        this.#learn(entries)
      },
      failed: (err) => port.warn(scError('SC_ERR_CLUSTER', ['revocations', err.message], { cause: err }))
    })
  }

  get nodes (): string[] { return this.#cluster.nodes }

  async stats (): Promise<ClusterStats<ScStats>> {
    const stats = await this.#cluster.stats()
    const worst = (of: keyof ScStats['eventLoopDelay']): number => Math.max(...stats.nodes.map(({ eventLoopDelay }) => eventLoopDelay[of]))
    // Not a sum: what the slowest process has.
    stats.total.eventLoopDelay = { mean: worst('mean'), p99: worst('p99'), max: worst('max') }
    return stats
  }

  async revoke (filter: RevokeFilter): Promise<number> {
    const read = readFilter(filter, true)
    const at = this.#port.revocations.add(read)?.at
    return this.#everywhere({ do: 'revoke', filter: read, at })
  }

  async disconnect (filter: RevokeFilter, code: number, reason: string | undefined): Promise<number> {
    return this.#everywhere({ do: 'disconnect', filter: readFilter(filter, false), code, reason })
  }

  async kickOut (filter: RevokeFilter, channel: string, message: string | undefined): Promise<number> {
    return this.#everywhere({ do: 'kickOut', filter: readFilter(filter, false), channel, message })
  }

  async #everywhere (command: Command): Promise<number> {
    const { answers, missing } = await this.#cluster.broadcast(command)
    const failed = answers.filter(({ error }) => error !== undefined).map(({ id, error }) => `${id} (${error})`)
    if (missing.length + failed.length !== 0) this.#port.warn(scError('SC_ERR_CLUSTER', [command.do, [...missing, ...failed].join(', ')]))
    return answers.reduce((sum, { value }) => sum + (Number.isSafeInteger(value) && value as number > 0 ? value as number : 0), 0)
  }

  #run (command: Command): number {
    if (command.do === 'remember') return this.#learn(command.entries)
    const { filter } = command
    if (command.do === 'revoke') this.#remember(filter, command.at)
    let concerned = 0
    for (const socket of [...this.#port.sockets]) {
      // It may be about to get another token. What fits without a connection is remembered, and refused when it is decided.
      if (command.do === 'revoke' && filter.socketId === socket.id) this.#port.supersede(socket)
      if (!matches(filter, socket.id, socket.authToken)) continue
      if (command.do === 'revoke') {
        if (socket.authToken === null) continue
        socket.deauthenticate()
      } else if (command.do === 'disconnect') {
        socket.disconnect(command.code, command.reason)
      } else {
        if (!socket.isSubscribed(command.channel)) continue
        socket.kickOut(command.channel, command.message)
      }
      concerned++
    }
    return concerned
  }

  #remember ({ user, jti, socketId }: Filter, at: number | undefined): void {
    // Nodes of an earlier version do not say when.
    if (at === undefined) this.#port.revocations.add({ user, jti, socketId })
    else if (socketId === undefined) this.#port.revocations.merge({ user: claimText(user), jti: claimText(jti), at })
  }

  /** Revocations of other nodes: what they mean is done here too. @returns how many sockets they concerned */
  #learn (entries: readonly Revocation[]): number {
    const { revocations, sockets } = this.#port
    let news = false
    for (const entry of entries) {
      if (entry.user === undefined && entry.jti === undefined) continue
      news = revocations.merge(entry) || news
    }
    if (!news) return 0
    let concerned = 0
    for (const socket of [...sockets]) {
      if (socket.authToken === null || !revocations.has(socket.authToken)) continue
      socket.deauthenticate()
      concerned++
    }
    return concerned
  }

  #answer (query: unknown): Piece {
    if (!isQuery(query)) throw new Error('unknown query')
    const { after, within } = query.revocations
    const { revocations } = this.#port
    return { ...revocations.piece(after, maxPiece, within), life: revocations.longestLife }
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

  /** What was revoked here while nobody could be reached. */
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

/**
 * A copy of what an application gave; users and ids as text.
 * @throws InvalidArgumentsError for anything but an object of texts and numbers, or, with `needsOne`, for one that means everybody
 */
function readFilter (given: RevokeFilter, needsOne: boolean): Filter {
  if (typeof given !== 'object' || given === null) throw scError('SC_ERR_FILTER', [typeName(given)])
  const filter: Filter = {}
  for (const field of ['user', 'jti', 'socketId'] as const) {
    const value = given[field]
    if (value === undefined) continue
    const text = typeof value === 'number' && field !== 'socketId' ? String(value) : value
    if (typeof text !== 'string') throw scError('SC_ERR_FILTER', [`${typeName(value)} as ${field}`])
    if (text.length > maxText) throw scError('SC_ERR_FILTER', [`more than ${maxText} characters as ${field}`])
    filter[field] = text
  }
  if (needsOne && Object.keys(filter).length === 0) throw scError('SC_ERR_FILTER', ['none of them'])
  return filter
}
