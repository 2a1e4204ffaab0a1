/** Something that is to happen later. */
export interface Alarm {
  readonly timer: NodeJS.Timeout
}

/** The timers of presence. None of them keeps the process alive, and all of them are stopped together. */
export class Alarms {
  readonly #pending = new Set<Alarm>()
  readonly #fault: (err: unknown) => void
  #stopped = false

  /** @param fault called with what an action threw */
  constructor (fault: (err: unknown) => void) {
    this.#fault = fault
  }

  /** Runs `act` after a time in milliseconds, unless it is cancelled or everything stops. */
  in (milliseconds: number, act: () => void): Alarm {
    const alarm: Alarm = { timer: setTimeout(() => this.#run(alarm, act), milliseconds) }
    alarm.timer.unref()
    if (this.#stopped) clearTimeout(alarm.timer)
    else this.#pending.add(alarm)
    return alarm
  }

  cancel (alarm: Alarm | null): void {
    if (alarm !== null && this.#pending.delete(alarm)) clearTimeout(alarm.timer)
  }

  stop (): void {
    this.#stopped = true
    for (const { timer } of this.#pending) clearTimeout(timer)
    this.#pending.clear()
  }

  #run (alarm: Alarm, act: () => void): void {
    this.#pending.delete(alarm)
    try {
      act()
    } catch (err) {
      this.#fault(err)
    }
  }
}
