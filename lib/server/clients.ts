import type { ServerSocket } from '../socket/socket.js'

function dictionary (): Record<string, ServerSocket> {
  return Object.create(null) as Record<string, ServerSocket>
}

/** Who is connected. The views are keyed by socket id and have no prototype. */
export class Clients {
  readonly open = dictionary()
  readonly pending = dictionary()
  openCount = 0
  pendingCount = 0
  readonly #all = new Set<ServerSocket>()

  /** All sockets, pending ones first connected first. */
  get all (): ReadonlySet<ServerSocket> { return this.#all }

  addPending (socket: ServerSocket): void {
    this.#all.add(socket)
    this.pending[socket.id] = socket
    this.pendingCount++
  }

  moveToOpen (socket: ServerSocket): void {
    this.#removePending(socket)
    this.open[socket.id] = socket
    this.openCount++
  }

  remove (socket: ServerSocket): void {
    this.#all.delete(socket)
    this.#removePending(socket)
    if (this.open[socket.id] === undefined) return
    delete this.open[socket.id]
    this.openCount--
  }

  #removePending (socket: ServerSocket): void {
    if (this.pending[socket.id] === undefined) return
    delete this.pending[socket.id]
    this.pendingCount--
  }
}
