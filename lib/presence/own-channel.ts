import type { Alarm, Alarms } from './alarms.js'

/** A user of a channel at this process. */
export interface OwnUser {
  /** Number of its sockets; 0 while it is away. */
  sockets: number
  /** Number of the user in the order in which users came; from 1. */
  readonly order: number
  /** The data that the declaration gave to the user. */
  declared: string
  /** The user's data as JSON; empty for none. */
  json: string
  /** When the data were set. Of data from several processes the newest count. */
  stamp: number
  /** Ends the presence of a user who is away. */
  leaving: Alarm | null
}

/** What happened to a user. */
export type Change = 'join' | 'update' | 'leave'

/** The part of presence that an own channel uses. */
export interface OwnChannelPort {
  readonly alarms: Alarms
  /** Returns the stamp of data that are set now: newer than all that are known of the user. */
  stamp (channel: string, key: string): number
  /** Runs `leave` now, or once it is known who is elsewhere. */
  whenOthersAreKnown (leave: () => void): void
  changed (own: OwnChannel, key: string, change: Change): void
}

/** The users of a channel that have sockets at this process. A user stays for a while after its last connection was lost. */
export class OwnChannel {
  readonly users = new Map<string, OwnUser>()
  readonly #keys = new Map<object, string>()
  readonly #port: OwnChannelPort
  #order = 0

  constructor (readonly channel: string, port: OwnChannelPort) {
    this.#port = port
  }

  /** Returns the user of a socket; `undefined` for a socket that is not present. */
  keyOf (socket: object): string | undefined {
    return this.#keys.get(socket)
  }

  /**
   * Makes a socket present as a user, or changes its user.
   * @param declared the data that the declaration gives to the user; data set later are kept unless these changed
   */
  enter (socket: object, key: string, declared: string): void {
    const before = this.#keys.get(socket)
    if (before !== undefined && before !== key) this.exit(socket, 0)
    this.#keys.set(socket, key)
    const user = this.users.get(key)
    if (user === undefined) {
      this.users.set(key, { sockets: 1, order: ++this.#order, declared, json: declared, stamp: this.#port.stamp(this.channel, key), leaving: null })
      this.#port.changed(this, key, 'join')
      return
    }
    if (before !== key) user.sockets++
    this.#port.alarms.cancel(user.leaving)
    user.leaving = null
    if (user.declared === declared) return
    user.declared = declared
    this.update(key, declared)
  }

  /** Sets the data of a user. */
  update (key: string, json: string): void {
    const user = this.users.get(key)
    if (user === undefined || user.json === json) return
    user.json = json
    user.stamp = this.#port.stamp(this.channel, key)
    this.#port.changed(this, key, 'update')
  }

  /** Ends the presence of a socket. @param delay milliseconds for which its user stays */
  exit (socket: object, delay: number): void {
    const key = this.#keys.get(socket)
    if (key === undefined) return
    this.#keys.delete(socket)
    const user = this.users.get(key)!
    if (--user.sockets !== 0) return
    if (delay === 0) {
      this.#leave(key)
      return
    }
    const leaving: Alarm = user.leaving = this.#port.alarms.in(delay, () => {
      this.#port.whenOthersAreKnown(() => {
        // The user may be back, and may have lost its connection once more.
        if (user.leaving === leaving) this.#leave(key)
      })
    })
  }

  #leave (key: string): void {
    this.users.delete(key)
    this.#port.changed(this, key, 'leave')
  }
}
