import type { BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition } from '../../../../types/broker.js'
import { isPublication } from '../../publication.js'
import type { StoredRequest } from '../engine.js'
import { EngineClock } from './clock.js'
import type { RemoteHistoryPort } from './port.js'
import { Reads } from './reads.js'
import { pageOf, type OpenStored, type StoredPage } from './stored.js'

/** What is read of a channel. */
export type ReadRequest = Omit<StoredRequest, 'topic' | 'limits'>

/** Reads histories from the engine. */
export class Reader {
  readonly #port: Pick<RemoteHistoryPort, 'session' | 'topicOf' | 'open' | 'downError'>
  readonly reads = new Reads()
  readonly clock = new EngineClock()

  constructor (port: Pick<RemoteHistoryPort, 'session' | 'topicOf' | 'open' | 'downError'>) {
    this.#port = port
  }

  /** Reads a page as the engine returns it. @param stops whether it ends before the first frame that cannot be read, if messages precede it */
  stored (channel: string, limits: BrokerHistoryLimits, wanted: ReadRequest, stops: boolean): Promise<StoredPage> {
    const { session, topicOf } = this.#port
    if (session === null) return Promise.reject(this.#port.downError())
    const topic = topicOf(channel)
    const open: OpenStored = (text) => {
      const opened = this.#port.open(topic, text)
      return opened === null ? null : opened.messages.map((message) => opened.trusted || isPublication(message) ? message : null)
    }
    return this.reads.run(() => session.readHistory!({ topic, limits, ...wanted })).then((stored) => {
      this.clock.told(stored.now)
      return pageOf(stored, wanted.since, wanted.limit, limits, open, stops)
    })
  }

  /** Reads at most so many messages after a position, the oldest ones, or the newest ones: these too when some after the position are missing. */
  async page (channel: string, since: BrokerPosition | 'oldest' | null, limit: number, limits: BrokerHistoryLimits): Promise<BrokerHistoryPage> {
    const page = await this.stored(channel, limits, { since, limit, whole: false }, since !== null)
    if (since === null) return { ...page, entries: page.entries.slice(-limit) }
    // When none of the first ones can be read, nobody can read on after them.
    const gap = page.isCut && page.entries.length === 0 ? page.gap ?? 'unknown' : page.gap
    if (gap === null) return { ...page, entries: page.entries.slice(0, limit) }
    // What was published after the position is not known: return the newest messages.
    const newest = await this.stored(channel, limits, { since: null, limit, whole: false }, false)
    return { ...newest, entries: newest.entries.slice(-limit), gap }
  }
}
