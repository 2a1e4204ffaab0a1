import type { Broker, BrokerHistoryLimits, BrokerHistoryPage, BrokerPosition, BrokerSink, BrokerState } from '../../types/broker.js'

/** A node of the suite: a started broker, and everything that it passed to its sink. */
export class SuiteNode {
  readonly publications: Array<[channel: string, data: string]> = []
  readonly controls: Array<[message: string, fromNode: string]> = []
  /** The publications that came with a position. */
  readonly positioned: Array<{ readonly channel: string, readonly data: string, readonly position: BrokerPosition }> = []
  /** States and gaps, in order. */
  readonly events: string[] = []
  onPublication: ((channel: string, data: string) => void) | null = null
  state: BrokerState = 'down'
  stopped = false

  constructor (readonly broker: Broker, readonly id: string) {}

  async start (prefix: string): Promise<void> {
    const sink: BrokerSink = {
      publication: (channel, data, _known, position) => {
        this.publications.push([channel, data])
        if (position !== undefined) this.positioned.push({ channel, data, position })
        this.onPublication?.(channel, data)
      },
      state: (state) => {
        if (state !== this.state) this.events.push(state)
        this.state = state
      },
      gap: (channel) => { this.events.push(`gap ${channel ?? '*'}`) },
      control: (message, fromNode) => { this.controls.push([message, fromNode]) }
    }
    await this.broker.start(sink, { id: this.id, prefix })
  }

  /** Asks the broker until it answers. */
  async follow (channel: string, since: BrokerPosition | null, limit: number, limits: BrokerHistoryLimits): Promise<BrokerHistoryPage> {
    for (;;) {
      const page = this.broker.history!.follow!(channel, since, limit, limits)
      if (!(page instanceof Promise)) return page
      await page
    }
  }

  of (channel: string): string[] {
    return this.publications.filter(([name]) => name === channel).map(([, data]) => data)
  }

  async stop (): Promise<void> {
    this.stopped = true
    await this.broker.stop()
  }
}
