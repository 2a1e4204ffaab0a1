import { Duplex } from 'node:stream'

/** The address of a connection that the server reads. */
export interface WireAddress {
  remoteAddress: string
  remotePort: number
  remoteFamily: 'IPv4' | 'IPv6'
}

/** One end of a connection inside the process. As on a network, the other end receives written data in a later turn. */
class Wire extends Duplex {
  peer!: Wire
  #ended = false
  // Keeps the process alive while the connection is open. The interval has no other effect.
  readonly #alive = setInterval(() => {}, 0x7fffffff)

  constructor () {
    // As with sockets of an HTTP server, this end closes when the other end closes.
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

  /** Writes all chunks at once, so that data written before a `destroy()` still arrives, as on a network. */
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

/** Creates a connection and returns its two ends. The server's end has an address. */
export function createWire (httpServer: object, address: WireAddress): { client: Duplex, server: Duplex } {
  const client = new Wire()
  // A server with HTTP/2 reads the negotiated protocol; `false` means none, so it uses HTTP/1.1.
  const server = Object.assign(new Wire(), address, { server: httpServer, alpnProtocol: false })
  client.peer = server
  server.peer = client
  return { client, server }
}
