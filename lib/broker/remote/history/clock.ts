/** The time of an engine, by which messages expire: the clock of this process may differ. */
export class EngineClock {
  /** The milliseconds by which the engine's clock is ahead of `performance.now()`. */
  #ahead = performance.timeOrigin

  /** The time of the engine, as far as is known, in milliseconds. */
  get now (): number { return performance.now() + this.#ahead }

  /** Call with the time that the engine told. */
  told (now: number): void { this.#ahead = now - performance.now() }
}
