import type { BrokerState } from '../../types/broker.js'
import type { ClusterAnswers, ClusterStats, NodeAnswer } from '../../types/cluster.js'
import { type ClusterMessage, conformCounts, longestInterval, maxErrorLength, maxNodes, readClusterMessage, shortestInterval } from './messages.js'
import { idPattern } from '../broker/remote/frames.js'
import type { BrokerLink } from '../broker/link.js'

/** What a cluster needs of the server above it. Times are milliseconds. */
export interface ClusterOptions<Stats extends object> {
  readonly nodeId: string
  /** Runs a command on this node, whoever sent it. What it returns or throws is the node's answer; must be JSON. */
  onCommand (command: unknown, fromNode: string): unknown
  /** What this node counts; numbers, also nested, are summed by `stats()`. */
  localStats (): Stats
  /** Answers a question that another node asks this one. What it returns must be JSON. */
  onQuery? (body: unknown, fromNode: string): unknown
  /** Called when a node is heard of for the first time, and when it said goodbye or its lease is over. */
  onNodes? (nodes: readonly string[]): void
  /** Called for messages that cannot be read and for heartbeats that cannot be sent. */
  onWarning? (err: Error): void
  /** Time between heartbeats, at least; nodes of large clusters beat more slowly. @default 2000 */
  readonly heartbeatInterval?: number
  /** How long a live node may take to answer; then it is `missing`. @default 2000 */
  readonly answerTimeout?: number
}

/**
 * Milliseconds of the heartbeat interval for each node. All nodes hear all heartbeats, so at a fixed interval their number would
 * grow with the square of the nodes: this way a node hears at most 25 a second.
 */
const intervalPerNode = 40

/** A node that was not heard of for so many intervals is dead. */
const leaseIntervals = 3.5

/** A node that left so many questions in a row unanswered is not waited for any more, until it answers one. */
const patienceInQuestions = 2

/** Warnings of messages that cannot be read, a second. */
const warningsPerSecond = 10

/** Another node. */
interface Node {
  /** When it was last heard of. */
  heard: number
  /** How long it may be silent. */
  interval: number
  /** Questions in a row that it left unanswered. */
  unanswered: number
}

/** A question that some nodes have not answered. */
interface Question {
  readonly waiting: Set<string>
  readonly answers: NodeAnswer[]
  readonly timer: NodeJS.Timeout
  readonly done: () => void
}

/**
 * The nodes that share a broker, as one of them knows them: who is alive, by heartbeats and leases, and questions to all
 * of them. With a broker inside the process there is one node, and no timer.
 */
export class Cluster<Stats extends object = Record<string, unknown>> {
  readonly #link: BrokerLink
  readonly #options: ClusterOptions<Stats>
  readonly #heartbeatInterval: number
  readonly #answerTimeout: number
  readonly #nodes = new Map<string, Node>()
  readonly #questions = new Map<number, Question>()
  #nextQuestion = 1
  #heart: NodeJS.Timeout | null = null
  #lastBeat = 0
  /** The interval under way. */
  #armed: number
  #stopped = false
  #warnedAt = 0
  #warnings = 0

  constructor (link: BrokerLink, options: ClusterOptions<Stats>) {
    this.#link = link
    this.#options = options
    this.#heartbeatInterval = options.heartbeatInterval ?? 2000
    this.#answerTimeout = options.answerTimeout ?? 2000
    this.#armed = this.#heartbeatInterval
  }

