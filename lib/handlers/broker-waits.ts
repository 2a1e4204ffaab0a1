import { type Deadlines, Timed } from '../deadlines.js'
import type { Session } from '../socket/session.js'

/** Maximum of subscriptions in this process that wait for the broker. Each takes about 1 KB. */
const maxWaiting = 50_000

/**
 * Why a wait ended: `up`, the broker is up; `late`, the timeout elapsed; `left`, the client unsubscribed; `closed`, the socket
 * closed.
 */
export type WaitEnd = 'up' | 'late' | 'left' | 'closed'

interface Leaving {
  count: number
  /** Whether a subscription was given up, so that the unsubscribe is answered as if it had existed. */
  gaveUp: boolean
}

/** A subscription that waits for the broker. Its timeout continues while the broker is asked again. */
export class BrokerWait extends Timed {
  /** Why the wait ended for good; null while it goes on. */
  ended: Exclude<WaitEnd, 'up'> | null = null
  #wake: ((why: WaitEnd) => void) | null = null

  constructor (readonly waits: BrokerWaits, readonly session: Session, readonly channel: string) {
    super()
  }

  /** Resolves when the broker is up again or the wait ended. Reading from the socket continues meanwhile. */
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
 * Subscriptions that wait while the broker is unreachable. SocketCluster clients give up a channel when its subscription fails,
 * so subscriptions wait for the broker, up to `subscribeTimeout` and up to a maximum per process. Nothing is stored while none
 * waits.
 */
export class BrokerWaits {
  readonly #deadlines: Deadlines
  readonly #bySocket = new Map<Session, Map<string, BrokerWait>>()
  /** Unsubscribes that are queued behind subscribes of the same channel. These subscribes need not wait. */
  readonly #leaving = new Map<Session, Map<string, Leaving>>()
  #size = 0

  /** @param deadlines limits each wait; with a duration of 0 no subscription waits */
  constructor (deadlines: Deadlines) {
    this.#deadlines = deadlines
  }

  get size (): number {
    return this.#size
  }

  /** Begins a wait. @returns null when the subscription must not wait */
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

  /** Removes a wait whose subscription succeeded or failed. */
  done (wait: BrokerWait): void {
    wait.cancel()
    const channels = this.#bySocket.get(wait.session)
    if (channels?.get(wait.channel) !== wait) return
    channels.delete(wait.channel)
    this.#size--
    if (channels.size === 0) this.#bySocket.delete(wait.session)
  }

  /** Call when an unsubscribe is queued: ends the wait of the subscription before it. */
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

  /** Call when a queued unsubscribe runs. @returns whether a subscription was given up for it */
  left (session: Session, channel: string): boolean {
    const channels = this.#leaving.get(session)
    const leaving = channels?.get(channel)
    if (channels === undefined || leaving === undefined) return false
    const { gaveUp } = leaving
    leaving.gaveUp = false
    if (--leaving.count === 0 && channels.delete(channel) && channels.size === 0) this.#leaving.delete(session)
    return gaveUp
  }

  /** Call when the broker is up again: retries all waiting subscriptions. */
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
