import type { Alarm } from './alarms.js'
import type { Delta, UserEntry } from './messages.js'

/** Deltas that may wait for the answer to a question. After more of them the answer is of no use. */
const maxWaiting = 1_000

/** A user at another node. */
export interface RemoteUser {
  readonly json: string
  readonly stamp: number
}

/** A node that is gone, and whose users stay for a while. */
export interface GoneNode {
  readonly id: string
  /** Milliseconds since it was last heard. */
  readonly silence: number
  readonly users: ReadonlyMap<string, RemoteUser>
}

/** The users of one channel at one other node. The node itself is the only one who says who they are. */
export class RemoteNode {
  /** The version of the last delta or answer. */
  version = 0
  users = new Map<string, RemoteUser>()
  /** Ends the presence of the users of a node that is gone. */
  leaving: Alarm | null = null
  /** When a node that is gone was last heard. */
  heardAt = 0
  /** Deltas that came since the node was asked for its users; `null` when it was not. */
  #waiting: Delta[] | null = null

  /** Call when the node is asked for its users. */
  asked (): void {
    this.#waiting = []
  }

  /** Takes in a delta. @returns the users it concerns; `null` when a delta before it is missing, so that the node has to be asked */
  take (delta: Delta): string[] | null {
    if (this.#waiting !== null && this.#waiting.push(delta) > maxWaiting) {
      this.#waiting = null
      return null
    }
    if (delta.v <= this.version) return []
    if (delta.p !== 0 && delta.p !== this.version) return this.#waiting === null ? null : []
    return this.#apply(delta)
  }

  /**
   * Takes in the answer to a question, and the deltas that came since the question.
   * @param version of the first piece of the answer
   * @returns the users it concerns; `null` when the answer is of no use, so that the node has to be asked again
   */
  learn (version: number, entries: readonly UserEntry[]): string[] | null {
    const waiting = this.#waiting
    if (waiting === null) return null
    this.#waiting = null
    const before = this.users
    this.set(entries)
    this.version = version
    for (const delta of waiting) {
      if (delta.v <= this.version) continue
      // A delta was lost after the question.
      if (delta.p !== 0 && delta.p !== this.version) return null
      this.#apply(delta)
    }
    return [...new Set([...before.keys(), ...this.users.keys()])]
  }

  /** Replaces the users. */
  set (entries: readonly UserEntry[]): void {
    this.users = new Map(entries.map(([key, stamp, json]) => [key, { stamp, json }]))
  }

  /** Call when the node did not answer. */
  unanswered (): void {
    this.#waiting = null
  }

  #apply ({ p, v, j, l }: Delta): string[] {
    const concerned: string[] = []
    if (p === 0) {
      // There was nobody before.
      concerned.push(...this.users.keys())
      this.users.clear()
    }
    for (const [key, stamp, json] of j) {
      this.users.set(key, { stamp, json })
      concerned.push(key)
    }
    for (const key of l) {
      this.users.delete(key)
      concerned.push(key)
    }
    this.version = v
    return concerned
  }
}
