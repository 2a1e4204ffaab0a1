import { inspect } from 'node:util'
import type { ScServerSocket } from '../../types/server.js'
import type { Session } from '../socket/session.js'

/** The sockets of the server. */
export class Clients {
  readonly #open = new Map<string, Session>()
  readonly #pending = new Map<string, Session>()
  /** Open sockets by id. */
  readonly open = viewOf(this.#open)
  /** Sockets that have not finished the handshake, by id. */
  readonly pending = viewOf(this.#pending)

  get openCount (): number { return this.#open.size }
  get pendingCount (): number { return this.#pending.size }

  /** Iterates over all sockets: the open ones first, in the order of their handshakes. */
  * [Symbol.iterator] (): Generator<Session, void> {
    yield * this.#open.values()
    yield * this.#pending.values()
  }

  addPending (socket: Session): void {
    this.#pending.set(socket.id, socket)
  }

  moveToOpen (socket: Session): void {
    this.#pending.delete(socket.id)
    this.#open.set(socket.id, socket)
  }

  isPending (socket: Session): boolean {
    return this.#pending.has(socket.id)
  }

  /** The oldest pending socket that fits; one that has not started its handshake comes first. */
  oldestPending (fits: (socket: Session) => boolean): Session | undefined {
    let begun: Session | undefined
    for (const socket of this.#pending.values()) {
      if (!fits(socket)) continue
      if (socket.handshake?.begun === false) return socket
      begun ??= socket
    }
    return begun
  }

  remove (socket: Session): void {
    if (!this.#pending.delete(socket.id)) this.#open.delete(socket.id)
  }
}

/**
 * Wraps a map as the live, read-only object without prototype that SocketCluster's users know. Maintaining a real object with a
 * property for each socket would cost several microseconds per connection.
 */
function viewOf (sockets: ReadonlyMap<string, Session>): Readonly<Record<string, ScServerSocket>> {
  const target = Object.create(null) as Record<string | symbol, unknown>
  // The console inspects the target and not the proxy.
  target[inspect.custom] = () => Object.fromEntries([...sockets].map(([id, { socket }]) => [id, socket]))
  const get = (key: string | symbol): ScServerSocket | undefined => typeof key === 'string' ? sockets.get(key)?.socket : undefined
  return new Proxy(target as Record<string, ScServerSocket>, {
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
