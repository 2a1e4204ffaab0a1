import type { BrokerNode } from '../../../types/broker.js'
import { decodeFrame, encodeFrame, isOtherVersion, type FrameKind, type ReadFrame } from './frames.js'
import { OwnFrames } from './own-frames.js'
import { Seal, isSealed } from './seal.js'

const otherVersion = 'frames of a version that this process does not read: other processes run another version of this package'

/** Converts messages of this node to the transmitted text and reads received text: a frame, signed when there is a key. */
export class Envelope {
  readonly #nodeId: string
  /** Signs and verifies frames; `null` without a key. */
  readonly #seal: Seal | null
  readonly #own = new OwnFrames()

  constructor ({ id, keys }: BrokerNode) {
    this.#nodeId = id
    this.#seal = keys === undefined ? null : new Seal(keys)
  }

  /** @param comesBack whether this node receives the topic itself */
  close (topic: string, kind: FrameKind, messages: readonly string[], comesBack: boolean): string {
    const frame = encodeFrame(kind, this.#nodeId, messages)
    if (this.#seal !== null) return this.#seal.close(topic, frame)
    if (comesBack) this.#own.add(topic, frame)
    return frame
  }

  /** Returns the frame, or the reason why it cannot be used. */
  open (topic: string, text: string): ReadFrame | string {
    const opened = this.#seal === null ? text : this.#seal.open(topic, text)
    if (opened === null) {
      if (isOtherVersion(text)) return otherVersion
      return isSealed(text)
        ? 'frames with a signature that does not fit: the option brokerKey must be the same on all processes; to change it, give an array of the new and the old one'
        : 'frames without a signature: set the option brokerKey on all processes'
    }
    const frame = decodeFrame(opened)
    if (frame !== null) return frame
    if (isOtherVersion(opened)) return otherVersion
    return isSealed(opened) ? 'frames that are signed: this process has no key; set the option brokerKey to that of the other processes' : 'frames that cannot be read'
  }

  /** Whether the messages of an opened frame need no further check. Must be called once for each frame of a channel. */
  isTrusted (topic: string, text: string, frame: ReadFrame): boolean {
    // A signed frame comes from a process like this one.
    return this.#seal !== null || (frame.nodeId === this.#nodeId && this.#own.take(topic, text))
  }

  /** Forgets sent frames, because they cannot come back any more. */
  forget (): void {
    this.#own.clear()
  }
}
