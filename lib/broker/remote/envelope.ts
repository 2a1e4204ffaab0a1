import type { BrokerNode } from '../../../types/broker.js'
import { decodeFrame, encodeFrame, isOtherVersion, type FrameKind, type ReadFrame } from './frames.js'
import { OwnFrames } from './own-frames.js'
import { Seal, isSealed } from './seal.js'

const otherVersion = 'frames of a version that this process does not read: other processes run another version of this package'

/** A frame that was opened. */
export interface OpenedFrame extends ReadFrame {
  /** Whether its messages need no further check: this node sent it, or it is signed. */
  readonly trusted: boolean
}

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
    if (comesBack) this.#own.add(topic, frame, messages)
    return frame
  }

  /** Returns the frame, or the reason why it cannot be used. Must be called once for each received frame. */
  open (topic: string, text: string): OpenedFrame | string {
    if (this.#seal !== null) {
      const opened = this.#seal.open(topic, text)
      if (opened !== null) return read(opened, true)
      if (isOtherVersion(text)) return otherVersion
      return isSealed(text)
        ? 'frames with a signature that does not fit: the option brokerKey must be the same on all processes; to change it, give an array of the new and the old one'
        : 'frames without a signature: set the option brokerKey on all processes'
    }
    const own = this.#own.take(topic, text)
    return own === null ? read(text, false) : { kind: 'm', nodeId: this.#nodeId, messages: own, fields: null, hasUnknown: false, trusted: true }
  }

  /** Forgets sent frames, because they cannot come back any more. */
  forget (): void {
    this.#own.clear()
  }
}

function read (text: string, trusted: boolean): OpenedFrame | string {
  const frame = decodeFrame(text)
  if (frame !== null) {
    const { kind, nodeId, messages, fields, hasUnknown } = frame
    // Not a spread, which costs several times as much for each received frame.
    return { kind, nodeId, messages, fields, hasUnknown, trusted }
  }
  if (isOtherVersion(text)) return otherVersion
  return isSealed(text) ? 'frames that are signed: this process has no key; set the option brokerKey to that of the other processes' : 'frames that cannot be read'
}
