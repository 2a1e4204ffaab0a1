import type { BrokerCounters, BrokerHistoryLimits, BrokerPosition } from '../../../types/broker.js'
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

/** Longest time in milliseconds for which a frame that waited for an answer stays open after it. */
const maxGrowth = 1

/**
 * Gathers outgoing messages into frames, hands them to the engine, and tracks them until the engine accepts them.
 *
 * While nothing is in flight, what is published is sent as soon as the running code returns to the event loop; otherwise at the end
 * of the turn, in one write for all channels. While another frame of its channel is in flight, a frame stays open for further
 * publications until the engine answers or the frame is full, and then as long as each turn adds to it, at most `maxGrowth`. So a
 * busy channel needs a frame for many messages, a busy process one write per turn, and a quiet one does not wait.
 */
export class Outbox {
  readonly #port: OutboxPort
  readonly #counters: Pick<BrokerCounters, 'framesOut' | 'messagesOut'>
  /** The open frame of each channel. */
  readonly #open = new Map<string, OpenFrame>()
  /** Frames to send, or to keep open, at the next flush. */
  #queue: OpenFrame[] = []
  #flushing = false
  readonly #run = (): void => {
    this.#flushing = false
    this.#flush()
  }

  /** Frames that the engine has not answered, in the order in which they were sent. */
  readonly #inFlight = new Set<OpenFrame>()
  /** The last frame in flight of each channel. Engines answer the frames of one channel in order. */
  readonly #lastInFlight = new Map<string, OpenFrame>()
  readonly #settled = (frame: OpenFrame): void => {
    this.#inFlight.delete(frame)
    if (frame.channel === null || this.#lastInFlight.get(frame.channel) !== frame) return
    this.#lastInFlight.delete(frame.channel)
    const next = this.#open.get(frame.channel)
    if (next?.waits !== true) return
    next.mayGrowUntil = performance.now() + maxGrowth
    next.takeGrowth()
    this.#enqueue(next)
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

  /** Publishes like `publish`, or with a key like `publishOnce`. Resolves with the position of the message, or `null` for a repeat. */
  append (channel: string, data: string, limits: BrokerHistoryLimits, key?: string): Promise<BrokerPosition | null> {
    return this.#put(channel, data, limits, key).positionOfLast()
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
    if (this.#queue.length !== 0) {
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
    if (this.#flushing) return
    this.#flushing = true
    // Nothing in flight: the first message does not wait for the rest of the turn. One in flight bounds the number of writes.
    if (this.#inFlight.size === 0 && frame.mayGrowUntil === 0) process.nextTick(this.#run)
    else setImmediate(this.#run)
  }

  /** Whether a frame takes more messages: it has room, and no later frame of its channel was begun. */
  #isOpen (frame: OpenFrame): boolean {
    return frame.channel !== null && this.#open.get(frame.channel) === frame && !frame.isFull
  }

  #flush (): void {
    const queue = this.#queue
    this.#queue = []
    const frames: OpenFrame[] = []
    const now = performance.now()
    for (const frame of queue) {
      if (this.#isOpen(frame)) {
        if (this.#lastInFlight.has(frame.channel!)) {
          frame.waits = true
          continue
        }
        if (now < frame.mayGrowUntil && frame.takeGrowth()) {
          this.#enqueue(frame)
          continue
        }
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
