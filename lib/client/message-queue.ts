/** Messages that wait for a loop; the server is not read further while there are more. */
const maxWaiting = 100

/** The messages that a `for await` loop has still to process. */
export class MessageQueue implements AsyncIterator<unknown> {
  readonly #messages: unknown[] = []
  readonly #left: () => void
  #wake: (() => void) | null = null
  #made: (() => void) | null = null
  #ended = false
  #error: Error | null = null

  /** @param left called when the loop is left */
  constructor (left: () => void) {
    this.#left = left
  }

  push (message: unknown): void {
    this.#messages.push(message)
    this.#notify()
  }

  /** Ends the loop behind the last message. @param error what the loop throws */
  end (error: Error | null): void {
    this.#ended = true
    this.#error = error
    this.#notify()
    this.#free()
  }

  /** Waits until the loop has few messages before it. */
  async room (): Promise<void> {
    while (!this.#ended && this.#messages.length > maxWaiting) await new Promise<void>((resolve) => { this.#made = resolve })
  }

  async next (): Promise<IteratorResult<unknown>> {
    while (this.#messages.length === 0) {
      if (this.#ended) {
        const error = this.#error
        this.#error = null
        if (error !== null) throw error
        return { done: true, value: undefined }
      }
      await new Promise<void>((resolve) => { this.#wake = resolve })
    }
    const value = this.#messages.shift()
    if (this.#messages.length <= maxWaiting) this.#free()
    return { done: false, value }
  }

  async return (): Promise<IteratorResult<unknown>> {
    this.#messages.length = 0
    this.#left()
    this.end(null)
    return { done: true, value: undefined }
  }

  #notify (): void {
    this.#wake?.()
    this.#wake = null
  }

  #free (): void {
    this.#made?.()
    this.#made = null
  }
}
