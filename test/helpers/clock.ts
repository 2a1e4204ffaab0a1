import type { Test } from 'tap'

interface FakeTimer {
  due: number
  readonly every: number | null
  readonly run: () => void
  unref (): FakeTimer
}

/** Replaces `setTimeout`, `setInterval` and `performance.now()` until the test ends. Time only advances when the test says so. */
export class Clock {
  now = 10_000
  readonly #timers = new Set<FakeTimer>()

  constructor (t: Test) {
    const { setTimeout, setInterval, clearTimeout, clearInterval } = globalThis
    const add = (run: () => void, delay: number, every: number | null): FakeTimer => {
      const timer: FakeTimer = { due: this.now + delay, every, run, unref: () => timer }
      this.#timers.add(timer)
      return timer
    }
    const clear = (clearReal: (timer: any) => void) => (timer: any): void => { if (!this.#timers.delete(timer)) clearReal(timer) }
    Object.assign(globalThis, {
      setTimeout: (run: () => void, delay: number) => add(run, delay, null),
      setInterval: (run: () => void, delay: number) => add(run, delay, delay),
      clearTimeout: clear(clearTimeout),
      clearInterval: clear(clearInterval)
    })
    Object.defineProperty(performance, 'now', { configurable: true, value: () => this.now })
    t.teardown(() => {
      Object.assign(globalThis, { setTimeout, setInterval, clearTimeout, clearInterval })
      Reflect.deleteProperty(performance, 'now')
    })
  }

  /** The number of active timers. */
  get armed (): number { return this.#timers.size }

  /** Advances the time, timer by timer. Pending promise callbacks run after each timer. */
  async advance (milliseconds: number): Promise<void> {
    for (const end = this.now + milliseconds; ;) {
      const next = [...this.#timers].filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)[0]
      this.now = next === undefined ? end : Math.max(this.now, next.due)
      if (next !== undefined) this.#fire(next)
      await new Promise(setImmediate)
      if (next === undefined) return
    }
  }

  /** Simulates a blocked event loop: afterwards each due timer runs once, late. */
  async stall (milliseconds: number): Promise<void> {
    this.now += milliseconds
    for (const timer of [...this.#timers]) if (timer.due <= this.now) this.#fire(timer)
    await new Promise(setImmediate)
  }

  #fire (timer: FakeTimer): void {
    if (timer.every === null) this.#timers.delete(timer)
    else timer.due = this.now + timer.every
    timer.run()
  }
}
