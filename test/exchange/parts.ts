import { BrokerLink } from '../../lib/broker/link.js'
import { memoryBroker } from '../../lib/broker/memory.js'
import { Deadlines } from '../../lib/deadlines.js'
import type { Published, Subscriber } from '../../lib/exchange/deliver.js'
import { Hub } from '../../lib/exchange/hub.js'
import type { MessageSeries, SharedMessage } from '../../lib/transport/shared-message.js'
import type { Broker } from '../../types/broker.js'
import type { CodecEngine } from '../../types/protocol.js'
import type { ChannelRoute, ResolvedChannel } from '../../types/routes.js'

/** What was declared for a channel: nothing, unless it is said here. */
export interface Declared extends Partial<Omit<ChannelRoute, 'hooks'>> {
  publishOut?: unknown[]
}

export function declared ({ publishOut = [], ...route }: Declared = {}, params: Record<string, string> = {}): ResolvedChannel {
  return { params, route: { hooks: { publishOut }, validateMessage: null, deliver: null, history: null, recover: null, presence: null, isCompanion: false, instance: undefined, ...route } } as unknown as ResolvedChannel
}

/** A session that keeps what it gets. */
export class Recipient implements Subscriber {
  readonly socket: Subscriber['socket']
  authToken: object | null = null
  readonly got: string[] = []
  readonly messages: SharedMessage[] = []
  /** Channel and policy of each delivery. */
  readonly how: string[] = []
  readonly faults: unknown[] = []
  readonly overruns: string[] = []
  /** Channels that it is not in. */
  readonly left = new Set<string>()
  /** Whether it keeps up. */
  keepsUp = true
  /** Whether there is room for what waits for hooks. */
  hasRoom = true
  /** What `deliver` throws. */
  broken: Error | null = null
  /** Deliveries through hooks that are under way. */
  running: Promise<unknown> = Promise.resolve()

  constructor (readonly id: string) {
    this.socket = { id } as Subscriber['socket']
  }

  receives ({ channel }: Published): boolean { return !this.left.has(channel) }
  lose (): boolean { return true }
  fault (err: unknown): void { this.faults.push(err) }
  overrun (_message: SharedMessage, _channel: string, policy: string): boolean {
    this.overruns.push(policy)
    return false
  }

  deliver (message: SharedMessage, channel: string, policy: string): boolean {
    if (this.broken !== null) throw this.broken
    this.got.push(String(message.data))
    this.messages.push(message)
    this.how.push(`${channel} ${policy}`)
    return this.keepsUp
  }

  deliverSeries (series: MessageSeries, channel: string): boolean {
    if (!this.keepsUp || this.broken !== null) return false
    for (const message of series.messages) this.deliver(message, channel, 'resume')
    return true
  }

  deliverInOrder (_channel: string, _json: string, deliver: () => void | Promise<void>): boolean {
    if (this.hasRoom) this.running = Promise.resolve(deliver())
    return this.hasRoom
  }
}

export interface HubSetting {
  broker?: Broker
  plainJson?: boolean
  codec?: CodecEngine
  hookTimeout?: number
}

/** A hub on a broker that is up. */
export function setUpHub ({ broker = memoryBroker(), plainJson = true, codec, hookTimeout = 0 }: HubSetting = {}) {
  const leftOut: Array<[recipient: string, channel: string, thrown: unknown]> = []
  const warnings: unknown[] = []
  const link: BrokerLink = new BrokerLink(broker, { node: { id: 'n1', prefix: 'sc' }, unsubscribeDelay: 0 }, {
    publication: (channel, json) => hub.deliver(channel, json),
    state () {},
    gap () {},
    control () {},
    warning: (err) => { warnings.push(err) }
  })
  const hub: Hub = new Hub(link, {
    codec: codec!,
    plainJson,
    slowConsumerPolicy: 'drop',
    hookDeadlines: new Deadlines(hookTimeout),
    lost: () => {},
    leftOut: (subscriber, channel, thrown) => { leftOut.push([(subscriber as Recipient).id, channel, thrown]) },
    warn: (err) => { warnings.push(err) },
    presence: { hold () {}, release () {}, left () {} }
  })
  link.start()
  return { hub, link, leftOut, warnings }
}

/** A publication as clients read it. */
export function publication (channel: string, data: unknown): string {
  return JSON.stringify({ event: '#publish', data: { channel, data } })
}
