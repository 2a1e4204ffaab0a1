import type { Alarm, Alarms } from './alarms.js'
import { type Delta, maxDelta, type UserEntry } from './messages.js'
import type { OwnChannel } from './own-channel.js'

/** Milliseconds for which changes are collected before other nodes are told. */
const collectFor = 50

/** Maximum characters of data in a delta. */
const maxDeltaLength = 65_536

/** What other nodes know of a channel. */
interface Announced {
  /** The version of the last delta. */
  version: number
  /** No delta was sent since there was nobody. */
  fresh: boolean
  /** Users that changed since the last delta. */
  readonly changed: Set<string>
  sending: Alarm | null
}

/** The part of presence that the announcer uses. */
export interface AnnouncerPort {
  readonly nodeId: string
  readonly alarms: Alarms
  own (channel: string): OwnChannel | undefined
  publish (channel: string, delta: Delta): void
}

/** Tells other nodes which users came and left at this node. Versions are numbers of this node; a delta names the one before it. */
export class Announcer {
  readonly #port: AnnouncerPort
  readonly #channels = new Map<string, Announced>()
  #version = 0

  constructor (port: AnnouncerPort) {
    this.#port = port
  }

  /** Call when a user joined, changed or left at this node. */
  changed (channel: string, key: string): void {
    let announced = this.#channels.get(channel)
    if (announced === undefined) this.#channels.set(channel, announced = { version: this.#version, fresh: true, changed: new Set(), sending: null })
    announced.changed.add(key)
    announced.sending ??= this.#port.alarms.in(collectFor, () => this.#send(channel))
  }

  /** The version of a channel, for the answer to a question. */
  versionOf (channel: string): number {
    return this.#channels.get(channel)?.version ?? this.#version
  }

  /** Whether a node that has this version and number of users of a channel is up to date. */
  matches (channel: string, version: number, users: number): boolean {
    const announced = this.#channels.get(channel)
    return announced === undefined ? users === 0 : announced.version === version || announced.fresh
  }

  /** Sends everything that is collected. */
  flush (): void {
    for (const [channel, { sending }] of this.#channels) {
      if (sending === null) continue
      this.#port.alarms.cancel(sending)
      this.#send(channel)
    }
  }

  #send (channel: string): void {
    const announced = this.#channels.get(channel)!
    const users = this.#port.own(channel)?.users
    announced.sending = null
    const keys = [...announced.changed]
    announced.changed.clear()
    let joined: UserEntry[] = []
    let left: string[] = []
    let length = 0
    const publish = (): void => {
      const before = announced.fresh ? 0 : announced.version
      announced.version = ++this.#version
      announced.fresh = false
      this.#port.publish(channel, { n: this.#port.nodeId, p: before, v: announced.version, j: joined, l: left })
      joined = []
      left = []
      length = 0
    }
    for (const key of keys) {
      const user = users?.get(key)
      if (user === undefined) left.push(key)
      else joined.push([key, user.stamp, user.json])
      length += key.length + (user?.json.length ?? 0)
      if (joined.length + left.length === maxDelta || length > maxDeltaLength) publish()
    }
    if (joined.length + left.length !== 0) publish()
    if (users === undefined || users.size === 0) this.#channels.delete(channel)
  }
}
