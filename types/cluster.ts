/** The answer of one node to a command. */
export interface NodeAnswer {
  /** The node's id. */
  readonly id: string
  /** The value that the node's `onCommand` returned. */
  readonly value?: unknown
  /** The message of the error that the node's `onCommand` threw. */
  readonly error?: string
}

/** The answers of all nodes to a command. */
export interface ClusterAnswers {
  /** The answers; this node's own is the first. */
  readonly answers: NodeAnswer[]
  /** Live nodes that did not answer in time. A node that died is listed until its lease ends. */
  readonly missing: string[]
}

/** The statistics of all nodes. */
export interface ClusterStats<Stats extends object> {
  /** The statistics of each node; this node is the first. */
  readonly nodes: Array<Stats & { readonly id: string }>
  /** The sums over all `nodes`. */
  readonly total: Stats
  /** Live nodes that did not answer in time. */
  readonly missing: string[]
}
