import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Timed } from '../deadlines.js'

/** Maximum bytes that a client may send before its upgrade is answered. */
const maxEarlyBytes = 65_536
/** Bytes counted in addition for each chunk, however short. */
const pieceBytes = 128

/** An upgrade that hooks have not decided about. Limits how long it may hold its connection. */
export class Undecided extends Timed {
  readonly #onDeadline: () => void

  constructor (protected readonly socket: Duplex, onDeadline: () => void) {
    super()
    this.#onDeadline = onDeadline
    socket.on('close', this.#onGone)
  }

  /** Ends the wait after a decision. @returns data that arrived early */
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
 * Reads from a connection while the routes decide about its upgrade. Without reading, the server would not notice that the
 * client is gone. Data that arrives early is kept for the websocket.
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
    // Otherwise other code is answering and may take its time.
    if (this.#traces === tracesOf(this.socket)) super.expire()
  }

  readonly #onData = (chunk: Buffer): void => {
    // Other code took over the connection.
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

/** A number that changes as soon as other code answers, reads from, or listens to a connection. */
export function tracesOf (socket: Duplex): number {
  return socket.listenerCount('close') + socket.listenerCount('error') + socket.listenerCount('data') + written(socket)
}

/** Bytes written to a connection; 0 for a stream that is not a network socket. */
export function written (socket: Duplex): number {
  return (socket as Socket).bytesWritten ?? 0
}
