import type { BrokerPosition } from '../../types/broker.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { Subscriber } from './deliver.js'
import type { Watcher } from './hub-host.js'

/** A channel with subscribers in this process. */
export class Entry {
  readonly members = new Set<Subscriber>()
  watcher: Watcher | null = null
  /** Whether the broker delivers this channel. */
  ready = false
  /** Number of joins that wait for the broker. */
  waiting = 0
  /** The position of the last publication, on a channel with `recover`. */
  last: BrokerPosition | null = null

  constructor (readonly channel: string, readonly resolved: ResolvedChannel) {}

  get unused (): boolean {
    return this.members.size === 0 && this.watcher === null && this.waiting === 0
  }
}
