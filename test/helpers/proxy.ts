import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** A TCP proxy. Tests can reset its connections or make them silent. */
export class TcpProxy {
  readonly #server: Server
  readonly #pairs = new Set<[near: Socket, far: Socket]>()
  #silent = false
  #blocked = false
  port = 0

  constructor (public target: number) {
    this.#server = createServer((near) => this.#accept(near))
  }

  async listen (): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
    return this
  }

  /** Resets all connections. New connections work. */
  cut (): void {
    for (const [near, far] of this.#pairs) {
      near.resetAndDestroy()
      far.resetAndDestroy()
    }
  }

  /** Stops forwarding in both directions without closing anything. New connections are accepted and stay silent too. */
  blackHole (): void {
    this.#silent = true
    this.silence(...Array(this.#pairs.size).keys())
  }

  /** Stops forwarding for some connections only, given by the order in which they were opened. New connections work. */
  silence (...which: number[]): void {
    const pairs = [...this.#pairs]
    for (const [near, far] of which.map((index) => pairs[index]!)) {
      near.unpipe(far)
      far.unpipe(near)
      near.pause()
      far.pause()
    }
  }

  /** Stops forwarding to those who connected, like a client that stops reading. */
  stall (): void {
    for (const [near, far] of this.#pairs) {
      far.unpipe(near)
      far.pause()
    }
  }

  /** Forwards again after `stall`. */
  flow (): void {
    for (const [near, far] of this.#pairs) far.pipe(near)
  }

  /** Closes all connections, and new ones immediately. */
  block (): void {
    this.#blocked = true
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  unblock (): void {
    this.#blocked = false
  }

  /** Works again: old connections are reset, as by a firewall that forgot them. New connections work. */
  heal (): void {
    this.#silent = false
    this.cut()
  }

  /** New connections work again; those of before stay silent, until who waits for them gives up. */
  reopen (): void {
    this.#silent = false
  }

  /** Goes on after `blackHole` as if nothing had been: what was sent meanwhile arrives late. */
  thaw (): void {
    this.#silent = false
    for (const [near, far] of this.#pairs) {
      near.pipe(far)
      far.pipe(near)
    }
  }

  async close (): Promise<void> {
    this.#server.close()
    this.block()
    if (this.#server.listening) await once(this.#server, 'close')
  }

  #accept (near: Socket): void {
    if (this.#blocked) {
      near.on('error', () => {})
      near.destroy()
      return
    }
    const far = connect(this.target, '127.0.0.1')
    const pair: [Socket, Socket] = [near, far]
    this.#pairs.add(pair)
    for (const socket of pair) {
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#pairs.delete(pair)
        // While silent, the end of a connection is not forwarded either.
        if (!this.#silent) for (const other of pair) other.destroy()
      })
    }
    if (this.#silent) {
      near.pause()
      far.pause()
      return
    }
    near.pipe(far)
    far.pipe(near)
  }
}
