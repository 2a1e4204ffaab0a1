import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { downError } from '../broker/errors.js'
import type { BrokerLink } from '../broker/link.js'
import { scError } from '../errors.js'

const querySchema = Type.Object({ occupancy: Type.String({ maxLength: 65_535 }) })
const queries = Compile(querySchema)

/** The part of the server that occupancy uses. */
export interface OccupancyPort {
  readonly link: Pick<BrokerLink, 'broker' | 'cause' | 'state'>
  readonly cluster: { readonly nodes: readonly string[], query (node: string, body: unknown): Promise<unknown> }
  /** The number of sockets of this process in a channel. */
  memberCount (channel: string): number
  warn (err: unknown): void
}

/** How many sockets are subscribed to a channel, at all nodes. Nothing is kept: the nodes are asked each time. */
export class Occupancy {
  readonly #port: OccupancyPort

  constructor (port: OccupancyPort) {
    this.#port = port
  }

  /** Counts the sockets. Nodes that do not answer are left out, with a warning. Rejects with a BrokerError while the engine is down. */
  async count (channel: string): Promise<number> {
    const { cluster, link } = this.#port
    const own = this.#port.memberCount(channel)
    if (!link.broker.shared) return own
    if (link.state === 'down') throw downError(link.broker.name, link.cause)
    const missing: string[] = []
    const others = await Promise.all(cluster.nodes.slice(1).map(async (node) => {
      const answer = await cluster.query(node, { occupancy: channel }).catch(() => undefined)
      if (Number.isSafeInteger(answer) && answer as number >= 0) return answer as number
      missing.push(node)
      return 0
    }))
    if (missing.length !== 0) this.#port.warn(scError('SC_ERR_CLUSTER', ['occupancy', missing.join(', ')]))
    return others.reduce((sum, count) => sum + count, own)
  }

  /** Answers a question of another node; `undefined` if it is not one about occupancy. */
  answer (query: unknown): number | undefined {
    return queries.Check(query) ? this.#port.memberCount((query as Static<typeof querySchema>).occupancy) : undefined
  }
}
