import type { BrokerCounters, BrokerHistoryLimits } from '../../../types/broker.js'
import type { OutboundFrame } from './engine.js'
import type { FrameKind } from './frames.js'
import { OpenFrame } from './open-frame.js'

/** The parts of the broker that the outbox uses to send. */
export interface OutboxPort {
  topicOf (channel: string): string
  /** Encodes the messages of a frame. */
  close (topic: string, kind: FrameKind, messages: readonly string[]): string
  /** Hands frames to the engine, which settles each. Called only between the first message and `fail`. */
  send (frames: readonly OutboundFrame[]): void
}

/**
 * Gathers outgoing messages into frames, hands them to the engine, and tracks them until the engine accepts them.
 *
 * A frame is sent at the end of its tick. While another frame of its channel is in flight, it stays open for further publications
 * until the engine answers or the frame is full. So a busy channel needs one frame per answer and not one per message, while a
 * channel with nothing in flight never waits.
 */
export class Outbox {
  readonly #port: OutboxPort
  readonly #counters: Pick<BrokerCounters, 'framesOut' | 'messagesOut'>
  /** The open frame of each channel. */
  readonly #open = new Map<string, OpenFrame>()
  /** Frames to send, or to keep open, at the end of this tick. */
  #queue: OpenFrame[] = []
  #tick: NodeJS.Immediate | null = null
  /** Frames that the engine has not answered, in the order in which they were sent. */
  readonly #inFlight = new Set<OpenFrame>()
  /** The last frame in flight of each channel. Engines answer the frames of one channel in order. */
  readonly #lastInFlight = new Map<string, OpenFrame>()
  readonly #settled = (frame: OpenFrame): void => {
    this.#inFlight.delete(frame)
    if (frame.channel === null || this.#lastInFlight.get(frame.channel) !== frame) return
    this.#lastInFlight.delete(frame.channel)
    const next = this.#open.get(frame.channel)
    if (next?.waits === true) this.#enqueue(next)
  }

  constructor (port: OutboxPort, counters: Pick<BrokerCounters, 'framesOut' | 'messagesOut'>) {
    this.#port = port
    this.#counters = counters
  }

  /** Time of the oldest frame without an answer, by `performance.now()`; `Infinity` when there is none. */
  get waitingSince (): number {
    const [oldest] = this.#inFlight
    return oldest === undefined ? Infinity : oldest.sentAt
  }

  /**
   * Publishes to a channel, in one frame with other publications of the channel. Resolves when the engine accepts it.
   * @param limits of the history that keeps the message; `null` if it is not kept
   */
  publish (channel: string, data: string, limits: BrokerHistoryLimits | null = null): Promise<void> {
    return this.#put(channel, data, limits).accepted
  }

  /** Publishes like `publish`, unless the key was used. Resolves with whether the message was published. */
  publishOnce (channel: string, data: string, limits: BrokerHistoryLimits, key: string): Promise<boolean> {
    return this.#put(channel, data, limits, key).publishedLast()
  }

  /** Adds a message to the open frame of its channel, or to a new one. */
  #put (channel: string, data: string, limits: BrokerHistoryLimits | null, key?: string): OpenFrame {
    const frame = this.#open.get(channel)
    if (frame !== undefined && frame.limits === limits && frame.fits(data.length)) {
      frame.add(data, key)
      if (frame.waits && frame.isFull) this.#enqueue(frame)
      return frame
    }
    if (frame?.waits === true) this.#enqueue(frame)
    const opened = this.#begin(this.#port.topicOf(channel), 'm', channel, data, limits, key)
    this.#open.set(channel, opened)
    return opened
  }

  /** Sends a message in a frame of its own. Resolves when the engine accepts it. */
  send (topic: string, kind: FrameKind, message: string): Promise<void> {
    return this.#begin(topic, kind, null, message, null).accepted
  }

  /** Sends all open frames and waits for the engine's answers, at most `patience` milliseconds. */
  async finish (patience: number): Promise<void> {
    for (const frame of this.#open.values()) if (frame.waits) this.#enqueue(frame)
    if (this.#tick !== null) {
      clearImmediate(this.#tick)
      this.#open.clear()
      this.#flush()
    }
    if (this.#inFlight.size === 0) return
    let timer: NodeJS.Timeout | null = null
    const over = new Promise<void>((resolve) => { timer = setTimeout(resolve, patience) })
    await Promise.race([Promise.allSettled([...this.#inFlight].map((frame) => frame.accepted)), over])
    if (timer !== null) clearTimeout(timer)
  }

  /** Fails all frames and discards those that were not sent. */
  fail (error: Error): void {
    if (this.#tick !== null) clearImmediate(this.#tick)
    this.#tick = null
    const waiting = [...this.#open.values()].filter((frame) => frame.waits)
    const frames = [...this.#inFlight, ...waiting, ...this.#queue]
    this.#queue = []
    this.#open.clear()
    this.#lastInFlight.clear()
    for (const frame of frames) frame.settle(error)
  }

  #begin (topic: string, kind: FrameKind, channel: string | null, message: string, limits: BrokerHistoryLimits | null, key?: string): OpenFrame {
    const frame = new OpenFrame(topic, kind, channel, limits, this.#settled)
    frame.add(message, key)
    this.#enqueue(frame)
    return frame
  }

  #enqueue (frame: OpenFrame): void {
    frame.waits = false
    this.#queue.push(frame)
    this.#tick ??= setImmediate(() => this.#flush())
  }

  /** Whether a frame stays open: it has room, and another frame of its channel is in flight. */
  #stays (frame: OpenFrame): boolean {
    const { channel } = frame
    return channel !== null && this.#open.get(channel) === frame && !frame.isFull && this.#lastInFlight.has(channel)
  }

  #flush (): void {
    this.#tick = null
    const queue = this.#queue
    this.#queue = []
    const frames: OpenFrame[] = []
    const now = performance.now()
    for (const frame of queue) {
      if (this.#stays(frame)) {
        frame.waits = true
        continue
      }
      frame.close(this.#port.close(frame.topic, frame.kind, frame.messages), now)
      this.#inFlight.add(frame)
      if (frame.channel !== null) {
        if (this.#open.get(frame.channel) === frame) this.#open.delete(frame.channel)
        this.#lastInFlight.set(frame.channel, frame)
      }
      this.#counters.messagesOut += frame.messages.length
      frames.push(frame)
    }
    if (frames.length === 0) return
    this.#counters.framesOut += frames.length
    this.#port.send(frames)
  }
}
