import type { BrokerPosition } from '../../types/broker.js'

/** The positions of the last messages of a channel object, as far back as loops have not read them. */
export class ReadPositions {
  /** The last one is that of the last message. */
  #positions: Array<BrokerPosition | null> = []

  /** Call before watchers and loops receive a message. @param waiting number of messages that wait for the slowest loop */
  add (position: BrokerPosition | null, waiting: number): void {
    // The message that the loop received last is the one before those that wait.
    const excess = this.#positions.length - waiting - 1
    if (excess > waiting) this.#positions.splice(0, excess)
    this.#positions.push(position ?? this.#positions.at(-1) ?? null)
  }

  /** Call when the next message follows another position than that of the last one, which loops may not have read yet. */
  begin (position: BrokerPosition | null): void {
    this.#positions[Math.max(0, this.#positions.length - 1)] = position
  }

  /** The position of the last message that the slowest loop received, or of the last one without loops. */
  get (waiting: number): BrokerPosition | null {
    return this.#positions.at(-1 - waiting) ?? this.#positions[0] ?? null
  }
}
