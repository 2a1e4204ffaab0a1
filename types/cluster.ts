/** What one node answered. */
export interface NodeAnswer {
  /** The node's id. */
  readonly id: string
  /** What its `onCommand` returned. */
  readonly value?: unknown
  /** The message of the error it threw instead. */
  readonly error?: string
}

/** What the nodes answered to a command. */
export interface ClusterAnswers {
  /** The answers, this node's own first. */
  readonly answers: NodeAnswer[]
  /** Live nodes that did not answer in time. A node that died is listed until its lease is over. */
  readonly missing: string[]
}

/** The statistics of all nodes. */
export interface ClusterStats<Stats extends object> {
  /** What each node counts, this node first. */
  readonly nodes: Array<Stats & { readonly id: string }>
  /** The sums over `nodes`. */
  readonly total: Stats
  /** Live nodes that did not answer in time. */
  readonly missing: string[]
}
