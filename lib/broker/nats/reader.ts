import { setTimeout as sleep } from 'node:timers/promises'
import type { BrokerPosition } from '../../../types/broker.js'
import type { StoredRequest } from '../remote/engine.js'
import type { StoredHistory } from '../remote/history/stored.js'
import { append, startFrame, type MakeHeaders } from './appending.js'
import { newHistory, readKept, type KeptFrame } from './kept-frame.js'
import { status, statusOf, textOf, type Requests } from './requests.js'
import type { HistoryStream } from './stream.js'
import { apiError, checked } from './stream-api.js'

/** Bytes of frames after which a read stops. */
const maxReadBytes = 8 * 1024 * 1024
/** Frames that are read at once, by servers that can. */
const batchSize = 256
/** Attempts to begin a history. */
const maxStarts = 3
/** Milliseconds for a new leader of the stream to have everything, and between two looks. */
const maxLeaderDelay = 1_000
const leaderPause = 50
/** Messages that are read in vain rather than to search on. */
const near = 32

/** Reads the frames of the stream. */
export class FrameReader {
  readonly #requests: Requests
  readonly #stream: HistoryStream
  readonly #headers: MakeHeaders

  constructor (requests: Requests, stream: HistoryStream, headers: MakeHeaders) {
    this.#requests = requests
    this.#stream = stream
    this.#headers = headers
  }

  async read ({ topic, since, limit, limits, whole, isKnown }: StoredRequest): Promise<StoredHistory> {
    await this.#stream.reserve(limits)
    const subject = this.#stream.subjectOf(topic)
    const last = await (isKnown && since !== null && since !== 'oldest' ? this.#reached(subject, since) : this.last(subject)) ?? await this.#begin(subject)
    const answer = (frames: KeptFrame[], isPart = false): StoredHistory => ({ now: Date.now(), top: { epoch: last.epoch, offset: last.last, check: last.check }, frames, isPart })
    let missed = Math.min(limit, limits.size, last.last)
    if (since === 'oldest') missed = Math.min(limits.size, last.last)
    else if (since !== null) missed = since.epoch === last.epoch ? last.last - since.offset : 0
    if (limit === 0 || missed < 1 || (whole && missed > limit)) return answer([])
    const expired = since === 'oldest' ? Date.now() - limits.ttl : null
    const { frames, isPart } = await this.#frames(subject, last, last.last - missed, since === null ? null : limit, expired)
    return answer(frames, isPart)
  }

  /**
   * Reads the last frame of a subject; `null` if there is none. The answer comes from the stream's leader, which knows of each
   * frame that was acknowledged.
   */
  last (subject: string): Promise<KeptFrame | null> {
    return this.#fromLeader({ last_by_subj: subject })
  }

  /**
   * Reads the last frame of a subject, which a node knows to have reached a position. Before version 2.11 a new leader of a
   * replicated stream answers before it has applied what it was elected with. After a second the messages count as lost.
   */
  async #reached (subject: string, { epoch, offset }: BrokerPosition): Promise<KeptFrame | null> {
    for (const from = performance.now(); ; await sleep(leaderPause)) {
      const last = await this.last(subject)
      const isBehind = last === null || (last.epoch === epoch && last.last < offset)
      if (!isBehind || !this.#stream.isReplicated || performance.now() - from > maxLeaderDelay) return last
    }
  }

  /** Begins the history of a subject without frames. */
  async #begin (subject: string): Promise<KeptFrame> {
    for (let attempt = 0; attempt < maxStarts; attempt++) {
      const stored = await append(this.#requests, this.#headers, subject, newHistory(), startFrame)
      if (typeof stored === 'object') return { ...stored, ...startFrame, first: 1 }
      if (stored === 'no stream') await this.#stream.ensure()
      const last = await this.last(subject)
      if (last !== null) return last
    }
    throw new Error(`the stream "${this.#stream.name}" has no leader: nobody keeps the history`)
  }

  /**
   * Reads the frames after an offset, and the one of the offset itself.
   * @param last the last frame
   * @param limit the number of messages after the offset that are enough; `null` for all up to the last one
   * @param expired leave out frames of up to this time, and count `limit` from the first one that is kept; `null` for no limit
   * @returns the frames, and whether the oldest ones were left out because all would be too large
   */
  async #frames (subject: string, last: KeptFrame, offset: number, limit: number | null, expired: number | null): Promise<{ frames: KeptFrame[], isPart: boolean }> {
    if (last.first <= offset || (expired !== null && last.time <= expired)) return { frames: [last], isPart: false }
    const first = await this.#startOf(subject, last, offset, expired ?? -Infinity)
    const from = expired === null ? offset : first.time <= expired ? first.last : Math.max(offset, first.first - 1)
    const frames = [first]
    let bytes = bytesOf(first)
    let isPart = false
    const isEnough = ({ seq, last: reached }: KeptFrame): boolean => seq === last.seq || (limit !== null && (reached - from >= limit || bytes > maxReadBytes))
    while (!isEnough(frames.at(-1)!)) {
      for (const frame of await this.#after(subject, frames.at(-1)!, last)) {
        frames.push(frame)
        bytes += bytesOf(frame)
      }
      // Those that were read in vain do not count.
      while (frames.length > 1 && frames[0]!.last < from) bytes -= bytesOf(frames.shift()!)
      // The newest messages are wanted, so the oldest ones are left out, except the one that exceeds the maximum.
      if (limit !== null) continue
      while (bytes - bytesOf(frames[0]!) > maxReadBytes) {
        bytes -= bytesOf(frames.shift()!)
        isPart = true
      }
    }
    return { frames: frames.filter(({ epoch }) => epoch === last.epoch), isPart }
  }

