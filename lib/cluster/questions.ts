import type { MaybePromise } from '../../types/broker.js'
import type { ClusterAnswers, NodeAnswer } from '../../types/cluster.js'
import type { ClusterMessage, QuestionKind } from './messages.js'

/** After this many unanswered questions in a row, a node is no longer waited for until it answers one. */
const patienceInQuestions = 2

/** Maximum length of an error in another node's answer. */
const maxErrorLength = 1_000

/** An open question. */
interface Question {
  readonly waiting: Set<string>
  readonly answers: NodeAnswer[]
  readonly done: () => void
}

/** The part of the cluster that questions use. */
export interface QuestionsPort {
  /** The other live nodes. */
  readonly ids: string[]
  /** Sends a message. Rejects when no node can be reached. */
  send (message: ClusterMessage, toNode?: string): MaybePromise<void>
  /** Whether other nodes can be reached. */
  readonly reachable: boolean
}

/** The questions that this node asked: collects answers, and does not wait for nodes that left earlier questions unanswered. */
export class Questions {
  readonly #port: QuestionsPort
  readonly #answerTimeout: number
  readonly #open = new Map<number, Question>()
  /** Number of questions in a row that each node left unanswered. */
  readonly #unanswered = new Map<string, number>()
  #next = 1

  /** @param answerTimeout milliseconds that a live node may take to answer */
  constructor (answerTimeout: number, port: QuestionsPort) {
    this.#answerTimeout = answerTimeout
    this.#port = port
  }

  /** Asks a question and waits for the answers. @param toNode the only node to ask; by default all nodes are asked */
  async ask (kind: QuestionKind, body?: unknown, toNode?: string): Promise<ClusterAnswers> {
    const id = this.#next++
    const asked = toNode === undefined ? this.#port.ids : [toNode]
    const waiting = new Set(asked)
    // Nodes that never answer are asked too, but not waited for.
    const mute = toNode !== undefined ? [] : asked.filter((node) => (this.#unanswered.get(node) ?? 0) >= patienceInQuestions)
    for (const node of mute) waiting.delete(node)
    const answers: NodeAnswer[] = []
    const settled = new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#open.delete(id)
        resolve()
      }
      const timer = setTimeout(done, this.#answerTimeout)
      this.#open.set(id, { waiting, answers, done })
    })
    try {
      await this.#port.send({ t: 'ask', id, kind, body }, toNode)
    } catch (err) {
      this.#open.get(id)?.done()
      throw err
    }
    if (waiting.size === 0) this.#open.get(id)?.done()
    await settled
    const known = new Set(this.#port.ids)
    const silent = [...waiting, ...mute.filter((node) => known.has(node) && !answers.some((answer) => answer.id === node))]
    // While the engine is down no node can answer.
    if (this.#port.reachable) for (const node of silent) if (known.has(node)) this.#unanswered.set(node, (this.#unanswered.get(node) ?? 0) + 1)
    return { answers, missing: silent }
  }

  /** Handles a node's answer. */
  answered ({ id, value, error }: ClusterMessage & { t: 'answer' }, fromNode: string): void {
    this.#unanswered.delete(fromNode)
    const question = this.#open.get(id)
    // The node may have joined after the question was sent.
    if (question === undefined || question.answers.some((answer) => answer.id === fromNode)) return
    question.waiting.delete(fromNode)
    question.answers.push(error === undefined ? { id: fromNode, value } : { id: fromNode, error: error.slice(0, maxErrorLength) })
    if (question.waiting.size === 0) question.done()
  }

  /** Stops waiting for nodes that are gone. */
  forget (gone: readonly string[]): void {
    for (const id of gone) this.#unanswered.delete(id)
    for (const question of [...this.#open.values()]) {
      for (const id of gone) question.waiting.delete(id)
      if (question.waiting.size === 0) question.done()
    }
  }

  /** Settles all open questions, because no answer can arrive any more. */
  giveUp (): void {
    for (const question of [...this.#open.values()]) question.done()
  }
}
