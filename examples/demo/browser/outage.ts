// A connection that is cut, and what comes back after it.
import type { ScHistoryGap, ScRecoveryEvent } from 'fastify-socketcluster/client'
import type { ClientSocket } from 'socketcluster-client'

/** As for a connection that was lost: the server does not take it for a goodbye. */
const lostCode = 4001

/** Cuts the connection, as a tunnel does, and brings it back after a while. */
export class Cut {
  readonly #socket: ClientSocket
  readonly #seconds: number
  readonly #show: (secondsLeft: number | null) => void
  #timer: ReturnType<typeof setInterval> | undefined

  /** @param show called every second, and with `null` at the end */
  constructor (socket: ClientSocket, seconds: number, show: (secondsLeft: number | null) => void) {
    this.#socket = socket
    this.#seconds = seconds
    this.#show = show
  }

  get isOn (): boolean { return this.#timer !== undefined }

  begin (): void {
    if (this.isOn) return
    this.#socket.options.autoReconnect = false
    this.#socket.disconnect(lostCode, 'cut')
    const until = Date.now() + this.#seconds * 1_000
    const tick = (): void => {
      const left = Math.ceil((until - Date.now()) / 1_000)
      if (left > 0) this.#show(left)
      else this.end()
    }
    this.#timer = setInterval(tick, 250)
    tick()
  }

  end (): void {
    if (!this.isOn) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#socket.options.autoReconnect = true
    this.#show(null)
    this.#socket.connect()
  }
}

const reasons: Record<ScHistoryGap, string> = {
  unknown: 'the server has a new history',
  trimmed: 'they are not kept any more',
  limit: 'there were too many',
  refused: 'the server keeps them to itself'
}

/** Counts what a client that came back is sent, and says what happened. */
export class CatchingUp {
  readonly #show: (text: string) => void
  #since = 0
  #count = 0
  #left = 0

  constructor (show: (text: string) => void) {
    this.#show = show
  }

  /** Call when the connection is back. */
  connected (): void {
    this.#since = performance.now()
    this.#left = 0
  }

  /** Call with what the server says of a channel. @returns whether the missed messages follow */
  begin ({ recovered, count, reason = 'unknown' }: ScRecoveryEvent): boolean {
    this.#count = this.#left = count
    if (!recovered) this.#show(`Messages were missed, and ${reasons[reason]}: the last ones were loaded`)
    else if (count === 0) this.#show('Nothing was missed')
    return recovered
  }

  /** Call for each message that the server keeps. @returns whether it was missed before */
  isMissed (): boolean {
    if (this.#left === 0) return false
    if (--this.#left === 0) {
      const time = Math.max(1, Math.round(performance.now() - this.#since))
      this.#show(`${this.#count} ${this.#count === 1 ? 'message' : 'messages'} missed, all recovered in ${time} ms`)
    }
    return true
  }
}
