import type { BrokerState, MaybePromise } from '../../types/broker.js'
import type { ClusterAnswers, ClusterStats } from '../../types/cluster.js'
import type { BrokerLink } from '../broker/link.js'
import { frameFields, idPattern } from '../broker/remote/frames.js'
import { messageOf } from '../untrusted.js'
import { addCounts, conformCounts } from './counts.js'
import { maxNodes, Membership } from './membership.js'
import { type ClusterMessage, type QuestionKind, readClusterMessage } from './messages.js'
import { Questions } from './questions.js'

/** The part of the server that the cluster uses. Times are in milliseconds. */
export interface ClusterOptions<Stats extends object> {
  readonly nodeId: string
  /** Runs a command of any node on this node. The returned value, or the thrown error, is this node's answer. Must be JSON. */
  onCommand (command: unknown, fromNode: string): unknown
  /** Returns the counters of this node. `stats()` adds up the numbers, also in nested objects. */
  localStats (): Stats
  /** Answers a question from another node, synchronously. The returned value must be JSON. */
  onQuery? (body: unknown, fromNode: string): unknown
  /** Called when a node is seen for the first time, and when a node says goodbye or its lease ends. */
  onNodes? (nodes: readonly string[]): void
  /** Called when a node says goodbye or its lease ends, before `onNodes`. `silence` is the time since its last message. */
  onGone? (node: string, silence: number): void
  /** Called for an unreadable message and for a heartbeat that could not be sent. */
  onWarning? (err: Error): void
  /** Minimum time between heartbeats; nodes of large clusters use a longer one. @default 2000 */
  readonly heartbeatInterval?: number
  /** Time a live node has to answer; after that it is listed as `missing`. @default 2000 */
  readonly answerTimeout?: number
}

/** Characters of answers that may wait for the engine's confirmation. Above it only commands are answered, which is short. */
const maxUnsent = 8 * 1024 * 1024

/** Maximum number of warnings about unreadable messages per second. */
const warningsPerSecond = 10

/**
 * The nodes that share a broker, as seen by one of them: tracks live nodes and asks them questions. With a broker inside the
 * process there is one node and no timer.
 */
export class Cluster<Stats extends object = Record<string, unknown>> {
  readonly #link: BrokerLink
  readonly #options: ClusterOptions<Stats>
  readonly #members: Membership
  readonly #questions: Questions
  #stopped = false
  /** Characters of answers that wait for the engine's confirmation. */
  #unsent = 0
  #warnedAt = 0
  #warnings = 0

