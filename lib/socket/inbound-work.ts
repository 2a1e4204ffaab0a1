import { slices } from '../slices.js'
import type { Session } from './session.js'

/** Arrays with more packets than this are processed in slices. */
export const manyPackets = 32

/** Bytes that a waiting message takes beside its text. */
const waitingBytes = 128

/** Processes messages and packets one by one. */
export interface InboundWorker {
  message (data: string | Buffer): void
  packet (value: unknown, data: string | Buffer): void
  /** Called when all work is done, or when the rest is dropped because the connection is gone. */
  workDone (): void
}

/**
 * Inbound work that is processed in slices: an array of many packets, and the messages that arrived behind it or behind many
 * others in one read. Created when there is such work and dropped when it is done. Reading pauses meanwhile.
 */
export class InboundWork {
  readonly #session: Session
  readonly #worker: InboundWorker
  /** The packets of the current array, the index of the next one, and the message that contained them. */
  #packets: unknown[] = []
  #at = 0
  #data: string | Buffer = ''
  readonly #behind: Array<{ readonly data: string | Buffer, readonly held: number }> = []
  /** Runs after the queued work when the client closed the connection: what it sent before the close comes first. */
  #afterwards: (() => void) | null = null
  #done = false

  constructor (session: Session, worker: InboundWorker) {
    this.#session = session
    this.#worker = worker
  }

  /** Begins in what is left of the current slice. Work that fits is done when this returns. */
  begin (): void {
    slices.run(this.#session, () => this.#step())
    if (!this.#done) this.#session.activity.working = true
  }

  /** Begins in the next turn of the event loop. */
  beginLater (): void {
    slices.later(this.#session, () => this.#step())
    this.#session.activity.working = true
  }

  /** Takes the packets of a message, to be processed one per step, since each may run hooks of the application. */
  takeArray (packets: unknown[], data: string | Buffer): void {
    this.#packets = packets
    this.#at = 0
    this.#data = data
  }

  /** Queues a message behind the current work. */
  addMessage (data: string | Buffer): void {
    this.#behind.push({ data, held: this.#session.activity.holdBytes(data.length * 2 + waitingBytes) })
  }

  /**
   * Call when the client closed the connection with a close frame.
   * @param afterwards runs when all work is done or dropped; does nothing when the socket is already closed
   */
  closed (afterwards: () => void): void {
    this.#afterwards = afterwards
  }

  /** Processes one packet or message. @returns whether there is more to do */
  #step (): boolean {
    const { activity } = this.#session
    if (activity.ended) {
      this.#end()
      // The connection was dropped after the close: nothing else ends the session.
      this.#afterwards?.()
      return false
    }
    if (this.#at < this.#packets.length) {
      this.#worker.packet(this.#packets[this.#at++], this.#data)
      return true
    }
    const next = this.#behind.shift()
    if (next !== undefined) {
      activity.release(next.held)
      this.#worker.message(next.data)
      return true
    }
    this.#end()
    activity.working = false
    this.#afterwards?.()
    return false
  }

  #end (): void {
    this.#done = true
    this.#worker.workDone()
  }
}
