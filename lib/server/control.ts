import type { RevokeFilter, ScCluster } from '../../types/server.js'
import type { ClusterStats } from '../../types/cluster.js'
import type { ScStats } from '../../types/stats.js'
import type { BrokerState } from '../../types/broker.js'
import { Cluster } from '../broker/cluster.js'
import type { BrokerLink } from '../broker/link.js'
import { scError, typeName } from '../errors.js'
import { supersedeAttempts } from '../socket/authentication.js'
import type { ServerSocket } from '../socket/socket.js'
import { type Revocations, matches } from './revocations.js'

/** What a node can be asked to do with its sockets. */
type Command =
  | { readonly do: 'revoke', readonly filter: RevokeFilter }
  | { readonly do: 'disconnect', readonly filter: RevokeFilter, readonly code: number, readonly reason: string | undefined }
  | { readonly do: 'kickOut', readonly filter: RevokeFilter, readonly channel: string, readonly message: string | undefined }

export interface ControlPort {
  readonly sockets: Iterable<ServerSocket>
  readonly revocations: Revocations
  stats (): ScStats
  warn (err: unknown): void
}

/** Commands about sockets, wherever in the cluster they are. Each returns how many sockets it concerned. */
export class Control implements ScCluster {
  readonly nodeId: string
  readonly #port: ControlPort
  readonly #cluster: Cluster<ScStats>

  constructor (link: BrokerLink, port: ControlPort) {
    this.#port = port
    this.nodeId = link.node.id
    this.#cluster = new Cluster<ScStats>(link, {
      nodeId: this.nodeId,
      onCommand: (command) => this.#run(command as Command),
      localStats: () => port.stats(),
      onWarning: (err) => port.warn(err)
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
    return this.#everywhere({ do: 'revoke', filter: readFilter(filter, true) })
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
    return answers.reduce((sum, { value }) => sum + (typeof value === 'number' ? value : 0), 0)
  }

  #run (command: Command): number {
    const { filter } = command
    if (command.do === 'revoke') this.#port.revocations.add(filter)
    let concerned = 0
    for (const socket of [...this.#port.sockets]) {
      if (!matches(filter, socket.id, socket.authToken)) continue
      if (command.do === 'revoke') {
        if (socket.authToken === null) {
          // It may be about to get one. Those of a user or an id are refused when they are decided.
          if (command.filter.user === undefined && command.filter.jti === undefined) supersedeAttempts(socket)
          continue
        }
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

  brokerState (state: BrokerState): void { this.#cluster.state(state) }
  handle (message: string, fromNode: string): void { this.#cluster.handle(message, fromNode) }
  stop (): void { this.#cluster.stop() }
}

/**
 * A copy of what an application gave.
 * @throws InvalidArgumentsError for anything but an object of texts, or, with `needsOne`, for one that means everybody
 */
function readFilter (given: RevokeFilter, needsOne: boolean): RevokeFilter {
  if (typeof given !== 'object' || given === null) throw scError('SC_ERR_FILTER', [typeName(given)])
  const filter: RevokeFilter = {}
  for (const field of ['user', 'jti', 'socketId'] as const) {
    const value = given[field]
    if (value === undefined) continue
    if (typeof value !== 'string') throw scError('SC_ERR_FILTER', [`${typeName(value)} as ${field}`])
    filter[field] = value
  }
  if (needsOne && Object.keys(filter).length === 0) throw scError('SC_ERR_FILTER', ['none of them'])
  return filter
}
