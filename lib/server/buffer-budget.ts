import type { Session } from '../socket/session.js'
import { Holdings } from '../transport/holdings.js'

/** Milliseconds between two counts of what the operating system took meanwhile. */
const interval = 100
/** Part of the limit down to which room is made, so that the room lasts for more than one message. */
const roomFactor = 7 / 8

/**
 * Keeps the memory held for all sockets within a budget. Every addition is counted at once. The operating system takes data
 * without an event, so sockets with a backlog are counted again at intervals, as long as there are any.
 */
export class BufferBudget {
  readonly holdings: Holdings
  readonly #limit: number
  readonly #sockets: ReadonlySet<Session>
  readonly #onOver: (socket: Session, heldBytes: number) => void
  readonly #congested = new Set<Session>()
  #timer: NodeJS.Timeout | null = null
  #makingRoom = false

  /**
   * @param limit bytes; 0 for no limit
   * @param sockets all sockets with a connection, including closed ones
   * @param onOver drops a socket; called for those that hold the most bytes first
   */
  constructor (limit: number, sockets: ReadonlySet<Session>, onOver: (socket: Session, heldBytes: number) => void) {
    this.#limit = limit
    this.#sockets = sockets
    this.#onOver = onOver
    this.holdings = new Holdings(limit, () => this.#makeRoom())
  }

  /** Call when the operating system did not take all data of a socket. */
  add (socket: Session): void {
    this.#congested.add(socket)
    this.#timer ??= setInterval(() => this.recount(), interval).unref()
  }

  remove (socket: Session): void {
    if (this.#congested.delete(socket) && this.#congested.size === 0) this.stop()
  }

  stop (): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  recount (): void {
    for (const socket of this.#congested) {
      try {
        socket.connection.recount()
        if (socket.connection.bufferedBytes === 0) this.remove(socket)
      } catch (err) {
        socket.fault(err)
      }
    }
  }

  #makeRoom (): void {
    if (this.#makingRoom) return
    this.#makingRoom = true
    try {
      this.recount()
      if (this.holdings.total <= this.#limit) return
      const held = [...this.#sockets].map((socket) => ({ socket, bytes: socket.heldBytes })).sort((a, b) => b.bytes - a.bytes)
      for (const { socket, bytes } of held) {
        if (this.holdings.total <= this.#limit * roomFactor || bytes === 0) return
        try {
          this.#onOver(socket, bytes)
        } catch (err) {
          socket.fault(err)
        }
      }
    } finally {
      this.#makingRoom = false
    }
  }
}
