import type { MaybePromise } from '../../types/broker.js'
import type { ClusterAnswers, NodeAnswer } from '../../types/cluster.js'
import type { ClusterMessage, QuestionKind } from './messages.js'

/** A node that left so many questions in a row unanswered is not waited for any more, until it answers one. */
const patienceInQuestions = 2

/** Characters of an error that another node answered. */
const maxErrorLength = 1_000

/** A question that some nodes have not answered. */
interface Question {
  readonly waiting: Set<string>
  readonly answers: NodeAnswer[]
  readonly done: () => void
}

/** Whom questions go to, and how. */
export interface QuestionsPort {
  /** The other live nodes. */
  readonly ids: string[]
  /** Rejects when nobody can be reached. */
  send (message: ClusterMessage, toNode?: string): MaybePromise<void>
  /** Whether anybody can be reached. */
  readonly reachable: boolean
}

/** The questions that this node asked others: who has answered, who is waited for, and who has not answered for so long that nobody waits for it. */
export class Questions {
  readonly #port: QuestionsPort
  readonly #answerTimeout: number
  readonly #open = new Map<number, Question>()
  /** Questions in a row that a node left unanswered. */
  readonly #unanswered = new Map<string, number>()
  #next = 1

  /** @param answerTimeout milliseconds that a live node may take to answer */
  constructor (answerTimeout: number, port: QuestionsPort) {
    this.#answerTimeout = answerTimeout
    this.#port = port
  }

  /** @param toNode the only node to ask; all of them without */
  async ask (kind: QuestionKind, body?: unknown, toNode?: string): Promise<ClusterAnswers> {
    const id = this.#next++
    const asked = toNode === undefined ? this.#port.ids : [toNode]
    const waiting = new Set(asked)
    // Who never answers is asked, but nobody is kept waiting for it.
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
    // While the engine is down nobody can answer.
    if (this.#port.reachable) for (const node of silent) if (known.has(node)) this.#unanswered.set(node, (this.#unanswered.get(node) ?? 0) + 1)
    return { answers, missing: silent }
  }

  /** A node answered. */
  answered ({ id, value, error }: ClusterMessage & { t: 'answer' }, fromNode: string): void {
    this.#unanswered.delete(fromNode)
    const question = this.#open.get(id)
    // Also a node that nobody had heard of when it was asked.
    if (question === undefined || question.answers.some((answer) => answer.id === fromNode)) return
    question.waiting.delete(fromNode)
    question.answers.push(error === undefined ? { id: fromNode, value } : { id: fromNode, error: error.slice(0, maxErrorLength) })
    if (question.waiting.size === 0) question.done()
  }

  /** These nodes are gone: nobody waits for them. */
  forget (gone: readonly string[]): void {
    for (const id of gone) this.#unanswered.delete(id)
    for (const question of [...this.#open.values()]) {
      for (const id of gone) question.waiting.delete(id)
      if (question.waiting.size === 0) question.done()
    }
  }

  /** Nobody's answer can come any more. */
  giveUp (): void {
    for (const question of [...this.#open.values()]) question.done()
  }
}
