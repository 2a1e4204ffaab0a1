import { ifRejects } from '../promises.js'
import { asError } from '../untrusted.js'
import { isPiece, type Query } from './commands.js'
import type { Revocation } from './revocations.js'

/** What is needed of the cluster and of the revocations. */
export interface MissedRevocationsPort {
  query (nodeId: string, query: Query): Promise<unknown>
  /** @param life seconds that the longest token lives, if the node says so */
  learn (entries: readonly Revocation[], life: number | undefined): void
  failed (err: Error): void
}

/** Nodes that are asked: more than one, because one may have been away itself. */
const sources = 3
/** Nodes that may fail to answer before it is given up. */
const maxFailures = 6
/** Pieces that one node may send. */
const maxPieces = 1_000

/**
 * Learns of the revocations that this node missed, from a few other nodes: of all of them when it joins, and of those since
 * when it was cut off. Piece by piece, each when the one before is here.
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

  /** @param within milliseconds that may have been missed; all without */
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

  /** To be called when it is known, or known anew, which other nodes there are. */
  nodes (ids: readonly string[]): void {
    if (this.#wanted === 0) return
    // Not always the same ones.
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
