import type { Guarded } from './barrier.js'

/** The milliseconds that all sliced work together may take in one turn of the event loop. */
export const sliceTime = 4

interface Job {
  readonly guarded: Guarded
  readonly step: () => boolean
}

/**
 * Runs work of many short steps in slices: when the time of a slice is used up, the rest continues in the next turn of the event
 * loop. Work that fits into the current slice runs synchronously.
 */
export class Slices {
  #jobs: Job[] = []
  #at = 0
  #end = 0
  #running = false
  #turn: NodeJS.Immediate | null = null

  /**
   * Runs work now, as far as the slice has time left.
   * @param step does a small part and returns whether there is more to do; its error is a fault of `guarded`
   */
  run (guarded: Guarded, step: () => boolean): void {
    this.#jobs.push({ guarded, step })
    if (!this.#running) this.#work()
  }

  /** Runs work in the next turn, for work that already used its share of this turn. */
  later (guarded: Guarded, step: () => boolean): void {
    this.#jobs.push({ guarded, step })
    this.#beginTurn()
  }

  /** Completes all work now. Does nothing when a step calls it. */
  finish (): void {
    if (!this.#running) this.#work(Infinity)
  }

  #beginTurn (): void {
    if (this.#turn !== null) return
    this.#end = performance.now() + sliceTime
    this.#turn = setImmediate(() => {
      this.#turn = null
      if (this.#jobs.length > 0) this.#work()
    })
  }

  #work (end?: number): void {
    this.#beginTurn()
    this.#running = true
    while (this.#at < this.#jobs.length && performance.now() < (end ?? this.#end)) {
      const { guarded, step } = this.#jobs[this.#at]!
      let more = false
      try {
        more = step()
      } catch (err) {
        guarded.fault(err)
      }
      if (!more) this.#at++
    }
    this.#running = false
    if (this.#at < this.#jobs.length) return
    this.#jobs = []
    this.#at = 0
  }
}

/** The slices of this process. They are shared because there is one event loop. */
export const slices = new Slices()
