/** UTF-16 units of frames that may be remembered. */
const maxSize = 1024 * 1024

/**
 * The frames that this node sent to topics which it also hears, until they come back. What is one of them, to the letter, need not
 * be checked again; a sender's name in a frame proves nothing.
 */
export class OwnFrames {
  readonly #byTopic = new Map<string, string[]>()
  #size = 0

  add (topic: string, frame: string): void {
    this.#size += frame.length
    // Some never came back. Forgetting costs no more than a check.
    if (this.#size > maxSize) {
      this.clear()
      if (frame.length > maxSize) return
      this.#size = frame.length
    }
    const frames = this.#byTopic.get(topic)
    if (frames === undefined) this.#byTopic.set(topic, [frame])
    else frames.push(frame)
  }

  /** Whether this is the next one to come back on its topic; it is forgotten then, with those before it. */
  take (topic: string, frame: string): boolean {
    const frames = this.#byTopic.get(topic)
    if (frames === undefined) return false
    const at = frames[0] === frame ? 0 : frames.indexOf(frame)
    if (at === -1) return false
    for (const { length } of frames.splice(0, at + 1)) this.#size -= length
    if (frames.length === 0) this.#byTopic.delete(topic)
    return true
  }

  clear (): void {
    this.#byTopic.clear()
    this.#size = 0
  }
}
