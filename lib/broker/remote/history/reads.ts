/** Maximum number of reads that wait for the engine at the same time. */
const maxRunning = 16

interface Read {
  startedAt: number
  /** Starts the read. Never throws. */
  start: () => void
  abort: (err: Error) => void
}

/** Reads of histories. A limited number of them run at a time; the others wait. */
export class Reads {
  readonly #running = new Set<Read>()
  readonly #waiting: Read[] = []
  #answeredAt = 0
  /** The number of reads so far. */
  count = 0

  /** Time of the oldest running read or of the last answer, by `performance.now()`; `Infinity` when no read is running. */
  get waitingSince (): number {
    const [oldest] = this.#running
    // Several large answers may take longer than the timeout of one. The engine is alive as long as it answers any of them.
    return oldest === undefined ? Infinity : Math.max(oldest.startedAt, this.#answeredAt)
  }

  /** Reads as soon as fewer than the maximum are running. Rejects with the error of `fail`. */
  run<T> (read: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const job: Read = {
        startedAt: 0,
        start: () => {
          job.startedAt = performance.now()
          this.#running.add(job)
          this.count++
          read().then((result) => {
            this.#ended(job)
            resolve(result)
          }, (err: unknown) => {
            this.#ended(job)
            reject(err)
          })
        },
        abort: reject
      }
      if (this.#running.size < maxRunning) job.start()
      else this.#waiting.push(job)
    })
  }

  /** Fails all reads. */
  fail (error: Error): void {
    const jobs = [...this.#running, ...this.#waiting.splice(0)]
    this.#running.clear()
    for (const job of jobs) job.abort(error)
  }

  #ended (job: Read): void {
    if (!this.#running.delete(job)) return
    this.#answeredAt = performance.now()
    this.#waiting.shift()?.start()
  }
}
