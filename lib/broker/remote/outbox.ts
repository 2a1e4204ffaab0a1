import type { BrokerCounters } from '../../../types/broker.js'
import { brokerError } from '../errors.js'
import type { OutboundFrame } from './engine.js'
import { maxFrameMessages, maxFrameSize, type FrameKind } from './frames.js'

/** Messages that travel together. Everyone who publishes into it gets the same promise. */
class OpenFrame implements OutboundFrame {
  text = ''
  size = 0
  sentAt = 0
  /** The tick ended and it stays, since the frame before it is on its way. */
  waits = false
  readonly messages: string[] = []
  readonly accepted: Promise<void>
  settle!: (err?: Error) => void

  /** @param channel of publications; `null` for other messages, which travel alone */
  constructor (readonly topic: string, readonly kind: FrameKind, readonly channel: string | null, settled: (frame: OpenFrame) => void) {
    this.accepted = new Promise<void>((resolve, reject) => {
      this.settle = (err) => {
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

/**
 * What is to be sent: gathered, handed to the engine as frames, and remembered until the engine accepted it.
 *
 * A frame goes out when its tick ends. While one of its channel is on its way it stays, and takes what is published meanwhile,
 * until the engine answered or it is full: a busy channel costs a frame for each answer and not for each message, and a channel
 * of which nothing is on its way waits for nothing.
 */
export class Outbox {
  readonly #port: OutboxPort
  readonly #counters: Pick<BrokerCounters, 'framesOut' | 'messagesOut'>
  /** The frame of each channel that still takes messages. */
  readonly #open = new Map<string, OpenFrame>()
  /** What goes out, or begins to wait, when this tick ends. */
  #queue: OpenFrame[] = []
  #tick: NodeJS.Immediate | null = null
  /** In the order in which they were sent. */
  readonly #inFlight = new Set<OpenFrame>()
  /** The last frame of each channel that is on its way; engines answer for one channel in order. */
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

  /** Since when the engine has owed an answer; `Infinity` when it owes none. */
  get waitingSince (): number {
    const [oldest] = this.#inFlight
    return oldest === undefined ? Infinity : oldest.sentAt
  }

  /** A publication of a channel, in one frame with others of it. Settles when the engine accepted it. */
  publish (channel: string, data: string): Promise<void> {
    const frame = this.#open.get(channel)
    if (frame !== undefined && frame.fits(data.length)) {
      frame.add(data)
      if (frame.waits && frame.isFull) this.#enqueue(frame)
      return frame.accepted
    }
    if (frame?.waits === true) this.#enqueue(frame)
    const opened = this.#begin(this.#port.topicOf(channel), 'm', channel, data)
    this.#open.set(channel, opened)
    return opened.accepted
  }

  /** A message in a frame of its own. Settles when the engine accepted it. */
  send (topic: string, kind: FrameKind, message: string): Promise<void> {
    return this.#begin(topic, kind, null, message).accepted
  }

  /** Sends all that is held and waits for the engine's word, but not longer than `patience` milliseconds. */
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

  /** Everything that waits fails, and nothing of it is sent any more. */
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

  #begin (topic: string, kind: FrameKind, channel: string | null, message: string): OpenFrame {
    const frame = new OpenFrame(topic, kind, channel, this.#settled)
    frame.add(message)
    this.#enqueue(frame)
    return frame
  }

  #enqueue (frame: OpenFrame): void {
    frame.waits = false
    this.#queue.push(frame)
    this.#tick ??= setImmediate(() => this.#flush())
  }

  /** Whether it stays: it takes more, and one of its channel is on its way. */
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
      frame.text = this.#port.close(frame.topic, frame.kind, frame.messages)
      frame.sentAt = now
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
