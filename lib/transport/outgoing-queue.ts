import type { SlowConsumerPolicy } from '../../types/options.js'
import type { Flushable, Flusher } from './flusher.js'
import type { SharedMessage } from './shared-message.js'
import type { Holdings } from './holdings.js'

/** Answers are never dropped, but a client is disconnected when its backlog exceeds the budget by this factor. */
const hardLimitFactor = 1.5
/**
 * The most bytes that wait for a client under the policy `resume`: what follows is in a history. Twice what the stream takes at once,
 * so that a client that reads again does not wait.
 */
const resumeBytes = 32_768
/** Text with a character outside Latin-1 takes two bytes a character; checking would mean reading the text. */
const bytesPerCharacter = 2

/** A queued message: text or bytes for this client alone, or a message shared with other clients. */
export type Item = string | Buffer | SharedMessage

/**
 * The messages that wait to be sent to one client, and the policy for a client that reads too slowly. A connection extends this
 * class instead of owning a queue, because there are very many connections.
 */
export abstract class OutgoingQueue implements Flushable {
  readonly holdings: Holdings
  readonly #flusher: Flusher
  readonly #maxBufferedBytes: number
  /** The queue: a single item, the usual case, or a list of more than one. */
  #single: Item | null = null
  #queue: Item[] | null = null
  #queuedBytes = 0
  /** Bytes held before they are queued, including the last publication of each channel. */
  #heldBytes = 0
  /** The share of `holdings` that belongs to this connection. */
  #counted = 0
  #urgent = false
  /** The backlog exceeded its budget and has not halved since. */
  #slow = false
  /** The last publication of each channel, under the policy `latest`. */
  #latest: Map<string, SharedMessage> | null = null
  #awaitingDrain = false
  /** The socket waits for room in the backlog. */
  #awaitingRoom = false

  constructor (flusher: Flusher, holdings: Holdings, maxBufferedBytes: number) {
    this.#flusher = flusher
    this.holdings = holdings
    this.#maxBufferedBytes = maxBufferedBytes === 0 ? Infinity : maxBufferedBytes
  }

  abstract get open (): boolean
  /** Bytes written that the operating system has not taken yet. */
  protected abstract get backlog (): number
  /** Writes one item, or the list of more than one, in order. */
  protected abstract write (single: Item, queue: Item[] | null, flusher: Flusher): void
  /** Calls back when the operating system has taken the written bytes. */
  protected abstract onDrained (drained: () => void): void
  protected abstract onBacklog (bufferedBytes: number, policy: SlowConsumerPolicy): void
  /** Called for each message that is not sent, because the connection is not open. */
  protected onUnsent (): void {}
  protected abstract onCongested (): void
  /** Called once after `awaitRoom`, when there may be room in the backlog. */
  protected abstract onRoom (): void
  abstract fault (err: unknown): void

  get bufferedBytes (): number {
    return this.#queuedBytes + this.#heldBytes + this.backlog
  }

  get queuedMessages (): number {
    return this.#single === null ? 0 : this.#queue === null ? 1 : this.#queue.length
  }

  send (data: string | Buffer): void {
    this.sendItem(data, typeof data === 'string' ? data.length * bytesPerCharacter : data.length)
  }

  /** Queues an item for this client alone. @param bytes its size, for the budgets */
  protected sendItem (data: Item, bytes: number): void {
    if (!this.open) {
      this.onUnsent()
      return
    }
    const limit = this.#maxBufferedBytes * hardLimitFactor
    // Only the backlog before this message counts: a single answer may have any size. `#counted` is never less than the current
    // backlog, and reading it does not query the stream.
    if (this.#counted + this.#queuedBytes > limit && this.bufferedBytes > limit && !this.#relieved(limit)) {
      this.onBacklog(this.bufferedBytes, 'disconnect')
      if (!this.open) return
    }
    this.#enqueue(data, bytes)
    if (!this.#urgent) {
      this.#urgent = true
      this.#flusher.add(this, true)
    }
    this.#count(bytes)
  }

