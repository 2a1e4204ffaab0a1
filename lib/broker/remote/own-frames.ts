/** Maximum total size of remembered frames, in UTF-16 units. Their messages are remembered too, and take as much again. */
const maxSize = 1024 * 1024

interface OwnFrame {
  readonly text: string
  readonly messages: readonly string[]
}

/**
 * The frames that this node sent to topics it also receives, until they come back. A received frame that equals one of them
 * needs neither decoding nor a check. The sender's id inside a frame would prove nothing.
 */
export class OwnFrames {
  readonly #byTopic = new Map<string, OwnFrame[]>()
  #size = 0

  /** @param messages of the frame; they must not change */
  add (topic: string, text: string, messages: readonly string[]): void {
    this.#size += text.length
    // Some frames never came back. Clearing only means that later frames are checked again.
    if (this.#size > maxSize) {
      this.clear()
      if (text.length > maxSize) return
      this.#size = text.length
    }
    const frames = this.#byTopic.get(topic)
    if (frames === undefined) this.#byTopic.set(topic, [{ text, messages }])
    else frames.push({ text, messages })
  }

  /** Returns the messages of a frame that this node sent to the topic, else `null`. It is then forgotten, with those sent before it. */
  take (topic: string, text: string): readonly string[] | null {
    const frames = this.#byTopic.get(topic)
    if (frames === undefined) return null
    const at = frames[0]!.text === text ? 0 : frames.findIndex((frame) => frame.text === text)
    if (at === -1) return null
    const { messages } = frames[at]!
    for (const taken of frames.splice(0, at + 1)) this.#size -= taken.text.length
    if (frames.length === 0) this.#byTopic.delete(topic)
    return messages
  }

  clear (): void {
    this.#byTopic.clear()
    this.#size = 0
  }
}
