import type { ServerSocket } from '../socket/socket.js'

/** Milliseconds between two looks at the backlogs. */
const interval = 100

/**
 * Keeps what waits for all sockets together within a budget. Only sockets that the operating system took no more from are
 * looked at, and only while there are any.
 */
export class BufferBudget {
  readonly #limit: number
  readonly #onOver: (socket: ServerSocket, bufferedBytes: number) => void
  readonly #congested = new Set<ServerSocket>()
  #timer: NodeJS.Timeout | null = null

  /** @param onOver ends the slowest socket */
  constructor (limit: number, onOver: (socket: ServerSocket, bufferedBytes: number) => void) {
    this.#limit = limit
    this.#onOver = onOver
  }

  add (socket: ServerSocket): void {
    if (this.#limit === 0) return
    this.#congested.add(socket)
    this.#timer ??= setInterval(() => this.#check(), interval).unref()
  }

  remove (socket: ServerSocket): void {
    this.#congested.delete(socket)
    if (this.#congested.size === 0) this.stop()
  }

  stop (): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  #check (): void {
    let total = 0
    const backlogs: Array<{ socket: ServerSocket, bytes: number }> = []
    for (const socket of this.#congested) {
      try {
        const bytes = socket.bufferedAmount
        if (bytes === 0) {
          this.remove(socket)
        } else {
          total += bytes
          backlogs.push({ socket, bytes })
        }
      } catch (err) {
        socket.fault(err)
      }
    }
    if (total <= this.#limit) return
    backlogs.sort((a, b) => b.bytes - a.bytes)
    for (const { socket, bytes } of backlogs) {
      try {
        this.#onOver(socket, bytes)
      } catch (err) {
        socket.fault(err)
      }
      total -= bytes
      if (total <= this.#limit) return
    }
  }
}