  publish (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): boolean {
    if (!this.open) {
      this.onUnsent()
      return false
    }
    const { bytes } = message
    const waiting = this.bufferedBytes
    const total = waiting + bytes
    // What waits for hooks is not on its way, so it is no reason to read this publication again from the history.
    const limit = policy === 'resume' ? Math.min(this.#heldBytes + Math.max(resumeBytes, bytes), this.#maxBufferedBytes) : this.#maxBufferedBytes
    // A publication larger than the budget is sent when nothing else waits.
    if (total > limit && waiting !== 0 && !this.#relieved(limit, bytes)) {
      // Under `resume` the socket decides whether the client lags behind anew.
      if (policy !== 'resume') this.#overBudget(message, channel, policy)
      return false
    }
    if (this.#slow && total * 2 < this.#maxBufferedBytes) this.#slow = false
    // The kept publication is older than this one and must not follow it.
    if (this.#latest !== null) this.takeLatest(channel)
    const first = this.#single === null
    this.#enqueue(message, bytes)
    if (first) this.#flusher.add(this, false)
    return true
  }

  hasRoom (bytes: number): boolean {
    const waiting = this.bufferedBytes
    return waiting === 0 || waiting + bytes <= this.#maxBufferedBytes || this.#relieved(this.#maxBufferedBytes, bytes)
  }

  hold (bytes: number): void {
    if (this.open) this.#hold(bytes)
  }

  release (bytes: number): void {
    if (!this.open) return
    this.#hold(-bytes)
    if (this.#awaitingRoom) this.#awaitDrain()
  }

  awaitRoom (): void {
    if (!this.open) return
    this.#awaitingRoom = true
    if (this.backlog !== 0 || this.#single !== null) this.#awaitDrain()
  }

  recount (): void {
    this.#count(this.#heldBytes + this.backlog - this.#counted)
  }

  #hold (bytes: number): void {
    this.#heldBytes += bytes
    this.#count(bytes)
  }

  /** Counts bytes. A shared publication counts only when the system did not take it: until then connections share one copy. */
  #count (bytes: number): void {
    this.#counted += bytes
    this.holdings.add(bytes)
  }

  /** Flushes now: bytes that the operating system takes at once do not wait. @returns whether there is room now */
  #relieved (limit: number, bytes = 0): boolean {
    if (this.#single === null || this.backlog !== 0) return false
    this.flush(this.#flusher)
    const waiting = this.bufferedBytes
    return waiting === 0 || waiting + bytes <= limit
  }

  #overBudget (message: SharedMessage, channel: string, policy: SlowConsumerPolicy): void {
    if (policy === 'latest') {
      this.#latest ??= new Map()
      this.takeLatest(channel)
      this.#latest.set(channel, message)
      this.#hold(message.bytes)
      this.#awaitDrain()
      // There is no room even for the last publication of each channel.
      if (this.open && this.bufferedBytes > this.#maxBufferedBytes * hardLimitFactor) {
        this.onBacklog(this.bufferedBytes, 'disconnect')
        return
      }
    }
    if (this.#slow) return
    this.#slow = true
    this.onBacklog(this.bufferedBytes, policy)
  }

  takeLatest (channel: string): SharedMessage | undefined {
    const message = this.#latest?.get(channel)
    if (message === undefined) return undefined
    this.#latest!.delete(channel)
    this.#hold(-message.bytes)
    return message
  }

  #awaitDrain (): void {
    if (this.#awaitingDrain) return
    this.#awaitingDrain = true
    const drained = (): void => {
      this.#awaitingDrain = false
      try {
        this.#sendLatest()
        if (this.#awaitingRoom && this.open) {
          this.#awaitingRoom = false
          this.onRoom()
        }
      } catch (err) {
        this.fault(err)
      }
    }
    this.onDrained(drained)
  }

  #sendLatest (): void {
    const latest = this.#latest
    this.#latest = null
    if (latest === null || !this.open) return
    for (const message of latest.values()) {
      if (this.#single === null) this.#flusher.add(this, false)
      this.#hold(-message.bytes)
      this.#enqueue(message, message.bytes)
    }
  }

  #enqueue (item: Item, bytes: number): void {
    if (this.#single === null) this.#single = item
    else if (this.#queue === null) this.#queue = [this.#single, item]
    else this.#queue.push(item)
    this.#queuedBytes += bytes
  }

  flush (flusher: Flusher): void {
    this.#urgent = false
    const single = this.#single
    if (single === null) return
    const queue = this.#queue
    this.#single = this.#queue = null
    this.#queuedBytes = 0
    if (!this.open) return
    this.write(single, queue, flusher)
    const waiting = this.#heldBytes + this.backlog
    if (waiting !== this.#counted) this.#count(waiting - this.#counted)
    if (waiting !== 0) this.onCongested()
  }

  /** Writes the queued messages before a close and discards those that are only held. */
  protected flushLast (): void {
    this.flush(this.#flusher)
    this.#latest = null
    this.#heldBytes = 0
    this.recount()
  }

  /** Discards all queued messages after the connection ended. */
  protected letGo (): void {
    this.#single = this.#queue = this.#latest = null
    this.#queuedBytes = this.#heldBytes = 0
    this.#count(-this.#counted)
  }
}
