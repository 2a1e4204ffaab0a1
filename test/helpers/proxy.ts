import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** A TCP proxy whose connections a test can cut, or let fall silent. */
export class TcpProxy {
  readonly #server: Server
  readonly #pairs = new Set<[near: Socket, far: Socket]>()
  #silent = false
  #blocked = false
  port = 0

  constructor (readonly target: number) {
    this.#server = createServer((near) => this.#accept(near))
  }

  async listen (): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
    return this
  }

  /** Resets every connection. New ones work. */
  cut (): void {
    for (const [near, far] of this.#pairs) {
      near.resetAndDestroy()
      far.resetAndDestroy()
    }
  }

  /** Nothing passes any more in any direction, and nobody is told; new connections are taken and stay silent too. */
  blackHole (): void {
    this.#silent = true
    this.silence(...Array(this.#pairs.size).keys())
  }

  /** The same for some connections only, by the order in which they were made; new ones work. */
  silence (...which: number[]): void {
    const pairs = [...this.#pairs]
    for (const [near, far] of which.map((index) => pairs[index]!)) {
      near.unpipe(far)
      far.unpipe(near)
      near.pause()
      far.pause()
    }
  }

  /** Ends every connection, and new ones at once. */
  block (): void {
    this.#blocked = true
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  unblock (): void {
    this.#blocked = false
  }

  /** Ends the silence: old connections are reset, as a firewall that forgot them would; new ones work. */
  heal (): void {
    this.#silent = false
    this.cut()
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
        // The silence includes the end of a connection.
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
