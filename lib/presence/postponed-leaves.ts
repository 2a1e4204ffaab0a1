import type { BrokerState } from '../../types/broker.js'
import type { Alarms } from './alarms.js'

/**
 * Milliseconds after which all nodes have answered when the engine is up again. Nobody leaves before. Nodes do not come back at the
 * same time: an attempt to connect that was under way may take 5 seconds to fail, and the next one begins up to 2 seconds later.
 */
const grace = 10_000

/** The part of presence that postponed leaves use. */
export interface PostponedLeavesPort {
  readonly alarms: Alarms
  readonly link: { readonly broker: { readonly shared: boolean }, readonly state: BrokerState }
}

/** Leaves that wait until it is known who is at other nodes: nobody can be heard while the engine is down, and a moment after that. */
export class PostponedLeaves {
  readonly #port: PostponedLeavesPort
  readonly #waiting = new Set<() => void>()
  /** When the others are known again after an outage; `Infinity` during one. */
  #knownFrom = 0

  constructor (port: PostponedLeavesPort) {
    this.#port = port
  }

  get othersAreKnown (): boolean {
    const { link } = this.#port
    return !link.broker.shared || (link.state === 'up' && performance.now() >= this.#knownFrom)
  }

  down (): void {
    this.#knownFrom = Infinity
  }

  /** Call when the engine is up. @returns whether it was down, so that the others have to be asked again */
  up (): boolean {
    if (this.#knownFrom !== Infinity) {
      // For the first time: nobody was heard of before.
      this.#runAll()
      return false
    }
    this.#knownFrom = performance.now() + grace
    this.#port.alarms.in(grace + 1, () => this.#runAll())
    return true
  }

  /** Runs `leave` now, or when the engine is up again and the others were asked. */
  run (leave: () => void): void {
    if (this.othersAreKnown) leave()
    else this.#waiting.add(leave)
  }

  #runAll (): void {
    if (!this.othersAreKnown) return
    const leaves = [...this.#waiting]
    this.#waiting.clear()
    for (const leave of leaves) leave()
  }
}