  /** The ids of all live nodes, this one first. */
  get nodes (): string[] {
    return [this.#options.nodeId, ...this.#nodes.keys()]
  }

  get #interval (): number {
    return Math.max(this.#heartbeatInterval, (this.#nodes.size + 1) * intervalPerNode)
  }

  /** To be called when the link's state changed. Announces this node when the engine is up. */
  state (state: BrokerState): void {
    if (!this.#link.broker.shared || this.#stopped) return
    if (state === 'up') {
      this.#announce()
      if (this.#heart === null) this.#scheduleBeat()
      return
    }
    // Nobody's answer can come any more.
    for (const question of [...this.#questions.values()]) question.done()
  }

  /** To be called with each control message of the link. */
  handle (text: string, fromNode: string): void {
    if (this.#stopped) return
    const message = idPattern.test(fromNode) ? readClusterMessage(text) : null
    if (message === null) {
      this.#warn(() => `unreadable control message of node ${fromNode.slice(0, 64)}`)
      return
    }
    if (message.t === 'bye') {
      this.#forget([fromNode])
      return
    }
    const known = this.#nodes.get(fromNode)
    const isNew = known === undefined
    // Their number shrinks at once, their timers later: each says itself how long it will be silent.
    const every = message.t === 'beat' && message.every !== undefined ? message.every : known?.interval ?? this.#interval
    const interval = Math.min(Math.max(every, shortestInterval), longestInterval)
    if (known !== undefined) {
      known.heard = performance.now()
      known.interval = interval
    } else if (this.#nodes.size < maxNodes) {
      this.#nodes.set(fromNode, { heard: performance.now(), interval, unanswered: 0 })
    } else {
      this.#warn(() => `more than ${maxNodes} other nodes: ${fromNode} is left out`)
      return
    }
    if (isNew) this.#options.onNodes?.(this.nodes)
    // Who is new has not heard of this node either.
    if (isNew || message.t === 'hello') this.#say({ t: 'beat', every: this.#armed }, fromNode)
    if (message.t === 'ask') this.#answer(message, fromNode)
    else if (message.t === 'answer') this.#answered(message, fromNode)
  }

  /**
   * Runs a command on every live node, this one first and at once. Rejects with a `BrokerError` when there are, or may be,
   * other nodes and the engine is down; this node has run it then.
   */
  async broadcast (command: unknown): Promise<ClusterAnswers> {
    const own = this.#run(() => this.#options.onCommand(command, this.#options.nodeId))
    const others = this.#ask('command', command)
    const { answers, missing } = await others
    return { answers: [{ id: this.#options.nodeId, ...await own }, ...answers], missing }
  }

  /** What every live node counts, and the sums. While the engine is down, the other nodes are `missing`. */
  async stats (): Promise<ClusterStats<Stats>> {
    const own = { id: this.#options.nodeId, ...this.#options.localStats() }
    const { answers, missing } = await this.#ask('stats').catch(() => ({ answers: [], missing: [...this.#nodes.keys()] }))
    const { id: _ownId, ...shape } = own
    const nodes = [own, ...answers.filter(({ value }) => typeof value === 'object' && value !== null).map(({ id, value }) => ({ ...conformCounts(value, shape as unknown as Stats), id }))]
    const total = {} as Record<string, unknown>
    for (const { id: _id, ...counts } of nodes) addCounts(total, counts)
    return { nodes, total: total as Stats, missing: [...missing, ...answers.filter(({ error }) => error !== undefined).map(({ id }) => id)] }
  }

  /** Asks one node; rejects when it fails, is unknown, or does not answer in time. */
  async query (nodeId: string, body: unknown): Promise<unknown> {
    if (!this.#nodes.has(nodeId)) throw new Error(`node ${nodeId} is not known`)
    const { answers: [answer] } = await this.#ask('query', body, nodeId)
    if (answer?.id !== nodeId) throw new Error(`node ${nodeId} did not answer`)
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer.value
  }

  /** Says goodbye. No timer is left; questions without an answer settle. To be called before the link is stopped. */
  stop (): void {
    if (this.#stopped) return
    if (this.#heart !== null) {
      clearTimeout(this.#heart)
      this.#say({ t: 'bye' })
    }
    this.#stopped = true
    for (const question of [...this.#questions.values()]) question.done()
    this.#nodes.clear()
  }

  #announce (): void {
    if (this.#nodes.size === 0) {
      this.#say({ t: 'hello' })
      return
    }
    // Nobody could be heard while the engine was down. All nodes come back at once, so they do not answer each other.
    const now = performance.now()
    for (const node of this.#nodes.values()) node.heard = now
    this.#say({ t: 'beat', every: this.#armed })
  }

  #scheduleBeat (): void {
    this.#lastBeat = performance.now()
    const interval = this.#armed = this.#interval
    this.#heart = setTimeout(() => this.#beat(interval), interval)
    this.#heart.unref()
  }

  #beat (interval: number): void {
    const now = performance.now()
    // When this process was busy, the heartbeats of others may still be waiting to be read.
    const late = now - this.#lastBeat > interval * 2
    this.#scheduleBeat()
    if (this.#link.state === 'down') return
    this.#say({ t: 'beat', every: this.#armed })
    if (late) return
    const dead: string[] = []
    for (const [id, { heard, interval }] of this.#nodes) if (now - heard > interval * leaseIntervals) dead.push(id)
    this.#forget(dead)
  }

  #forget (ids: string[]): void {
    const gone = ids.filter((id) => this.#nodes.delete(id))
    if (gone.length === 0) return
    for (const question of [...this.#questions.values()]) {
      for (const id of gone) question.waiting.delete(id)
      if (question.waiting.size === 0) question.done()
    }
    this.#options.onNodes?.(this.nodes)
  }

  /** A flood of messages is no flood of warnings. */
  #warn (text: () => string): void {
    const now = performance.now()
    if (now - this.#warnedAt > 1_000) {
      this.#warnedAt = now
      this.#warnings = 0
    }
    if (++this.#warnings <= warningsPerSecond) this.#options.onWarning?.(new Error(text()))
  }

  #say (message: ClusterMessage, toNode?: string): void {
    Promise.resolve(this.#link.control(JSON.stringify(message), toNode)).catch((err: Error) => {
      // While the engine is down nobody expects to hear of this node.
      if (!this.#stopped && this.#link.state === 'up') this.#options.onWarning?.(err)
    })
  }

  /** @param toNode the only node to ask; all of them without */
  async #ask (kind: 'command' | 'stats' | 'query', body?: unknown, toNode?: string): Promise<ClusterAnswers> {
    if (!this.#link.broker.shared) return { answers: [], missing: [] }
    const id = this.#nextQuestion++
    const asked = toNode === undefined ? [...this.#nodes.keys()] : [toNode]
    const waiting = new Set(asked)
    // Who never answers is asked, but nobody is kept waiting for it.
    const mute = toNode !== undefined ? [] : asked.filter((node) => this.#nodes.get(node)!.unanswered >= patienceInQuestions)
    for (const node of mute) waiting.delete(node)
    const answers: NodeAnswer[] = []
    const settled = new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#questions.delete(id)
        resolve()
      }
      const timer = setTimeout(done, this.#answerTimeout)
      this.#questions.set(id, { waiting, answers, timer, done })
    })
    try {
      await this.#link.control(JSON.stringify({ t: 'ask', id, kind, body } satisfies ClusterMessage), toNode)
    } catch (err) {
      this.#questions.get(id)?.done()
      throw err
    }
    if (waiting.size === 0) this.#questions.get(id)?.done()
    await settled
    const silent = [...waiting, ...mute.filter((node) => this.#nodes.has(node) && !answers.some((answer) => answer.id === node))]
    for (const node of silent) {
      const known = this.#nodes.get(node)
      // While the engine is down nobody can answer.
      if (known !== undefined && this.#link.state === 'up') known.unanswered++
    }
    return { answers, missing: silent }
  }

  async #answer (question: ClusterMessage & { t: 'ask' }, fromNode: string): Promise<void> {
    const { id, kind, body } = question
    const result = await this.#run(() => {
      switch (kind) {
        case 'stats': return this.#options.localStats()
        case 'query': return this.#options.onQuery?.(body, fromNode)
        case 'command': return this.#options.onCommand(body, fromNode)
      }
    })
    if (!this.#stopped) this.#say({ t: 'answer', id, ...result }, fromNode)
  }

  #answered ({ id, value, error }: ClusterMessage & { t: 'answer' }, fromNode: string): void {
    const node = this.#nodes.get(fromNode)
    if (node !== undefined) node.unanswered = 0
    const question = this.#questions.get(id)
    // Also a node that nobody had heard of when it was asked.
    if (question === undefined || question.answers.some((answer) => answer.id === fromNode)) return
    question.waiting.delete(fromNode)
    question.answers.push(error === undefined ? { id: fromNode, value } : { id: fromNode, error: error.slice(0, maxErrorLength) })
    if (question.waiting.size === 0) question.done()
  }

  /** Starts at once, so that a command that does all its work in one go is done when `broadcast` returns. */
  #run (work: () => unknown): Promise<{ value?: unknown, error?: string }> {
    const failed = (err: unknown): { error: string } => ({ error: err instanceof Error ? err.message : String(err) })
    try {
      return Promise.resolve(work()).then((value) => ({ value }), failed)
    } catch (err) {
      return Promise.resolve(failed(err))
    }
  }
}

/** Adds the numbers of `counts` to those of `total`, also in objects inside. */
function addCounts (total: Record<string, unknown>, counts: object): void {
  for (const [name, value] of Object.entries(counts)) {
    const before = Object.hasOwn(total, name) ? total[name] : undefined
    if (typeof value === 'number') total[name] = (typeof before === 'number' ? before : 0) + value
    else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      const inner = (typeof before === 'object' && before !== null ? before : {}) as Record<string, unknown>
      addCounts(inner, value)
      total[name] = inner
    }
  }
}
