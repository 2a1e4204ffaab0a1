/** Maximum total size of remembered frames, in UTF-16 units. */
const maxSize = 1024 * 1024

/**
 * The frames that this node sent to topics it also receives, until they come back. A received frame that equals one of them
 * needs no further check. The sender's id inside a frame would prove nothing.
 */
export class OwnFrames {
  readonly #byTopic = new Map<string, string[]>()
  #size = 0

  add (topic: string, frame: string): void {
    this.#size += frame.length
    // Some frames never came back. Clearing only means that later frames are checked again.
    if (this.#size > maxSize) {
      this.clear()
      if (frame.length > maxSize) return
      this.#size = frame.length
    }
    const frames = this.#byTopic.get(topic)
    if (frames === undefined) this.#byTopic.set(topic, [frame])
    else frames.push(frame)
  }

  /** Whether this node sent this frame to the topic. The frame is then forgotten, with those sent before it. */
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
