import type { BrokerCounters } from '../../../types/broker.js'
import { brokerError } from '../errors.js'
import type { OutboundFrame } from './engine.js'
import { maxFrameMessages, maxFrameSize, type FrameKind } from './frames.js'

/** The messages of one tick for one topic. Everyone who publishes into it gets the same promise. */
class OpenFrame implements OutboundFrame {
  text = ''
  size = 0
  sentAt = 0
  readonly messages: string[] = []
  readonly accepted: Promise<void>
  settle!: (err?: Error) => void

  constructor (readonly topic: string, readonly kind: FrameKind, settled: (frame: OpenFrame) => void) {
    this.accepted = new Promise<void>((resolve, reject) => {
      this.settle = (err) => {
        settled(this)
        if (err === undefined) resolve()
        else reject(brokerError(err))
      }
    })
  }

  fits (length: number): boolean {
    return this.messages.length < maxFrameMessages && this.size + length <= maxFrameSize
  }

  add (message: string): void {
    this.messages.push(message)
    this.size += message.length
  }
}

/** What the outbox needs to send. */
export interface OutboxPort {
  topicOf (channel: string): string
  /** Makes the text that travels. */
  close (topic: string, kind: FrameKind, messages: readonly string[]): string
  /** Hands frames to the engine, which settles each. Only called between the first message and `fail`. */
  send (frames: readonly OutboundFrame[]): void
}

/** What is to be sent: gathered for a tick, handed to the engine as frames, and remembered until the engine accepted it. */
export class Outbox {
  readonly #port: OutboxPort
  readonly #counters: Pick<BrokerCounters, 'framesOut' | 'messagesOut'>
  /** The frame of each channel that still takes messages in this tick. */
  readonly #open = new Map<string, OpenFrame>()
  #queue: OpenFrame[] = []
  #tick: NodeJS.Immediate | null = null
  /** In the order in which they were sent. */
  readonly #inFlight = new Set<OpenFrame>()
  readonly #settled = (frame: OpenFrame): void => { this.#inFlight.delete(frame) }

  constructor (port: OutboxPort, counters: Pick<BrokerCounters, 'framesOut' | 'messagesOut'>) {
    this.#port = port
    this.#counters = counters
  }

  /** Since when the engine has owed an answer; `Infinity` when it owes none. */
  get waitingSince (): number {
    const [oldest] = this.#inFlight
    return oldest === undefined ? Infinity : oldest.sentAt
  }

  /** A publication of a channel, in one frame with the others of this tick. Settles when the engine accepted it. */
  publish (channel: string, data: string): Promise<void> {
    const frame = this.#open.get(channel)
    if (frame !== undefined && frame.fits(data.length)) {
      frame.add(data)
      return frame.accepted
    }
    const opened = this.#begin(this.#port.topicOf(channel), 'm', data)
    this.#open.set(channel, opened)
    return opened.accepted
  }

  /** A message in a frame of its own. Settles when the engine accepted it. */
  send (topic: string, kind: FrameKind, message: string): Promise<void> {
    return this.#begin(topic, kind, message).accepted
  }

  /** Sends what this tick still holds and waits for the engine's word, but not longer than `patience` milliseconds. */
  async finish (patience: number): Promise<void> {
    if (this.#tick !== null) {
      clearImmediate(this.#tick)
      this.#flush()
    }
    if (this.#inFlight.size === 0) return
    let timer: NodeJS.Timeout | null = null
    const over = new Promise<void>((resolve) => { timer = setTimeout(resolve, patience) })
    await Promise.race([Promise.allSettled([...this.#inFlight].map((frame) => frame.accepted)), over])
    if (timer !== null) clearTimeout(timer)
  }

  /** Everything that waits fails, and nothing of it is sent any more. */
  fail (error: Error): void {
    if (this.#tick !== null) clearImmediate(this.#tick)
    this.#tick = null
    const frames = [...this.#inFlight, ...this.#queue]
    this.#queue = []
    this.#open.clear()
    for (const frame of frames) frame.settle(error)
  }

  /** Starts a frame, which goes out when this tick ends. */
  #begin (topic: string, kind: FrameKind, message: string): OpenFrame {
    const frame = new OpenFrame(topic, kind, this.#settled)
    frame.add(message)
    this.#queue.push(frame)
    this.#tick ??= setImmediate(() => this.#flush())
    return frame
  }

  #flush (): void {
    this.#tick = null
    const frames = this.#queue
    this.#queue = []
    this.#open.clear()
    const now = performance.now()
    for (const frame of frames) {
      frame.text = this.#port.close(frame.topic, frame.kind, frame.messages)
      frame.sentAt = now
      this.#inFlight.add(frame)
      this.#counters.messagesOut += frame.messages.length
    }
    this.#counters.framesOut += frames.length
    this.#port.send(frames)
  }
}
