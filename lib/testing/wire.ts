import { Duplex } from 'node:stream'

/** What a server can ask a connection. */
export interface WireAddress {
  remoteAddress: string
  remotePort: number
  remoteFamily: 'IPv4' | 'IPv6'
}

/** One end of a connection inside the process. As on a network, the other end gets what is written in a later turn. */
class Wire extends Duplex {
  peer!: Wire
  #ended = false
  // An open connection keeps a process alive. In milliseconds; it never matters when it runs.
  readonly #alive = setInterval(() => {}, 0x7fffffff)

  constructor () {
    // As sockets of an HTTP server: when the other end is done, so is this one.
    super({ allowHalfOpen: false })
  }

  override _read (): void {}

  override _write (chunk: Buffer, _encoding: BufferEncoding, callback: (err?: Error | null) => void): void {
    setImmediate(() => {
      if (this.peer.destroyed) {
        callback(Object.assign(new Error('write ECONNRESET'), { code: 'ECONNRESET' }))
        return
      }
      this.peer.push(chunk)
      callback()
    })
  }

  /** All at once, so that what was written before a `destroy()` is on its way, as it is on a network. */
  override _writev (chunks: Array<{ chunk: Buffer }>, callback: (err?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'buffer' as BufferEncoding, callback)
  }

  override _final (callback: (err?: Error | null) => void): void {
    setImmediate(() => {
      this.#endPeer()
      callback()
    })
  }

  override _destroy (err: Error | null, callback: (err?: Error | null) => void): void {
    clearInterval(this.#alive)
    setImmediate(() => this.#endPeer())
    callback(err)
  }

  #endPeer (): void {
    if (this.#ended || this.peer.destroyed) return
    this.#ended = true
    this.peer.push(null)
  }
}

/** A connection: its two ends, of which the server's has an address. */
export function createWire (httpServer: object, address: WireAddress): { client: Duplex, server: Duplex } {
  const client = new Wire()
  // A server that speaks HTTP/2 too asks what was agreed on: nothing, so it is HTTP/1.1.
  const server = Object.assign(new Wire(), address, { server: httpServer, alpnProtocol: false })
  client.peer = server
  server.peer = client
  return { client, server }
}
