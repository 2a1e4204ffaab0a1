import { slices } from '../slices.js'
import type { Session } from './session.js'

/** An array of more packets is worked on in slices. */
export const manyPackets = 32

/** What a message that waits for its turn takes beside its text. */
const waitingBytes = 128

/** Who does the work, message by message and packet by packet. */
export interface InboundWorker {
  message (data: string | Buffer): void
  packet (value: unknown, data: string | Buffer): void
  /** Nothing is left of it, or nothing of it counts any more. */
  workDone (): void
}

/**
 * What is worked on in slices: an array of many packets, and the messages that came behind it, or behind many others in one
 * read. It is made when there is such work, and gone when that is done; while it waits, reading pauses.
 */
export class InboundWork {
  readonly #session: Session
  readonly #worker: InboundWorker
  /** The packets of the array that is worked on, the next of them, and the message that they are of. */
  #packets: unknown[] = []
  #at = 0
  #data: string | Buffer = ''
  readonly #behind: Array<{ readonly data: string | Buffer, readonly held: number }> = []
  /** What follows from the client's close: what it sent before comes first. */
  #afterwards: (() => void) | null = null
  #done = false

  constructor (session: Session, worker: InboundWorker) {
    this.#session = session
    this.#worker = worker
  }

  /** Begins with what is left of this slice. What fits into it is done when this returns. */
  begin (): void {
    slices.run(this.#session, () => this.#step())
    if (!this.#done) this.#session.activity.working = true
  }

  /** Begins in the next turn of the event loop. */
  beginLater (): void {
    slices.later(this.#session, () => this.#step())
    this.#session.activity.working = true
  }

  /** The packets of a message come now, each in its turn: each may have an application's hooks run. */
  takeArray (packets: unknown[], data: string | Buffer): void {
    this.#packets = packets
    this.#at = 0
    this.#data = data
  }

  /** A message comes when all before it is done. */
  addMessage (data: string | Buffer): void {
    this.#behind.push({ data, held: this.#session.activity.holdBytes(data.length * 2 + waitingBytes) })
  }

  /** The client closed the connection in order. @param afterwards does nothing where the socket is closed already */
  closed (afterwards: () => void): void {
    this.#afterwards = afterwards
  }

  /** @returns whether there is more to do */
  #step (): boolean {
    const { activity } = this.#session
    if (activity.ended) {
      this.#end()
      // It was closed and then dropped: nobody else tells that it is gone.
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
