import type { BrokerHistoryLimits, BrokerPosition } from '../../../types/broker.js'
import { brokerError } from '../errors.js'
import type { FramePlace, KeptFrame, OutboundFrame } from './engine.js'
import { maxFrameMessages, maxFrameSize, type FrameKind } from './frames.js'

/** A frame that is being filled. All publishes into it get the same promise. */
export class OpenFrame implements OutboundFrame {
  text = ''
  kept: KeptFrame | null = null
  size = 0
  sentAt = 0
  /** The frame stays open after its tick, because the channel's previous frame is still in flight. */
  waits = false
  /** Time until which the frame may stay open after the answer it waited for, by `performance.now()`; 0 if it waited for none. */
  mayGrowUntil = 0
  #lastLength = 0
  readonly messages: string[] = []
  /** The keys of the messages, '' for one without; `null` if no message has one. */
  keys: string[] | null = null
  /** The indexes of the messages that were not published because of their keys. */
  #repeats: readonly number[] = []
  #place: FramePlace | undefined
  readonly accepted: Promise<void>
  settle!: (err?: Error, repeats?: readonly number[], place?: FramePlace) => void

  /**
   * @param channel the channel of publications; `null` for other messages, which are sent alone
   * @param limits of the history that keeps the frame; `null` if it is not kept
   */
  constructor (readonly topic: string, readonly kind: FrameKind, readonly channel: string | null, readonly limits: BrokerHistoryLimits | null, settled: (frame: OpenFrame) => void) {
    this.accepted = new Promise<void>((resolve, reject) => {
      this.settle = (err, repeats = [], place) => {
        this.#repeats = repeats
        this.#place = place
        settled(this)
        if (err === undefined) resolve()
        else reject(brokerError(err))
      }
    })
  }

  get isFull (): boolean {
    return this.messages.length === maxFrameMessages || this.size >= maxFrameSize
  }

  fits (length: number): boolean {
    return !this.isFull && this.size + length <= maxFrameSize
  }

  add (message: string, key?: string): void {
    if (key !== undefined) this.keys ??= this.messages.map(() => '')
    this.keys?.push(key ?? '')
    this.messages.push(message)
    this.size += message.length
  }

  /** Whether messages were added since the last call. */
  takeGrowth (): boolean {
    const grew = this.messages.length > this.#lastLength
    this.#lastLength = this.messages.length
    return grew
  }

  /** Resolves when the engine accepted the message that was added last, with whether it was published. */
  publishedLast (): Promise<boolean> {
    const index = this.messages.length - 1
    return this.accepted.then(() => !this.#repeats.includes(index))
  }

  /** Resolves when the engine accepted the message that was added last, with its position; with `null` if it was not published. */
  positionOfLast (): Promise<BrokerPosition | null> {
    const index = this.messages.length - 1
    return this.accepted.then(() => {
      if (this.#place === undefined || this.#repeats.includes(index)) return null
      const { epoch, first } = this.#place
      return { epoch, offset: first + index - this.#repeats.filter((repeat) => repeat < index).length, check: this.kept!.check }
    })
  }

  /** Call before the frame is sent. @param text the encoded messages */
  close (text: string, now: number): void {
    this.text = text
    this.sentAt = now
    if (this.limits !== null) this.kept = { limits: this.limits, count: this.messages.length, check: newCheck(), keys: this.keys }
  }
}

/** Returns a check, which distinguishes frames that got the same offsets from an engine that lost messages. */
function newCheck (): string {
  return Math.floor(Math.random() * 36 ** 5).toString(36).padStart(5, '0')
}
