import { scError } from '../errors.js'
import { hydrateError } from '../protocol/wire-errors.js'

interface Call {
  readonly event: string
  settle (error: unknown, data: unknown): void
  abort (err: Error): void
}

/** The unanswered calls of a test client. */
export class Calls {
  readonly #open = new Map<number, Call>()
  #lastCid = 0

  /** Sends a call and waits for its answer. @param send sends the packet with the call id */
  open (event: string, timeout: number, send: (cid: number) => void): Promise<unknown> {
    const cid = ++this.#lastCid
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#open.delete(cid)
        reject(scError('SC_ERR_NOTHING_CAME', [`answer to "${event}"`, timeout]))
      }, timeout)
      this.#open.set(cid, {
        event,
        settle (error, data) {
          clearTimeout(timer)
          const refused = hydrateError(error)
          if (refused === null) resolve(data)
          else reject(data === undefined ? refused : Object.assign(refused, { data }))
        },
        abort (err) {
          clearTimeout(timer)
          reject(err)
        }
      })
      send(cid)
    })
  }

  /** Settles a call with the received answer. */
  settle (cid: number, error: unknown, data: unknown): void {
    const call = this.#open.get(cid)
    this.#open.delete(cid)
    call?.settle(error, data)
  }

  /** Rejects all calls, because the connection has ended. */
  abort (): void {
    for (const { event, abort } of this.#open.values()) abort(abortedCall(event))
    this.#open.clear()
  }
}

/** Creates the error of a call on a closed connection. */
export function abortedCall (event: string): Error {
  return scError('SC_ERR_BAD_CONNECTION', [event])
}
