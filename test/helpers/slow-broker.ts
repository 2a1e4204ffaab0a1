import { setTimeout as sleep } from 'node:timers/promises'
import { memoryBroker, type Broker } from '../../lib/index.js'

/** Returns a promise and the function that resolves it. */
export function gate (): { opened: Promise<void>, open: () => void } {
  let open!: () => void
  const opened = new Promise<void>((resolve) => { open = resolve })
  return { opened, open }
}

/** A memory broker with an asynchronous `subscribe`: it waits for `hold`, and fails once for channels in `failNext`. */
export function slowBroker (): Broker & { failNext: string[], hold: Promise<void> | null } {
  const memory = memoryBroker()
  return {
    ...bound(memory),
    failNext: [],
    hold: null,
    async subscribe (channels) {
      const { hold } = this
      if (hold !== null) await hold
      else await sleep(1)
      if (channels.some((channel) => this.failNext.includes(channel))) {
        this.failNext.length = 0
        throw new Error('the engine says no')
      }
      await memory.subscribe(channels)
    }
  }
}

/** Returns the bound methods of a broker as an object, so that tests can replace single methods. */
export function bound (broker: Broker): Broker {
  return {
    name: broker.name,
    shared: broker.shared,
    start: (sink, node) => broker.start(sink, node),
    subscribe: (channels) => broker.subscribe(channels),
    unsubscribe: (channels) => broker.unsubscribe(channels),
    publish: (channel, data) => broker.publish(channel, data),
    control: (message, toNode) => broker.control(message, toNode),
    stop: () => broker.stop()
  }
}
