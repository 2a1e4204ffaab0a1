import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Timed } from '../deadlines.js'

/** Bytes that a client may send before it has the answer to its upgrade. */
const maxEarlyBytes = 65_536
/** What a piece of it takes besides its bytes, however short it is. */
const pieceBytes = 128

/** Hooks that never decide about an upgrade must not hold its connection for ever. */
export class Undecided extends Timed {
  readonly #onDeadline: () => void

  constructor (protected readonly socket: Duplex, onDeadline: () => void) {
    super()
    this.#onDeadline = onDeadline
    socket.on('close', this.#onGone)
  }

  /** Somebody decided. @returns what came early */
  stop (): Buffer[] {
    this.cancel()
    this.socket.removeListener('close', this.#onGone)
    return []
  }

  expire (): void {
    this.#onDeadline()
  }

  fault (): void {
    this.socket.destroy()
  }

  readonly #onGone = (): void => {
    this.cancel()
  }
}

/**
 * Reads from a connection while the routes decide about its upgrade: who does not read never learns that the client is gone.
 * What comes early belongs to the websocket.
 */
export class Watch extends Undecided {
  readonly #traces: number
  #early: Buffer[] = []
  #bytes = 0

  constructor (socket: Duplex, onDeadline: () => void) {
    super(socket, onDeadline)
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    this.#traces = tracesOf(socket)
  }

  override stop (): Buffer[] {
    super.stop()
    this.socket.removeListener('data', this.#onData)
    this.socket.removeListener('end', this.#onEnd)
    return this.#early
  }

  override expire (): void {
    // Otherwise somebody answers, and may take as long as that takes.
    if (this.#traces === tracesOf(this.socket)) super.expire()
  }

  readonly #onData = (chunk: Buffer): void => {
    // Somebody else has made something of the connection.
    if (this.#traces !== tracesOf(this.socket)) {
      this.stop()
      return
    }
    this.#early.push(chunk)
    this.#bytes += chunk.length + pieceBytes
    if (this.#bytes > maxEarlyBytes) this.socket.destroy()
  }

  readonly #onEnd = (): void => {
    const untouched = this.#traces === tracesOf(this.socket)
    this.stop()
    if (untouched) this.socket.destroy()
  }
}

/** Changes as soon as somebody answers, reads, or watches over a connection. */
export function tracesOf (socket: Duplex): number {
  return socket.listenerCount('close') + socket.listenerCount('error') + socket.listenerCount('data') + written(socket)
}

/** A connection need not be one of a network. */
export function written (socket: Duplex): number {
  return (socket as Socket).bytesWritten ?? 0
}
