import { setTimeout as sleep } from 'node:timers/promises'
import type { OutboundFrame } from '../remote/engine.js'
import { append, type MakeHeaders } from './appending.js'
import { newHistory, type LastFrame } from './kept-frame.js'
import type { FrameReader } from './reader.js'
import type { Requests } from './requests.js'
import type { HistoryStream } from './stream.js'

/** Milliseconds after which a frame is refused for which other nodes left no place. */
const maxWait = 1_000
/** Tries without a pause. */
const quickTries = 5
/** Longest pause between two tries, in milliseconds. */
const maxPause = 5
/** Attempts to create the stream for one frame. */
const maxCreations = 2
/** Channels whose last frame is remembered. */
const maxLanes = 10_000

/** The frames of one channel that this node sends. One is on its way at a time, because the next one must follow it. */
interface Lane {
  readonly subject: string
  readonly frames: Array<{ readonly frame: OutboundFrame, readonly since: number, readonly send: (frame: OutboundFrame) => void }>
  /** The last frame of the channel, as far as this node knows; `null` when it has to be read. */
  last: LastFrame | null
}

/**
 * Publishes frames to the stream. Each frame states the offset of its first message and the frame that it follows; the stream
 * refuses it when another node was faster, and it is sent again behind that one's.
 */
export class FramePublisher {
  readonly #requests: Requests
  readonly #stream: HistoryStream
  readonly #reader: Pick<FrameReader, 'last'>
  readonly #headers: MakeHeaders
  readonly #lanes = new Map<string, Lane>()

  constructor (requests: Requests, stream: HistoryStream, reader: Pick<FrameReader, 'last'>, headers: MakeHeaders) {
    this.#requests = requests
    this.#stream = stream
    this.#reader = reader
    this.#headers = headers
  }

  /**
   * Takes a frame to keep, or one that must come after such frames of its channel.
   * @param send sends a frame that is not kept, and settles it
   * @returns whether it did
   */
  take (frame: OutboundFrame, send: (frame: OutboundFrame) => void): boolean {
    if (frame.kept === null) {
      const lane = this.#lanes.get(frame.topic)
      if (lane === undefined || lane.frames.length === 0) return false
      lane.frames.push({ frame, since: 0, send })
      return true
    }
    const lane = this.#lanes.get(frame.topic) ?? this.#begin(frame.topic)
    lane.frames.push({ frame, since: performance.now(), send })
    if (lane.frames.length === 1) this.#work(lane)
    return true
  }

  /** Call when a frame of the stream arrived: the next frame of this node follows it. @param sequence reads its sequence */
  arrived (topic: string, { epoch, last, time }: Omit<LastFrame, 'seq'>, sequence: () => number): void {
    const lane = this.#lanes.get(topic)
    if (lane === undefined || lane.last === null) return
    // A stream that was deleted begins with low sequences again.
    if (epoch !== lane.last.epoch) {
      lane.last = null
      return
    }
    const seq = sequence()
    if (seq > lane.last.seq) lane.last = { seq, epoch, last, time }
  }

  #begin (topic: string): Lane {
    if (this.#lanes.size >= maxLanes) {
      for (const [name, { frames }] of this.#lanes) {
        if (frames.length !== 0) continue
        this.#lanes.delete(name)
        break
      }
    }
    const lane: Lane = { subject: this.#stream.subjectOf(topic), frames: [], last: null }
    this.#lanes.set(topic, lane)
    return lane
  }

  /** Sends the frames of a channel one after the other. Never rejects. */
  async #work (lane: Lane): Promise<void> {
    for (let next = lane.frames[0]; next !== undefined; next = lane.frames[0]) {
      try {
        if (next.frame.kept === null) next.send(next.frame)
        else {
          const { epoch, last } = await this.#send(lane, next.frame, next.since)
          next.frame.settle(undefined, undefined, { epoch, first: last - next.frame.kept.count + 1 })
        }
      } catch (err) {
        lane.last = null
        next.frame.settle(err as Error)
      }
      lane.frames.shift()
    }
  }

  async #send (lane: Lane, { text, kept }: OutboundFrame, since: number): Promise<LastFrame> {
    const { limits, count, check } = kept!
    await this.#stream.reserve(limits)
    let creations = 0
    for (let tries = 0; ; tries++) {
      const last = (lane.last ??= await this.#reader.last(lane.subject) ?? newHistory())
      const stored = await append(this.#requests, this.#headers, lane.subject, last, { count, check, text })
      if (stored === 'no stream') {
        // Somebody deleted it.
        if (++creations > maxCreations) throw new Error(`the stream "${this.#stream.name}" has no leader: nobody keeps the history`)
        await this.#stream.ensure()
        lane.last = null
        continue
      }
      if (stored !== 'taken') {
        if (lane.last === null || lane.last.seq < stored.seq) lane.last = stored
        return stored
      }
      // Unless a newer frame arrived meanwhile.
      if (lane.last === last) lane.last = null
      if (performance.now() - since > maxWait) throw new Error(`other processes publish to the channel, and within ${maxWait} ms this one found no place between them`)
      if (tries >= quickTries) await sleep(Math.random() * maxPause)
    }
  }
}
