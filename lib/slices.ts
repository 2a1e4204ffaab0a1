import type { Guarded } from './barrier.js'

/** Milliseconds of one turn of the event loop that such work may take altogether. */
export const sliceTime = 4

interface Job {
  readonly guarded: Guarded
  readonly step: () => boolean
}

/**
 * Work of many short steps, in slices: when they took their time the rest waits for the next turn of the event loop. What fits
 * into the slice is done at once, so that little work stays synchronous.
 */
export class Slices {
  #jobs: Job[] = []
  #at = 0
  #end = 0
  #running = false
  #turn: NodeJS.Immediate | null = null

  /** @param step does a little and returns whether there is more to do; what it throws is a fault of `guarded` */
  run (guarded: Guarded, step: () => boolean): void {
    this.#jobs.push({ guarded, step })
    if (!this.#running) this.#work()
  }

  /** The same for work that had its share of this turn already. */
  later (guarded: Guarded, step: () => boolean): void {
    this.#jobs.push({ guarded, step })
    this.#beginTurn()
  }

  /** Does all of it now; nothing where it is called by a step. */
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

/** There is one event loop. */
export const slices = new Slices()
