import { ifRejects } from '../promises.js'
import { asError } from '../untrusted.js'
import { isPiece, type Query } from './commands.js'
import type { Revocation } from './revocations.js'

/** The part of the cluster and of the revocations that this class uses. */
export interface MissedRevocationsPort {
  query (nodeId: string, query: Query): Promise<unknown>
  /** @param life lifetime in seconds of the longest token, if the node reports it */
  learn (entries: readonly Revocation[], life: number | undefined): void
  failed (err: Error): void
}

/** Number of nodes to ask. More than one, because a node may have missed revocations itself. */
const sources = 3
/** Number of failed answers after which no further node is asked. */
const maxFailures = 6
/** Maximum number of pieces from one node. */
const maxPieces = 1_000

/**
 * Fetches the revocations that this node missed from a few other nodes: all of them when the node joins, and after an outage
 * those made during the outage. Pieces are fetched one after the other.
 */
export class MissedRevocations {
  readonly #port: MissedRevocationsPort
  #wanted = 0
  #failures = 0
  #within: number | undefined
  #round = 0
  readonly #asked = new Set<string>()

  constructor (port: MissedRevocationsPort) {
    this.#port = port
  }

  /** @param within how far back to ask, in milliseconds; `undefined` for all revocations */
  begin (within: number | undefined): void {
    this.#round++
    this.#within = within
    this.#wanted = sources
    this.#failures = 0
    this.#asked.clear()
  }

  stop (): void {
    this.#round++
    this.#wanted = 0
  }

  /** Call with the ids of the other nodes, at first and whenever they change. */
  nodes (ids: readonly string[]): void {
    if (this.#wanted === 0) return
    // In random order, so that not always the same nodes are asked.
    const others = ids.filter((id) => !this.#asked.has(id)).sort(() => Math.random() - 0.5)
    for (const id of others) {
      if (this.#wanted === 0) return
      this.#wanted--
      this.#asked.add(id)
      ifRejects(this.#ask(id, this.#round), (err) => this.#failed(asError(err), ids))
    }
  }

  async #ask (id: string, round: number): Promise<void> {
    let after = 0
    for (let i = 0; i < maxPieces; i++) {
      const piece = await this.#port.query(id, { revocations: { after, within: this.#within } })
      if (round !== this.#round) return
      if (!isPiece(piece)) throw new Error(`node ${id} answered with something else than revocations`)
      this.#port.learn(piece.entries, piece.life)
      if (piece.next === null || piece.next <= after) return
      after = piece.next
    }
  }

  #failed (err: Error, ids: readonly string[]): void {
    if (++this.#failures > maxFailures) return
    this.#port.failed(err)
    this.#wanted++
    this.nodes(ids)
  }
}
