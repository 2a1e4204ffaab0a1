import { type Deadlines, Timed } from '../deadlines.js'
import type { Session } from '../socket/session.js'

/** Subscriptions of all sockets that may wait for the broker. Each takes about 1 KB. */
const maxWaiting = 50_000

/** Why a wait is over: the broker is up, the time is over, or nobody wants the subscription any more. */
export type WaitEnd = 'up' | 'late' | 'left' | 'closed'

interface Leaving {
  count: number
  /** A subscription was given up, so that the unsubscribe is answered as if it had been there. */
  gaveUp: boolean
}

/** One subscription that waits. Its time runs on while the broker is asked again. */
export class BrokerWait extends Timed {
  /** Set once it is over for good. */
  ended: Exclude<WaitEnd, 'up'> | null = null
  #wake: ((why: WaitEnd) => void) | null = null

  constructor (readonly waits: BrokerWaits, readonly session: Session, readonly channel: string) {
    super()
  }

  /** Settles when the broker is up again, or the wait is over. The socket is read on meanwhile. */
  untilUp (): Promise<WaitEnd> {
    if (this.ended !== null) return Promise.resolve(this.ended)
    const { activity } = this.session
    activity.excuse()
    return new Promise((resolve) => {
      this.#wake = (why) => {
        this.#wake = null
        activity.include()
        resolve(why)
      }
    })
  }

  wake (): void {
    this.#wake?.('up')
  }

  end (why: Exclude<WaitEnd, 'up'>): void {
    this.ended ??= why
    this.cancel()
    this.#wake?.(why)
  }

  expire (): void {
    this.end('late')
  }

  fault (err: unknown): void {
    this.session.fault(err)
  }
}

/**
 * Subscriptions that came while the broker cannot be reached. Stock clients give up a channel whose subscription fails, so
 * these wait for it, within bounds: for `subscribeTimeout`, and so many in the process. Nothing is kept while none waits.
 */
export class BrokerWaits {
  readonly #deadlines: Deadlines
  readonly #bySocket = new Map<Session, Map<string, BrokerWait>>()
  /** Unsubscribes that are queued behind subscribes of the same channel: those have no reason to wait. */
  readonly #leaving = new Map<Session, Map<string, Leaving>>()
  #size = 0

  /** @param deadlines how long each may wait; a duration of 0 means not at all */
  constructor (deadlines: Deadlines) {
    this.#deadlines = deadlines
  }

  get size (): number {
    return this.#size
  }

  /** @returns null when this subscription must not wait */
  begin (session: Session, channel: string): BrokerWait | null {
    if (this.#deadlines.duration === 0 || this.#size >= maxWaiting || session.state !== 'open' || !this.#mayWait(session, channel)) return null
    const wait = new BrokerWait(this, session, channel)
    let channels = this.#bySocket.get(session)
    if (channels === undefined) this.#bySocket.set(session, channels = new Map())
    channels.set(channel, wait)
    this.#size++
    this.#deadlines.add(wait)
    return wait
  }

  #mayWait (session: Session, channel: string): boolean {
    const leaving = this.#leaving.get(session)?.get(channel)
    if (leaving === undefined) return true
    leaving.gaveUp = true
    return false
  }

  /** The subscription is there, or failed. */
  done (wait: BrokerWait): void {
    wait.cancel()
    const channels = this.#bySocket.get(wait.session)
    if (channels?.get(wait.channel) !== wait) return
    channels.delete(wait.channel)
    this.#size--
    if (channels.size === 0) this.#bySocket.delete(wait.session)
  }

  /** An unsubscribe came that has to wait for its turn: what waits before it need not. */
  leaving (session: Session, channel: string): void {
    let channels = this.#leaving.get(session)
    if (channels === undefined) this.#leaving.set(session, channels = new Map())
    const leaving = channels.get(channel) ?? { count: 0, gaveUp: false }
    leaving.count++
    channels.set(channel, leaving)
    const wait = this.#bySocket.get(session)?.get(channel)
    if (wait === undefined) return
    leaving.gaveUp = true
    wait.end('left')
  }

  /** Its turn has come. @returns whether a subscription was given up for it */
  left (session: Session, channel: string): boolean {
    const channels = this.#leaving.get(session)
    const leaving = channels?.get(channel)
    if (channels === undefined || leaving === undefined) return false
    const { gaveUp } = leaving
    leaving.gaveUp = false
    if (--leaving.count === 0 && channels.delete(channel) && channels.size === 0) this.#leaving.delete(session)
    return gaveUp
  }

  /** The broker can be reached: all are tried again. */
  up (): void {
    for (const channels of [...this.#bySocket.values()]) for (const wait of [...channels.values()]) wait.wake()
  }

  closed (session: Session): void {
    this.#leaving.delete(session)
    const channels = this.#bySocket.get(session)
    if (channels === undefined) return
    for (const wait of [...channels.values()]) wait.end('closed')
  }
}