  /**
   * Finds a frame from which to read what follows an offset: that of the offset or one a little before it, or the first one that
   * is kept. If it has expired, it finds the last one that has. Only sequences can be looked up, so it searches between two frames.
   */
  async #startOf (subject: string, last: KeptFrame, offset: number, expired: number): Promise<KeptFrame> {
    let low = (await this.#direct(subject, 1, 1))[0] ?? await this.#fromLeader({ seq: 1, next_by_subj: subject })
    if (low === null || low.seq >= last.seq) return last
    let high = { seq: last.seq, first: last.first }
    const isFar = ({ last: reached, time }: KeptFrame): boolean => time <= expired ? high.first - reached > 1 : reached < offset && high.first - reached > near
    for (let round = 0; isFar(low) && high.seq - low.seq > 1; round++) {
      // Channels have messages at all times, or at some; one of the two ways is fast.
      const share = round % 2 === 0 && low.last < offset ? (offset - low.last) / (high.first - low.last) : 0.5
      const guess = Math.min(high.seq - 1, low.seq + 1 + Math.floor((high.seq - low.seq) * share))
      const [found]: KeptFrame[] = await this.#direct(subject, guess, 1)
      if (found !== undefined && (found.first <= offset || found.time <= expired) && found.epoch === last.epoch) low = found
      else high = { seq: guess, first: Math.min(high.first, found?.first ?? high.first) }
    }
    return low
  }

  /** Reads frames that follow one, not beyond the last one. */
  async #after (subject: string, { seq, last: offset }: KeptFrame, last: KeptFrame): Promise<KeptFrame[]> {
    const frames = (await this.#direct(subject, seq + 1, batchSize)).filter((frame) => frame.seq < last.seq)
    if (frames.length > 0) return frames
    if (offset + 1 === last.first) return [last]
    // A replica may be behind.
    const next = await this.#fromLeader({ seq: seq + 1, next_by_subj: subject })
    return next === null || next.seq >= last.seq ? [last] : [next]
  }

  /** Reads frames from any server that has the stream. Those before version 2.11 return only one. */
  async #direct (subject: string, seq: number, batch: number): Promise<KeptFrame[]> {
    const frames: KeptFrame[] = []
    const request = { seq, next_by_subj: subject, ...batch > 1 && { batch, max_bytes: maxReadBytes } }
    await new Promise<void>((resolve, reject) => {
      this.#requests.send(`$JS.API.DIRECT.GET.${this.#stream.name}`, JSON.stringify(request), (answer) => {
        if (answer instanceof Error) {
          reject(answer)
          return false
        }
        const code = statusOf(answer)
        const sequence = answer.headers?.get('Nats-Sequence') ?? ''
        if (code === 0 && sequence !== '') {
          const frame = readKept(textOf(answer), Number(sequence))
          if (frame !== null) frames.push(frame)
          // Only batches tell how many follow.
          if (batch > 1 && answer.headers!.has('Nats-Num-Pending')) return true
        } else if (code !== status.noMessage && code !== status.endOfBatch) {
          reject(new Error(`the stream "${this.#stream.name}" cannot be read: ${answer.headers?.description || code}`))
          return false
        }
        resolve()
        return false
      })
    })
    return frames
  }

  async #fromLeader (request: object): Promise<KeptFrame | null> {
    const { message, error } = await this.#stream.api('MSG.GET', request)
    if (message === undefined) {
      if (error?.err_code === apiError.noStream) await this.#stream.ensure()
      else if (error?.err_code !== apiError.noMessage) checked({ error })
      return null
    }
    const frame = readKept(Buffer.from(message.data ?? '', 'base64').toString(), message.seq)
    if (frame === null) throw new Error(`the stream "${this.#stream.name}" has a message that no process of this application wrote`)
    return frame
  }
}

/** The bytes of a frame, as Redis counts them. */
function bytesOf ({ text }: KeptFrame): number {
  return Buffer.byteLength(text)
}
