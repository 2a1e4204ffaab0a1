import type { Guarded } from '../barrier.js'
import type { Connection } from '../transport/connection.js'
import { KeyedQueue } from './keyed-queue.js'

/** Maximum of publications that wait for hooks of one recipient. */
export const maxPendingDeliveries = 1_024

/** Publications that wait for the hooks of one recipient. Those of a channel stay in order, and count towards the backlog. */
export class WaitingDeliveries {
  readonly #connection: Connection
  readonly #queue: KeyedQueue

  constructor (owner: Guarded & { readonly connection: Connection }) {
    const connection = this.#connection = owner.connection
    this.#queue = new KeyedQueue(owner, {
      beginWaiting: (json) => {
        const bytes = deliveryBytes((json as string).length)
        connection.hold(bytes)
        return bytes
      },
      endWaiting: (bytes) => connection.release(bytes)
    })
  }

  get pending (): number { return this.#queue.pending }

  /** @param json text kept while the delivery waits @returns false when too much waits already */
  run (channel: string, json: string, deliver: () => void | Promise<void>): boolean {
    const { pending } = this.#queue
    if (pending >= maxPendingDeliveries) return false
    if (pending !== 0 && !this.#connection.hasRoom(deliveryBytes(json.length))) return false
    this.#queue.run(channel, deliver, json)
    return true
  }

  /** Makes later deliveries of a channel wait for the end of the current turn. */
  waitForTurn (channel: string): void {
    if (!this.#queue.isBusy(channel)) this.#queue.hold(channel, Promise.resolve(), '')
  }

  clear (): void { this.#queue.clear() }
}

/** Bytes that a publication takes while it waits for hooks: its text, which others may share, and the overhead of waiting. */
export function deliveryBytes (length: number): number {
  return length * 2 + 512
}
