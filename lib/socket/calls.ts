import type { CallId } from '../../types/protocol.js'
import { type Deadlines, Timed } from '../deadlines.js'
import { scError } from '../errors.js'
import { ifRejects } from '../promises.js'

/** Gets the error, or null and the answer, of a call. */
export type CallCallback = (err: Error | null, data?: unknown) => unknown

class Call extends Timed {
  constructor (readonly calls: Calls, readonly cid: number, readonly event: string, readonly callback: CallCallback) {
    super()
  }

  expire (): void {
    this.calls.settle(this.cid, scError('SC_ERR_ACK_TIMEOUT', [this.event]), undefined)
  }

  fault (err: unknown): void {
    this.calls.onThrow(err)
  }
}

/** Calls a callback of the application. Passes what it throws or rejects with to `onThrow`. */
export function tell (callback: CallCallback, err: Error | null, data: unknown, onThrow: (err: unknown) => void): void {
  try {
    ifRejects(callback(err, data), onThrow)
  } catch (thrown) {
    onThrow(thrown)
  }
}

/** The calls of one socket that await an answer of the client. */
export class Calls {
  #lastId = 0
  readonly #pending = new Map<CallId, Call>()

  /** @param onThrow gets what a callback throws or rejects with */
  constructor (readonly onThrow: (err: unknown) => void) {}

  /** Registers a call and returns its id. */
  open (event: string, callback: CallCallback, deadlines: Deadlines): number {
    const call = new Call(this, ++this.#lastId, event, callback)
    this.#pending.set(call.cid, call)
    deadlines.add(call)
    return call.cid
  }

  has (rid: CallId): boolean {
    return this.#pending.has(rid)
  }

  /** Settles a call. @returns false when there is no such call: it was answered, timed out, or never existed */
  settle (rid: CallId, err: Error | null, data: unknown): boolean {
    const call = this.#pending.get(rid)
    if (call === undefined) return false
    this.#pending.delete(rid)
    call.cancel()
    tell(call.callback, err, data, this.onThrow)
    return true
  }

  /** Fails all pending calls because the connection is gone. */
  abort (type: 'disconnect' | 'connectAbort', code: number, reason: string): void {
    for (const call of [...this.#pending.values()]) {
      this.settle(call.cid, scError('SC_ERR_BAD_CONNECTION', [call.event], { type, code, reason }), undefined)
    }
  }
}