  constructor (link: BrokerLink, options: ClusterOptions<Stats>) {
    this.#link = link
    this.#options = options
    const { heartbeatInterval = 2000, answerTimeout = 2000 } = options
    const members: Membership = this.#members = new Membership({ heartbeatInterval, fields: frameFields }, {
      say: (message, toNode) => this.#say(message, toNode),
      get reachable () { return link.state === 'up' },
      lost: (id, silence) => options.onGone?.(id, silence),
      changed: (gone) => {
        questions.forget(gone)
        options.onNodes?.(this.nodes)
      },
      full: (id) => this.#warn(() => `more than ${maxNodes} other nodes: ${id} is left out`)
    })
    const questions: Questions = this.#questions = new Questions(answerTimeout, {
      get ids () { return members.ids },
      send: (message, toNode) => this.#send(message, toNode),
      get reachable () { return link.state === 'up' }
    })
  }

  /** The ids of all live nodes, this node first. */
  get nodes (): string[] {
    return [this.#options.nodeId, ...this.#members.ids]
  }

  /** Whether all nodes support an optional field of frames. Messages may carry the field only then. */
  allRead (field: string): boolean {
    return this.#members.allRead(field)
  }

  /** Call when the state of the link changes. Announces this node when the engine is up. */
  state (state: BrokerState): void {
    if (!this.#link.broker.shared || this.#stopped) return
    if (state === 'up') this.#members.up()
    else this.#questions.giveUp()
  }

  /** Call with each control message of the link. */
  handle (text: string, fromNode: string): void {
    if (this.#stopped) return
    const message = idPattern.test(fromNode) ? readClusterMessage(text) : null
    if (message === null) {
      this.#warn(() => `unreadable control message of node ${fromNode.slice(0, 64)}`)
      return
    }
    const isMember = this.#members.heard(message, fromNode)
    // Commands run also for a node beyond the limit of members: a revocation must never be skipped.
    if (message.t === 'ask' && message.kind === 'command') this.#carryOut(message, fromNode)
    else if (isMember && message.t === 'ask') this.#answer(message, fromNode)
    else if (isMember && message.t === 'answer') this.#questions.answered(message, fromNode)
  }

  /**
   * Runs a command on every live node, on this one first and synchronously. Rejects with a `BrokerError` when the engine is down
   * and there are, or may be, other nodes; this node has run the command by then.
   */
  async broadcast (command: unknown): Promise<ClusterAnswers> {
    const own = settle(() => this.#options.onCommand(command, this.#options.nodeId))
    const others = this.#askAll('command', command)
    const { answers, missing } = await others
    return { answers: [{ id: this.#options.nodeId, ...await own }, ...answers], missing }
  }

  /** Returns the counters of every live node and their sums. While the engine is down, the other nodes are `missing`. */
  async stats (): Promise<ClusterStats<Stats>> {
    const counts = this.#options.localStats()
    const own = { id: this.#options.nodeId, ...counts }
    const { answers, missing } = await this.#askAll('stats').catch(() => ({ answers: [], missing: this.#members.ids }))
    const nodes = [own, ...answers.filter(({ value }) => typeof value === 'object' && value !== null).map(({ id, value }) => ({ ...conformCounts(value, counts), id }))]
    const total = {} as Record<string, unknown>
    for (const { id: _id, ...ofNode } of nodes) addCounts(total, ofNode)
    return { nodes, total: total as Stats, missing: [...missing, ...answers.filter(({ error }) => error !== undefined).map(({ id }) => id)] }
  }

  /** Asks all other nodes a question. While the engine is down, all of them are `missing`. */
  async queryAll (body: unknown): Promise<ClusterAnswers> {
    return await this.#askAll('query', body).catch(() => ({ answers: [], missing: this.#members.ids }))
  }

  /** Asks one node a question. Rejects when the node is unknown, fails, or does not answer in time. */
  async query (nodeId: string, body: unknown): Promise<unknown> {
    if (!this.#members.has(nodeId)) throw new Error(`node ${nodeId} is not known`)
    const { answers: [answer] } = await this.#questions.ask('query', body, nodeId)
    if (answer?.id !== nodeId) throw new Error(`node ${nodeId} did not answer`)
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer.value
  }

  /** Says goodbye, stops all timers and settles open questions. Call before the link is stopped. */
  stop (): void {
    if (this.#stopped) return
    this.#members.stop()
    this.#stopped = true
    this.#questions.giveUp()
  }

  #askAll (kind: QuestionKind, body?: unknown): Promise<ClusterAnswers> {
    return this.#link.broker.shared ? this.#questions.ask(kind, body) : Promise.resolve({ answers: [], missing: [] })
  }

  async #carryOut ({ id, body }: ClusterMessage & { t: 'ask' }, fromNode: string): Promise<void> {
    const result = await settle(() => this.#options.onCommand(body, fromNode))
    this.#reply(id, () => result, fromNode)
  }

  #answer ({ id, kind, body }: ClusterMessage & { t: 'ask' }, fromNode: string): void {
    // A small question may have a large answer. A node that gets no answer asks another node.
    if (this.#unsent > maxUnsent) this.#warn(() => `more questions than answers can be sent to: one of node ${fromNode} is left out`)
    else this.#reply(id, () => ({ value: kind === 'stats' ? this.#options.localStats() : this.#options.onQuery?.(body, fromNode) }), fromNode)
  }

  /** @param make builds the answer; if it throws or its result is not JSON, the error is the answer */
  #reply (id: number, make: () => { value?: unknown, error?: string }, toNode: string): void {
    if (this.#stopped) return
    let text: string
    try {
      text = JSON.stringify({ t: 'answer', id, ...make() })
    } catch (err) {
      text = JSON.stringify({ t: 'answer', id, error: messageOf(err) })
    }
    const { length } = text
    this.#unsent += length
    this.#deliver(text, toNode).then(() => { this.#unsent -= length })
  }

  #send (message: ClusterMessage, toNode?: string): MaybePromise<void> {
    return this.#link.control(JSON.stringify(message), toNode)
  }

  #say (message: ClusterMessage, toNode?: string): void {
    this.#deliver(JSON.stringify(message), toNode)
  }

  async #deliver (text: string, toNode: string | undefined): Promise<void> {
    try {
      await this.#link.control(text, toNode)
    } catch (err) {
      // While the engine is down, no node expects messages from this one.
      if (!this.#stopped && this.#link.state === 'up') this.#options.onWarning?.(err as Error)
    }
  }

  /** Warns, at most `warningsPerSecond` times per second. */
  #warn (text: () => string): void {
    const now = performance.now()
    if (now - this.#warnedAt > 1_000) {
      this.#warnedAt = now
      this.#warnings = 0
    }
    if (++this.#warnings <= warningsPerSecond) this.#options.onWarning?.(new Error(text()))
  }
}

/** Calls `work` synchronously, so that a synchronous command has finished when `broadcast` returns. */
function settle (work: () => unknown): Promise<{ value?: unknown, error?: string }> {
  const failed = (err: unknown): { error: string } => ({ error: messageOf(err) })
  try {
    return Promise.resolve(work()).then((value) => ({ value }), failed)
  } catch (err) {
    return Promise.resolve(failed(err))
  }
}
