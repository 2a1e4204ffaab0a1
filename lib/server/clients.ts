import { inspect } from 'node:util'
import type { ServerSocket } from '../socket/socket.js'

/** Who is connected. */
export class Clients {
  readonly #open = new Map<string, ServerSocket>()
  readonly #pending = new Map<string, ServerSocket>()
  readonly #all = new Set<ServerSocket>()
  /** Open sockets by id. */
  readonly open = viewOf(this.#open)
  /** Sockets that have not shaken hands yet, by id. */
  readonly pending = viewOf(this.#pending)

  get openCount (): number { return this.#open.size }
  get pendingCount (): number { return this.#pending.size }
  /** All sockets, first connected first. */
  get all (): ReadonlySet<ServerSocket> { return this.#all }

  addPending (socket: ServerSocket): void {
    this.#all.add(socket)
    this.#pending.set(socket.id, socket)
  }

  moveToOpen (socket: ServerSocket): void {
    this.#pending.delete(socket.id)
    this.#open.set(socket.id, socket)
  }

  isPending (socket: ServerSocket): boolean {
    return this.#pending.has(socket.id)
  }

  /** The first connected of the pending ones that fit, rather one that has not even begun its handshake. */
  oldestPending (fits: (socket: ServerSocket) => boolean): ServerSocket | undefined {
    let begun: ServerSocket | undefined
    for (const socket of this.#pending.values()) {
      if (!fits(socket)) continue
      if (!socket.handshaking) return socket
      begun ??= socket
    }
    return begun
  }

  remove (socket: ServerSocket): void {
    this.#all.delete(socket)
    if (!this.#pending.delete(socket.id)) this.#open.delete(socket.id)
  }
}

/**
 * A map as the plain object without prototype that SocketCluster's users know: live, and read-only. An object with a
 * property for each socket would make every connection several microseconds dearer.
 */
function viewOf (sockets: ReadonlyMap<string, ServerSocket>): Readonly<Record<string, ServerSocket>> {
  const target = Object.create(null) as Record<string | symbol, unknown>
  // A console looks at the target instead of asking the proxy.
  target[inspect.custom] = () => Object.fromEntries(sockets)
  const get = (key: string | symbol): ServerSocket | undefined => typeof key === 'string' ? sockets.get(key) : undefined
  return new Proxy(target as Record<string, ServerSocket>, {
    get: (_target, key) => get(key),
    has: (_target, key) => get(key) !== undefined,
    ownKeys: () => [...sockets.keys()],
    getOwnPropertyDescriptor (_target, key) {
      const value = get(key)
      return value === undefined ? undefined : { value, enumerable: true, configurable: true, writable: false }
    },
    set: () => false,
    defineProperty: () => false,
    deleteProperty: () => false
  })
}
